"""Sides of equal length, and the limits on lengths."""

from itertools import product

import pytest
from experiments.corpora.parallel_text import Limits, Side, cleaned, fits, pairs
from experiments.corpora.text_files import CorpusError


def test_pairs_of_equal_sides_are_counted():
    counted = {}
    found = list(pairs(Side(iter("abc"), "x.de"), Side(iter("def"), "x.en"), counted))
    assert found == [("a", "d"), ("b", "e"), ("c", "f")] and counted == {"pairs": 3}


@pytest.mark.parametrize("first,second", [(3, 5), (5, 3), (0, 1), (4, 3), (3, 4)])
def test_unequal_sides_are_named_with_their_lengths(first, second):
    with pytest.raises(CorpusError, match=f"x.de has {first} lines, x.en has {second}$"):
        list(pairs(Side(["l"] * first, "x.de"), Side(["l"] * second, "x.en")))


def test_limits_against_the_rule_of_moses_clean_corpus():
    """clean-corpus-n.perl: out if a side is shorter or longer than allowed, or either ratio is above the limit."""
    limits = Limits(1, 9, 1.5)
    for first, second in product(range(12), repeat=2):
        out = first < 1 or second < 1 or first > 9 or second > 9 or first / second > 1.5 or second / first > 1.5
        assert fits(first, second, limits) is not out


def test_pairs_are_cleaned_by_the_lengths_given():
    rows = [("a b", "c d e"), ("a b", "c d e f"), ("", "a"), ("a", "b")]
    kept = cleaned(rows, Limits(1, 175, 1.5), lambda pair: tuple(len(side.split()) for side in pair))
    assert list(kept) == [("a b", "c d e"), ("a", "b")]
    assert list(cleaned(rows, Limits(1, 1, 9), lambda pair: (len(pair[0]), len(pair[1])))) == [("a", "b")]
