"""Files of a corpus in a folder: found, chosen, missing, verified."""

import gzip
import hashlib

import pytest
from experiments.corpora import catalogue
from experiments.corpora.catalogue import CORPORA, own_corpus
from experiments.corpora.sources import check_sums, find
from experiments.corpora.text_files import CorpusError

WIKITEXT2 = CORPORA["wikitext-2"]


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def test_files_are_found_anywhere_below_under_the_first_of_their_names(tmp_path):
    touch(tmp_path / "a" / "train.txt.gz", tmp_path / "b" / "c" / "valid.txt", tmp_path / "test.txt")
    assert find(WIKITEXT2, tmp_path) == {
        "train.txt": tmp_path / "a" / "train.txt.gz",
        "valid.txt": tmp_path / "b" / "c" / "valid.txt",
        "test.txt": tmp_path / "test.txt",
    }


def test_the_archive_will_do_as_well(tmp_path):
    touch(tmp_path / "train.txt", tmp_path / "x" / "wikitext-2-v1.zip")
    assert find(WIKITEXT2, tmp_path) == {"wikitext-2-v1.zip": tmp_path / "x" / "wikitext-2-v1.zip"}


def test_the_file_in_the_highest_folder_is_taken(tmp_path):
    touch(tmp_path / "a" / "de-en.tgz", tmp_path / "de-en.tgz")
    assert find(CORPORA["iwslt14.de-en"], tmp_path) == {"de-en.tgz": tmp_path / "de-en.tgz"}


def test_two_files_of_one_name_are_no_choice(tmp_path):
    touch(tmp_path / "a" / "de-en.tgz", tmp_path / "b" / "de-en.tgz")
    with pytest.raises(CorpusError, match=r"a/de-en.tgz and .*b/de-en.tgz: two files of one name"):
        find(CORPORA["iwslt14.de-en"], tmp_path)


def test_all_that_is_missing_is_listed(tmp_path):
    touch(tmp_path / "valid.txt")
    with pytest.raises(CorpusError) as error:
        find(WIKITEXT2, tmp_path)
    assert str(error.value) == (
        f"{tmp_path}: has no train.txt or train.txt.gz, test.txt or test.txt.gz; nor wikitext-2-v1.zip"
    )


def test_own_text_is_not_looked_for_below(tmp_path):
    corpus = own_corpus(["en"], 9)
    touch(*(tmp_path / f"{split}.en" for split in ("train", "test")), tmp_path / "old" / "valid.en")
    with pytest.raises(CorpusError, match="has no valid.en$"):
        find(corpus, tmp_path, deep=False)


def test_sums_of_files_and_of_what_packed_ones_hold(tmp_path, monkeypatch):
    content = b"text\n"
    packed = gzip.compress(content)
    (tmp_path / "train.txt.gz").write_bytes(packed)
    (tmp_path / "test.txt").write_bytes(content)
    known = {"train.txt": hashlib.sha256(content).hexdigest(), "test.txt": hashlib.sha256(content).hexdigest()}
    monkeypatch.setattr(catalogue, "SHA256", {"wikitext-2": known})
    files = [tmp_path / "train.txt.gz", tmp_path / "test.txt"]
    assert check_sums(WIKITEXT2, files, tmp_path / "download") == {
        "train.txt.gz": hashlib.sha256(packed).hexdigest(),
        "test.txt": known["test.txt"],
    }


@pytest.mark.parametrize("name", ["train.txt.gz", "train.txt"])
@pytest.mark.parametrize("downloaded", [True, False])
def test_wrong_sum_is_refused_and_only_a_download_is_put_aside(tmp_path, monkeypatch, name, downloaded):
    path = tmp_path / name
    path.write_bytes(gzip.compress(b"other") if name.endswith("gz") else b"other")
    found = hashlib.sha256(b"other").hexdigest()
    monkeypatch.setattr(catalogue, "SHA256", {"wikitext-2": {"train.txt": "0000"}})
    with pytest.raises(CorpusError, match=f"{name}: SHA-256 is {found}, expected 0000"):
        check_sums(WIKITEXT2, [path], tmp_path if downloaded else tmp_path / "download")
    assert path.exists() is not downloaded and (tmp_path / f"{name}.rejected").exists() is downloaded
