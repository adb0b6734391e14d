"""WikiText: the text byte for byte, from an archive or from text files, in so many lines."""

import gzip

import pytest
from experiments.corpora import catalogue
from experiments.corpora.catalogue import CORPORA
from experiments.corpora.errors import CorpusError
from experiments.corpora.wikitext import build
from miniature_archives import text, wikitext


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
