"""Moses tokens and byte-pair encoding."""

import importlib.util
import pickle

import pytest
from experiments.corpora import moses_bpe
from experiments.corpora.errors import CorpusError
from experiments.corpora.moses_bpe import MosesBpe, printable
from experiments.corpora.subwords import Line

needs_packages = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("sacremoses", "subword_nmt")),
    reason="needs sacremoses and subword-nmt",
)


def test_missing_packages_are_named_with_the_command_that_installs_them(monkeypatch):
    monkeypatch.setattr(moses_bpe.importlib.util, "find_spec", lambda name: None)
    message = "sacremoses and subword_nmt cannot be imported: pip install sacremoses subword-nmt"
    with pytest.raises(CorpusError, match=message):
        MosesBpe(lowercase=True, extra=False)


def test_characters_that_do_not_print_become_spaces():
    assert printable("a\u200bb\x07c\u00add é") == "a b c d é"
    assert printable("plain text") == "plain text"


@needs_packages
def test_tokens_as_for_iwslt_and_as_for_wmt():
    text = "It's „well-known“, isn’t it?\x07"
    iwslt, wmt = MosesBpe(lowercase=True, extra=False), MosesBpe(lowercase=False, extra=True)
    assert iwslt.prepared(Line("It's well-known (1.5)", "en", "train")) == "it &apos;s well-known ( 1.5 )"
    assert wmt.prepared(Line(text, "en", "train")) == "It &apos;s &quot; well @-@ known , &quot; isn &apos;t it ?"
    for split in ("valid", "test"):
        assert "„" in wmt.prepared(Line(text, "en", split)), "published sets are tokenised only"


@needs_packages
def test_abbreviations_are_those_of_the_language():
    encoder = MosesBpe(lowercase=False, extra=False)
    assert encoder.prepared(Line("Herr Prof. Nr. ja.", "de", "train")) == "Herr Prof. Nr. ja ."
    assert encoder.prepared(Line("Herr Prof. Nr. ja.", "fr", "train")) == "Herr Prof . Nr. ja ."


@needs_packages
def test_merges_against_a_count_by_hand(tmp_path, capsys):
    """Of low (5), lower (2) and slow (1): lo 8 times, then low in low and slow, which end in w, 6 times."""
    encoder = MosesBpe(lowercase=False, extra=False)
    encoder.learn(["low low low low low", "lower lower slow"], tmp_path, 2)
    merges = (tmp_path / "bpe.codes").read_text().splitlines()[1:]
    assert merges == ["l o", "lo w</w>"]
    assert encoder.encode(Line("low slow lower", "en", "test")) == "low s@@ low lo@@ w@@ e@@ r"
    assert capsys.readouterr().err == ""
    again = pickle.loads(pickle.dumps(encoder))
    assert again.encode(Line("low", "en", "test")) == "low"
