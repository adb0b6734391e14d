"""ROUGE through sacrebleu's metric interface: numbers worked out by hand, several references, significance."""

import pytest

pytest.importorskip("rouge_score", reason="rouge-score is not installed: pip install rouge-score")

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


def test_signature_says_how():
    metric = Rouge("ROUGE-L")
    metric.corpus_score(HYPOTHESES, [REFERENCES, [None, "more"]])
    signature = str(metric.get_signature())
    assert "nrefs:var" in signature and "stem:porter" in signature and "rouge_score:" in signature


def test_sacrebleu_tests_significance_with_it():
    references = [[f"word{i} and word{i + 1} and more" for i in range(60)]]
    good = [f"word{i} and word{i + 1}" for i in range(60)]
    poor = [f"word{i} or nothing" if i % 2 else f"word{i} and word{i + 1}" for i in range(60)]
    results = score_systems({"good": good, "same": good, "poor": poor}, references, "rouge", resamples=300)
    for name in KINDS:
        assert results[name]["same"].score == results[name]["good"].score and results[name]["same"].p_value == 1
        assert results[name]["poor"].score < results[name]["good"].score and results[name]["poor"].p_value < 0.01
