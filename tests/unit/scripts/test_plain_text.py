"""Text that is taken as it is: Multi30k, WikiText, and that of one's own."""

import gzip

import pytest
from experiments.corpora import catalogue
from experiments.corpora.catalogue import CORPORA, own_corpus
from experiments.corpora.plain_text import build
from experiments.corpora.text_files import SPLITS, CorpusError
from miniature_archives import multi30k, text, wikitext


@pytest.fixture
def captions(tmp_path, raw):
    multi30k(tmp_path)
    return {path.name: path for path in tmp_path.glob("*.gz")}


def test_captions_are_taken_byte_for_byte(captions, tmp_path, monkeypatch):
    monkeypatch.setattr(catalogue, "LINES", {"multi30k.de-en": {"train": 80, "valid": 9, "test": 7}})
    captions["val.de.gz"].write_bytes(gzip.compress(" Größe \n".encode() * 9))
    assert build(CORPORA["multi30k.de-en"], captions, tmp_path / "raw", None) == {"train": 80, "valid": 9, "test": 7}
    assert (tmp_path / "raw" / "valid.de").read_bytes() == " Größe \n".encode() * 9
    assert (tmp_path / "raw" / "test.en").read_bytes() == gzip.decompress(
        captions["test_2016_flickr.en.gz"].read_bytes()
    )


def test_sides_and_lines_must_be_all_there(captions, tmp_path, monkeypatch):
    with pytest.raises(CorpusError, match="train: 80 lines found, expected 29,000"):
        build(CORPORA["multi30k.de-en"], captions, tmp_path / "raw", None)
    monkeypatch.setattr(catalogue, "LINES", {})
    captions["val.de.gz"].write_bytes(gzip.compress(b"one\n"))
    with pytest.raises(CorpusError, match=r"val.de.gz has 1 lines, .*val.en.gz has 9"):
        build(CORPORA["multi30k.de-en"], captions, tmp_path / "raw", None)


@pytest.fixture
def raw(tmp_path):
    (tmp_path / "raw").mkdir()
    return tmp_path / "raw"


def test_text_is_taken_byte_for_byte(tmp_path, raw, monkeypatch):
    content = {split: f" \n = {split} = \n\n <unk> @-@ text \n".encode() for split in ("train", "valid", "test")}
    files = {f"{split}.txt": tmp_path / f"{split}.txt.gz" for split in content}
    for split, lines in content.items():
        (tmp_path / f"{split}.txt.gz").write_bytes(gzip.compress(lines))
    monkeypatch.setattr(catalogue, "LINES", {"wikitext-2": {"train": 4}})
    assert build(CORPORA["wikitext-2"], files, raw, None) == {"train": 4, "valid": 4, "test": 4}
    assert {path.name: path.read_bytes() for path in raw.iterdir()} == {f"{s}.en": t for s, t in content.items()}


def test_archive(tmp_path, raw, monkeypatch):
    found = wikitext(tmp_path, "103")
    files = {"wikitext-103-v1.zip": tmp_path / "wikitext-103-v1.zip"}
    monkeypatch.setattr(catalogue, "LINES", {"wikitext-103": {"valid": 11}})
    build(CORPORA["wikitext-103"], files, raw, None)
    assert {path.name: path.read_bytes() for path in raw.iterdir()} == {f"{s}.en": text(t) for s, t in found.items()}
    monkeypatch.setattr(catalogue, "LINES", {"wikitext-103": {"valid": 12}})
    with pytest.raises(CorpusError, match="wikitext-103-v1.zip: valid: 11 lines found, expected 12"):
        build(CORPORA["wikitext-103"], files, raw, None)


def written(folder, texts):
    for name, content in texts.items():
        (folder / name).write_bytes(content)
    return {name: folder / name for name in texts}


@pytest.mark.parametrize("languages,form,lines", [(["de", "en"], " {} \r{}\n\nx\n", 3), (["fr"], "{}\n", 1)])
def test_own_text_of_two_languages_or_one(tmp_path, raw, languages, form, lines):
    texts = {f"{split}.{side}": form.format(split, side).encode() for split in SPLITS for side in languages}
    counts = build(own_corpus(languages, 9), written(tmp_path, texts), raw, None)
    assert counts == {"train": lines, "valid": lines, "test": lines}
    assert {path.name: path.read_bytes() for path in raw.iterdir()} == texts


def test_sides_of_unequal_length_are_named(tmp_path, raw):
    files = written(tmp_path, {f"{split}.{side}": b"x\n" for split in SPLITS for side in ("de", "en")})
    files["valid.en"].write_bytes(b"x\ny\n")
    with pytest.raises(CorpusError, match=r"valid.de has 1 lines, .*valid.en has 2"):
        build(own_corpus(["de", "en"], 9), files, tmp_path / "raw", None)
