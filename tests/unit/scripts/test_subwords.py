"""Learning from the training split and encoding all splits, in one process or several."""

from dataclasses import replace

import pytest
from experiments.corpora import subwords
from experiments.corpora.catalogue import CORPORA, own_corpus
from experiments.corpora.parallel_text import Limits
from experiments.corpora.subwords import encode_splits, training_lines
from experiments.corpora.text_files import write_splits


class Letters:
    """Cuts a line into its letters; says where the line is from."""

    samples = True

    def prepared(self, line):
        return f"{line.text}/{line.language}/{line.split}"

    def encode(self, line):
        return " ".join(line.text.replace(" ", "_"))


ROWS = [
    ("train", ("ab", "abc")),
    ("train", ("ab", "abcd")),
    ("train", ("abcdef", "abcdef")),
    ("valid", ("a", "a")),
    ("valid", ("a bc", "a")),
    ("test", ("a", "bcd ef")),
]
SIZES = {"train": 3, "valid": 2, "test": 1}


@pytest.fixture
def raw(tmp_path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "pieces").mkdir()
    write_splits(tmp_path / "raw", ("de", "en"), ROWS)
    return tmp_path / "raw"


def read(folder):
    return {path.name: path.read_text().splitlines() for path in folder.iterdir()}


@pytest.mark.parametrize("workers", [1, 2])
def test_all_rows_are_encoded_in_their_order(raw, tmp_path, monkeypatch, workers):
    monkeypatch.setattr(subwords, "_BLOCK", 2)
    before = read(raw)
    assert encode_splits(own_corpus(["de", "en"], 9), raw, tmp_path / "pieces", Letters(), workers, SIZES) == SIZES
    assert read(raw) == before
    assert read(tmp_path / "pieces") == {
        name: [" ".join(line.replace(" ", "_")) for line in lines] for name, lines in before.items()
    }


@pytest.mark.parametrize("workers", [1, 2])
def test_corpus_counted_in_pieces_is_cleaned_in_both_forms(raw, tmp_path, workers):
    corpus = replace(own_corpus(["de", "en"], 9), limits=Limits(1, 5, 1.5), counted="pieces")
    counts = encode_splits(corpus, raw, tmp_path / "pieces", Letters(), workers, SIZES)
    assert counts == {"train": 1, "valid": 2, "test": 1}, "a ratio of 4/2, 6 pieces; valid and test are kept whole"
    assert read(raw) == {
        "train.de": ["ab"], "train.en": ["abc"], "valid.de": ["a", "a bc"], "valid.en": ["a", "a"],
        "test.de": ["a"], "test.en": ["bcd ef"],
    }  # fmt: skip
    assert read(tmp_path / "pieces")["train.en"] == ["a b c"]


def test_corpus_counted_in_words_is_not_cleaned_again(raw, tmp_path):
    corpus = replace(own_corpus(["de", "en"], 9), limits=Limits(1, 2, 1.5), counted="words")
    assert encode_splits(corpus, raw, tmp_path / "pieces", Letters(), 1, SIZES) == SIZES


@pytest.mark.parametrize("workers", [1, 2])
def test_both_sides_of_train_are_learnt_from(raw, workers):
    lines = list(training_lines(own_corpus(["de", "en"], 9), raw, Letters(), workers, 3))
    assert lines == [f"{text}/de/train" for text in ("ab", "ab", "abcdef")] + [
        f"{text}/en/train" for text in ("abc", "abcd", "abcdef")
    ]


def test_a_large_text_is_sampled_evenly_where_the_encoder_wants_it(raw):
    corpus = replace(own_corpus(["de", "en"], 9), sampled=4)
    assert list(training_lines(corpus, raw, Letters(), 1, 3)) == [
        "ab/de/train", "abcdef/de/train", "abc/en/train", "abcdef/en/train"
    ]  # fmt: skip
    all_of_it = Letters()
    all_of_it.samples = False
    assert len(list(training_lines(corpus, raw, all_of_it, 1, 3))) == 6


def test_summaries_are_in_english(raw, tmp_path):
    corpus = CORPORA["scitldr"]
    write_splits(raw, ("source", "target"), [("train", ("x", "y"))])
    assert list(training_lines(corpus, raw, Letters(), 1, 1)) == ["x/en/train", "y/en/train"]
