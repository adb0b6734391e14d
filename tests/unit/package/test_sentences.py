"""Boundaries of sentences in summaries: marked, found by pysbd, or guessed at."""

import pytest

from fairseq_ghat.evaluation import sentences


@pytest.mark.parametrize("text", ["One here.<q>Two there.", "One here.\nTwo there."])
def test_marks_are_kept(text):
    """Also where sentences are to be found: what is marked is not cut again. This needs no pysbd."""
    assert sentences.is_marked(text) and not sentences.is_marked(text.replace("<q>", " ").replace("\n", " "))
    assert sentences.marked(text) == sentences.split(text) == "One here.\nTwo there."
    assert sentences.split("A. B. C.<q>D. E.") == "A. B. C.\nD. E."


@pytest.mark.parametrize(
    "expected",
    [
        ["He met Mr. Smith on Jan. 5.", "They spoke for 2.5 hours!"],
        ["The U.S. president, Donald J. Trump, left.", "He will be back."],
        ['He said: "Yes."', "She left.", '"No!" he cried.'],
        ["the man left .", "he came back .", "it was 5 p.m. when he did ."],
        ["Flight No. 370, is lost, experts (e.g. Smith et al. 2019) say."],
        ["no mark at the end"],
        [""],
    ],
    ids=["abbreviations", "initials", "quotes", "lower case and tokenised", "one sentence", "no mark", "empty"],
)
def test_sentences_are_found(expected):
    pytest.importorskip("pysbd", reason="pysbd is not installed: pip install pysbd")
    assert sentences.split(" ".join(expected)).split("\n") == expected


def test_no_word_is_lost():
    """Of such a text, pysbd alone loses a part: it marks by that character what it has looked at."""
    pysbd = pytest.importorskip("pysbd", reason="pysbd is not installed: pip install pysbd")
    text = "A word ♨ here. Two."
    assert pysbd.Segmenter(language="en", clean=False).segment(text) == ["Two."]
    assert sentences.split(text) == text


@pytest.mark.parametrize(
    "text,several",
    [("One. Two", True), ('"One!" Two', True), ("One.", False), ("1.5 of 2", False), ("", False), (None, False)],
)
def test_several_sentences_at_a_glance(text, several):
    assert sentences.may_be_several(text) == several
