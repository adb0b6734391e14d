"""ROUGE through sacrebleu's metric interface: numbers worked out by hand, several references, significance."""

import logging

import pytest

pytest.importorskip("rouge_score", reason="rouge-score is not installed: pip install rouge-score")

from rouge_score.rouge_scorer import RougeScorer

from fairseq_ghat.evaluation.rouge import KINDS, Rouge
from fairseq_ghat.evaluation.scoring import score_systems

HYPOTHESES = ["the cat sat on the mat", "a dog runs"]
REFERENCES = ["the cat was on a mat", "two dogs run home"]


# First sentence: 4 of 6 words match (the, cat, on, mat), 1 of 5 bigrams (the cat), 4 words in order. Second one, in
# stems: dog and run, 2 of 3 and 2 of 4; the bigram "dog run", 1 of 2 and 1 of 3; 2 in order.
@pytest.mark.parametrize(
    "name,first,second", [("ROUGE-1", 4 / 6, 4 / 7), ("ROUGE-2", 1 / 5, 2 / 5), ("ROUGE-L", 4 / 6, 4 / 7)]
)
def test_f1_worked_out_by_hand(name, first, second):
    score = Rouge(name).corpus_score(HYPOTHESES, [REFERENCES])
    assert score.name == name
    assert score.score == pytest.approx(100 * (first + second) / 2)


def test_of_several_references_the_best_counts():
    """The second sentence has only one."""
    more = ["something else", None]
    one, several = (
        Rouge("ROUGE-1").corpus_score(HYPOTHESES, refs).score for refs in ([REFERENCES], [more, REFERENCES])
    )
    assert several == pytest.approx(one)
    perfect = Rouge("ROUGE-1").corpus_score(HYPOTHESES, [REFERENCES, [HYPOTHESES[0], None]]).score
    assert perfect == pytest.approx(100 * (1 + 4 / 7) / 2)


# Summaries of several sentences, as they follow one another and in the order of another system.
SUMMARIES = [
    ["The cat sat on the mat.", "Two dogs barked, said Mr. Hill.", "Nobody came."],
    ["Prices rose by 2.5 percent.", "Shops are empty!"],
]
OTHERS = [
    ["Nobody came.", "The dogs were barking.", "A cat sat on a mat."],
    ["The shops are quite empty.", "Prices have risen 2.5 percent."],
]


def by_rouge_score(kind, separator):
    """Mean F1 of OTHERS against SUMMARIES by rouge-score itself."""
    scorer = RougeScorer([kind], use_stemmer=True)
    scores = [scorer.score(separator.join(r), separator.join(h))[kind] for r, h in zip(SUMMARIES, OTHERS)]
    return 100 * sum(score.fmeasure for score in scores) / len(scores)


def joined(summaries, separator):
    return [separator.join(summary) for summary in summaries]


@pytest.mark.parametrize("of_references,of_hypotheses", [("\n", "<q>"), ("<q>", "<q>"), ("\n", "\n"), (" <q> ", "<q>")])
def test_rouge_l_is_rouge_scores_rougelsum_of_marked_sentences(of_references, of_hypotheses):
    references, hypotheses = [joined(SUMMARIES, of_references)], {"it": joined(OTHERS, of_hypotheses)}
    scores = score_systems(hypotheses, references, "rouge", resamples=2)
    assert scores["ROUGE-L"]["it"].score == pytest.approx(by_rouge_score("rougeLsum", "\n"))
    assert scores["ROUGE-L"]["it"].score > by_rouge_score("rougeL", " ") + 20
    for name in ("ROUGE-1", "ROUGE-2"):  # a mark is no word
        assert scores[name]["it"].score == pytest.approx(by_rouge_score(KINDS[name], " "))


@pytest.mark.parametrize("of_references", ["\n", " "])
def test_sentences_are_found_where_they_are_not_marked(of_references):
    pytest.importorskip("pysbd", reason="pysbd is not installed: pip install pysbd")
    references, hypotheses = [joined(SUMMARIES, of_references)], {"it": joined(OTHERS, " ")}
    scores = score_systems(hypotheses, references, "rouge", resamples=2, split_sentences=True)
    assert scores["ROUGE-L"]["it"].score == pytest.approx(by_rouge_score("rougeLsum", "\n"))
    assert "kind:rougeLsum|sentences:marked+pysbd-" in scores["ROUGE-L"]["it"].signature


