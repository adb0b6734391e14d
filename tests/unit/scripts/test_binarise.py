"""Options of fairseq-preprocess."""

from pathlib import Path

import pytest
from experiments.corpora import binarise
from experiments.corpora.catalogue import CORPORA
from experiments.corpora.text_files import CorpusError


def options(name):
    return " ".join(binarise.options(CORPORA[name], Path("t")))


def test_pairs_with_two_dictionaries_or_one():
    prefixes = "--trainpref t/train --validpref t/valid --testpref t/test"
    assert options("iwslt14.de-en") == f"--source-lang de --target-lang en {prefixes}"
    assert options("scitldr") == f"--source-lang source --target-lang target --joined-dictionary {prefixes}"


def test_one_language():
    assert options("wikitext-2") == ("--only-source --trainpref t/train.en --validpref t/valid.en --testpref t/test.en")


def test_missing_fairseq_is_named(monkeypatch):
    binarise.require_fairseq()
    monkeypatch.setattr(binarise.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(CorpusError, match="fairseq cannot be imported"):
        binarise.require_fairseq()
