"""Word and phone error rate: numbers worked out by hand, a textbook edit distance, several references, significance."""

import random

import pytest

pytest.importorskip("jiwer", reason="jiwer is not installed: pip install jiwer")

from fairseq_ghat.evaluation.error_rate import ERROR_RATES, ErrorRate
from fairseq_ghat.evaluation.scoring import score_systems

# "k æ t" with one replaced; "d ɒ ɡ" right; "h aʊ s" with two inserted; "b i" with one deleted; "ʃ i p" not at all.
REFERENCES = ["k æ t", "d ɒ ɡ", "h aʊ s", "b i", "ʃ i p"]
HYPOTHESES = ["k ɛ t", "d ɒ ɡ", "ə h aʊ s ɪ", "b", ""]


def rates(hypotheses, references):
    return {name: ErrorRate(name).corpus_score(hypotheses, references).score for name in ERROR_RATES}


def edit_distance(first, second):
    """The table of Wagner and Fischer (1974)."""
    table = [list(range(len(second) + 1))]
    for row, one in enumerate(first, 1):
        table.append([row])
        for column, other in enumerate(second, 1):
            replaced = table[row - 1][column - 1] + (one != other)
            table[row].append(min(replaced, table[row - 1][column] + 1, table[row][column - 1] + 1))
    return table[-1][-1]


def test_rates_worked_out_by_hand():
    """4 of 5 words; 1 + 0 + 2 + 1 + 3 edits of 3 + 3 + 3 + 2 + 3 phonemes."""
    assert rates(HYPOTHESES, [REFERENCES]) == {"WER": pytest.approx(80), "PER": pytest.approx(100 * 7 / 14)}
    assert rates(["a b c"], [["x"]]) == {"WER": 100, "PER": 300}  # more edits than phonemes


def test_two_edits_at_the_beginning_are_two():
    assert rates(["c"], [["a b c"]]) == {"WER": 100, "PER": pytest.approx(100 * 2 / 3)}


def test_edits_are_those_of_the_textbooks_table():
    rng = random.Random(4)
    texts = [[[rng.choice("abcd") for _ in range(rng.randrange(1, 12))] for _ in range(300)] for _ in range(2)]
    references, hypotheses = [[" ".join(text) for text in side] for side in texts]
    edits = [edit_distance(one, other) for one, other in zip(*texts)]
    assert rates(hypotheses, [references]) == {
        "WER": pytest.approx(100 * sum(map(bool, edits)) / 300),
        "PER": pytest.approx(100 * sum(edits) / sum(map(len, texts[0]))),
    }


def test_of_several_references_the_nearest_counts():
    """The first word is right by its second reference, the second is one edit from its first one, of 3 phonemes."""
    assert rates(["b i", "k æ t"], [["b i d", "k ɛ t"], ["b i", "m æ t s"], [None, "d ɒ ɡ"]]) == {
        "WER": 50,
        "PER": pytest.approx(100 * 1 / (2 + 3)),
    }


def test_only_symbols_count_not_the_space_between_them():
    assert rates([" k  æ\tt "], [["k æ t"]]) == {"WER": 0, "PER": 0}
    assert rates(["K æ t", "k æt"], [["k æ t", "k æ t"]]) == {"WER": 100, "PER": 50}  # a case, one lost and one other


def test_signature_says_how():
    metric = ErrorRate("PER")
    metric.corpus_score(HYPOTHESES, [REFERENCES, [*REFERENCES[:-1], None]])
    signature = str(metric.get_signature())
    assert "nrefs:var" in signature and "|counts:edits|jiwer:" in signature


def test_sacrebleu_tests_significance_with_it():
    references = [[f"a b c{i}" for i in range(60)]]
    good = [f"a b c{i % 57}" for i in range(60)]
    poor = [f"a c{i}" if i % 2 else f"a b c{i}" for i in range(60)]
    results = score_systems({"good": good, "same": good, "poor": poor}, references, "error-rate", resamples=300)
    assert list(results) == ["WER", "PER"]
    for by_system in results.values():
        assert by_system["good"].p_value is None and by_system["good"].interval > 0
        assert by_system["same"].score == by_system["good"].score and by_system["same"].p_value == 1
        assert by_system["poor"].score > by_system["good"].score and by_system["poor"].p_value < 0.01


@pytest.mark.parametrize("empty", ["", " "])
def test_a_reference_without_symbols_is_named(empty):
    with pytest.raises(ValueError, match="the reference of line 2 is empty"):
        score_systems({"it": ["a", "b"]}, [["a", "b"], [None, empty]], "error-rate", resamples=2)
