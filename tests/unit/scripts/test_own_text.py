"""Text of one's own: taken as it is."""

import pytest
from experiments.corpora.catalogue import own_corpus
from experiments.corpora.errors import CorpusError
from experiments.corpora.own_text import build
from experiments.corpora.text_files import SPLITS


def written(folder, texts):
    (folder / "raw").mkdir()
    for name, content in texts.items():
        (folder / name).write_bytes(content)
    return {name: folder / name for name in texts}


def test_two_languages(tmp_path):
    texts = {f"{split}.{side}": f" {split} \r{side}\n\nx\n".encode() for split in SPLITS for side in ("de", "en")}
    files = written(tmp_path, texts)
    counts = build(own_corpus(["de", "en"], 9), files, tmp_path / "raw", None)
    assert counts == {"train": 3, "valid": 3, "test": 3}
    assert {path.name: path.read_bytes() for path in (tmp_path / "raw").iterdir()} == texts


def test_one_language(tmp_path):
    texts = {f"{split}.fr": f"{split}\n".encode() for split in SPLITS}
    files = written(tmp_path, texts)
    assert build(own_corpus(["fr"], 9), files, tmp_path / "raw", None) == {"train": 1, "valid": 1, "test": 1}
    assert {path.name: path.read_bytes() for path in (tmp_path / "raw").iterdir()} == texts


def test_sides_of_unequal_length_are_named(tmp_path):
    files = written(tmp_path, {f"{split}.{side}": b"x\n" for split in SPLITS for side in ("de", "en")})
    files["valid.en"].write_bytes(b"x\ny\n")
    with pytest.raises(CorpusError, match=r"valid.de has 1 lines, .*valid.en has 2"):
        build(own_corpus(["de", "en"], 9), files, tmp_path / "raw", None)