def test_union_of_subsequences_worked_out_by_hand():
    """The example of Lin (2004): 1 and 2 from the first sentence, 1, 3 and 5 from the second, so 4 of 5 and 4 of 10.

    And two sentences in the other order: all 6 words are in the union, 3 of 6 in one sequence.
    """
    assert Rouge("ROUGE-L").corpus_score(["w1 w2 w6 w7 w8\nw1 w3 w8 w9 w5"], [["w1 w2 w3 w4 w5"]]).score == (
        pytest.approx(100 * 2 * 4 / (5 + 10))
    )
    marked = Rouge("ROUGE-L").corpus_score(["a b c\nd e f"], [["d e f\na b c"]]).score
    assert (marked, Rouge("ROUGE-L").corpus_score(["a b c d e f"], [["d e f a b c"]]).score) == (
        pytest.approx(100),
        pytest.approx(50),
    )


@pytest.mark.parametrize("split", [False, True])
def test_a_single_sentence_scores_as_before(split):
    if split:
        pytest.importorskip("pysbd", reason="pysbd is not installed: pip install pysbd")
    scorer = RougeScorer(["rougeL"], use_stemmer=True)
    for hypothesis, reference in zip(joined(OTHERS, " and "), joined(SUMMARIES, ", ")):
        hypothesis, reference = hypothesis.replace(".", ""), reference.replace(".", "").replace("!", "")
        score = Rouge("ROUGE-L", split).corpus_score([hypothesis], [[reference]]).score
        assert 0 < score == pytest.approx(100 * scorer.score(reference, hypothesis)["rougeL"].fmeasure)


@pytest.mark.parametrize(
    "reference,hypothesis,message",
    [
        ("\n", " ", "it does not mark sentences .by <q>., the references do, by that or by newlines"),
        (" ", "<q>", "it marks sentences .by <q>., the references do not"),
    ],
)
def test_marked_and_unmarked_sentences_are_not_compared(reference, hypothesis, message):
    systems = {"other": joined(OTHERS, reference), "it": joined(OTHERS, hypothesis)}
    with pytest.raises(ValueError, match=f"{message}; ROUGE-L compares sentences: give --split-sentences"):
        score_systems(systems, [joined(SUMMARIES, reference)], "rouge", resamples=2)


def test_unmarked_text_of_several_sentences_is_warned_of(caplog):
    with caplog.at_level(logging.WARNING, "fairseq_ghat"):
        score_systems({"it": HYPOTHESES}, [REFERENCES, [None, "One here. Two there."]], "rouge", resamples=2)
    assert "1 of 3 references look like several sentences" in caplog.text and "--split-sentences" in caplog.text
    caplog.clear()
    score_systems({"it": HYPOTHESES}, [REFERENCES], "rouge", resamples=2)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_signature_says_how():
    signatures = {}
    for name in KINDS:
        metric = Rouge(name)
        metric.corpus_score(HYPOTHESES, [REFERENCES, [None, "more"]])
        signatures[name] = str(metric.get_signature())
        assert "nrefs:var" in signatures[name] and "|stem:porter|" in signatures[name]
        assert "rouge_score:" in signatures[name]
    assert "|kind:rougeLsum|sentences:marked|" in signatures["ROUGE-L"] and "sentences" not in signatures["ROUGE-1"]


def test_sacrebleu_tests_significance_with_it():
    references = [[f"word{i} and word{i + 1} and more" for i in range(60)]]
    good = [f"word{i} and word{i + 1}" for i in range(60)]
    poor = [f"word{i} or nothing" if i % 2 else f"word{i} and word{i + 1}" for i in range(60)]
    results = score_systems({"good": good, "same": good, "poor": poor}, references, "rouge", resamples=300)
    for name in KINDS:
        assert results[name]["same"].score == results[name]["good"].score and results[name]["same"].p_value == 1
        assert results[name]["poor"].score < results[name]["good"].score and results[name]["poor"].p_value < 0.01
