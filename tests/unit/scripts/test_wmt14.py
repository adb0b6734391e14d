"""What WMT 2014 is trained on, and what is refused."""

import pytest
from experiments.corpora import catalogue
from experiments.corpora.catalogue import CORPORA
from experiments.corpora.text_files import CorpusError
from experiments.corpora.wmt14 import build, training_parts
from miniature_archives import text, wmt14, write_tar


def test_corpora_of_both_pairs_in_the_order_of_fairseqs_scripts():
    assert [part.name for part in training_parts("de")] == [
        "europarl-v7.de-en",
        "commoncrawl.de-en",
        "news-commentary-v9.de-en",
    ]
    assert [part.name + "." + "en" + part.end for part in training_parts("fr")] == [
        "europarl-v7.fr-en.en",
        "commoncrawl.fr-en.en",
        "undoc.2000.fr-en.en",
        "news-commentary-v9.fr-en.en",
        "giga-fren.release2.fixed.en.gz",
    ]
    for other in ("de", "fr"):
        archives = {file.name for file in CORPORA[f"wmt14.en-{other}"].alternatives[0]}
        assert archives == {part.archive for part in training_parts(other)} | {"dev.tgz", "test-full.tgz"}


@pytest.fixture
def files(tmp_path):
    wmt14(tmp_path, "de")
    (tmp_path / "raw").mkdir()
    return {path.name: path for path in tmp_path.glob("*.tgz")}


def test_sides_of_unequal_length_are_named(files, tmp_path, monkeypatch):
    monkeypatch.setattr(catalogue, "LINES", {})
    members = {"commoncrawl.de-en.en": text("abc"), "commoncrawl.de-en.de": text("ab")}
    write_tar(files["training-parallel-commoncrawl.tgz"], members)
    with pytest.raises(CorpusError, match=r"commoncrawl.de-en.en has 3 lines, .*commoncrawl.de-en.de has 2"):
        build(CORPORA["wmt14.en-de"], files, tmp_path / "raw", None)


@pytest.mark.parametrize(
    "part,found", [("europarl-v7.de-en", 31), ("newstest2013", 5), ("newstest2014", 7)], ids=lambda value: str(value)
)
def test_each_part_is_counted(files, tmp_path, monkeypatch, part, found):
    counts = {"europarl-v7.de-en": 31, "newstest2013": 5, "newstest2014": 7}
    monkeypatch.setattr(catalogue, "LINES", {"wmt14.en-de": counts})
    build(CORPORA["wmt14.en-de"], files, tmp_path / "raw", None)
    counts[part] += 1
    with pytest.raises(CorpusError, match=f"{part}.*: {found} lines found, expected {found + 1}"):
        build(CORPORA["wmt14.en-de"], files, tmp_path / "raw", None)
