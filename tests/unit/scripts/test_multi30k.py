"""Multi30k: both sides as they are, equally long, in so many lines."""

import gzip

import pytest
from experiments.corpora import catalogue
from experiments.corpora.catalogue import CORPORA
from experiments.corpora.errors import CorpusError
from experiments.corpora.multi30k import build
from miniature_archives import multi30k


@pytest.fixture
def files(tmp_path):
    multi30k(tmp_path)
    (tmp_path / "raw").mkdir()
    return {path.name: path for path in tmp_path.glob("*.gz")}


def test_captions_are_taken_byte_for_byte(files, tmp_path, monkeypatch):
    monkeypatch.setattr(catalogue, "LINES", {"multi30k.de-en": {"train": 80, "valid": 9, "test": 7}})
    files["val.de.gz"].write_bytes(gzip.compress(" Größe \n".encode() * 9))
    assert build(CORPORA["multi30k.de-en"], files, tmp_path / "raw", None) == {"train": 80, "valid": 9, "test": 7}
    assert (tmp_path / "raw" / "valid.de").read_bytes() == " Größe \n".encode() * 9
    assert (tmp_path / "raw" / "test.en").read_bytes() == gzip.decompress(files["test_2016_flickr.en.gz"].read_bytes())


def test_sides_and_lines_must_be_all_there(files, tmp_path, monkeypatch):
    with pytest.raises(CorpusError, match="train: 80 lines found, expected 29,000"):
        build(CORPORA["multi30k.de-en"], files, tmp_path / "raw", None)
    monkeypatch.setattr(catalogue, "LINES", {})
    files["val.de.gz"].write_bytes(gzip.compress(b"one\n"))
    with pytest.raises(CorpusError, match=r"val.de.gz has 1 lines, .*val.en.gz has 9"):
        build(CORPORA["multi30k.de-en"], files, tmp_path / "raw", None)
