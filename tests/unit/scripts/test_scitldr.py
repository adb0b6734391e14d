"""Documents of SciTLDR."""

import json

import pytest
from experiments.corpora import catalogue
from experiments.corpora.catalogue import CORPORA
from experiments.corpora.scitldr import build, documents
from experiments.corpora.text_files import CorpusError
from miniature_archives import scitldr


def test_abstract_and_summaries(tmp_path):
    record = {"source": [" One  sentence.", "Two\nlines."], "target": ["A  summary.", "B"], "title": "x"}
    (tmp_path / "d.jsonl").write_text(json.dumps(record) + "\n")
    assert list(documents(tmp_path / "d.jsonl")) == [("One sentence. Two lines.", ["A summary.", "B"])]


@pytest.mark.parametrize(
    "line",
    ["{", '{"source": ["x"]}', '{"source": "x", "target": ["y"]}', '{"source": ["x"], "target": []}', "[1]"],
    ids=["no json", "no target", "text for a list", "no summary", "a list"],
)
def test_malformed_document_is_named_by_its_line(tmp_path, line):
    (tmp_path / "d.jsonl").write_text('{"source": ["x"], "target": ["y"]}\n' + line + "\n")
    with pytest.raises(CorpusError, match="d.jsonl: line 2 is no document"):
        list(documents(tmp_path / "d.jsonl"))


def test_documents_are_counted_not_pairs(tmp_path, monkeypatch):
    found = scitldr(tmp_path, packed=False)
    (tmp_path / "raw").mkdir()
    files = {path.name: path for path in tmp_path.glob("*.jsonl")}
    monkeypatch.setattr(catalogue, "LINES", {"scitldr": {"train": 40, "valid": 6, "test": 5}})
    counts = build(CORPORA["scitldr"], files, tmp_path / "raw", None)
    assert counts == {"train": sum(len(targets) for _, targets in found["train"]), "valid": 6, "test": 5}
    assert counts["train"] > 40
    monkeypatch.setattr(catalogue, "LINES", {"scitldr": {"train": 41}})
    with pytest.raises(CorpusError, match="train.jsonl: 40 lines found, expected 41"):
        build(CORPORA["scitldr"], files, tmp_path / "raw", None)
