"""Scores of several systems: sacrebleu's own figures, a bootstrap done by hand, and references of all forms."""

import random

import numpy as np
import pytest
from sacrebleu.metrics import BLEU

from fairseq_ghat.evaluation.scoring import BadReferences, read_references, score_systems


def corpus(count=80):
    """References, and three systems: one that drops some words, the same again, one that drops many."""
    rng = random.Random(2)
    references = [[f"w{rng.randrange(30)}" for _ in range(rng.randrange(6, 14))] for _ in range(count)]

    def dropping(share):
        return [" ".join(word for word in words if rng.random() > share) for words in references]

    few, many = dropping(0.05), dropping(0.2)
    return [[" ".join(words) for words in references]], {"few": few, "same": few, "many": many}


def test_scores_are_sacrebleus_and_the_first_system_is_the_baseline():
    references, systems = corpus()
    found = score_systems(systems, references, "bleu", resamples=200)["BLEU"]
    for name, hypotheses in systems.items():
        assert found[name].score == pytest.approx(BLEU().corpus_score(hypotheses, references).score)
    assert found["few"].p_value is None
    assert found["same"].p_value == 1  # sacrebleu itself: 1 / (resamples + 1)
    assert found["many"].p_value < 0.01
    assert "bs:200|seed:12345" in found["few"].signature and "case:mixed" in found["few"].signature


def test_p_value_is_that_of_a_bootstrap_by_hand():
    references, systems = corpus(30)
    rng = random.Random(5)
    other = [" ".join(w for w in text.split() if rng.random() > 0.04) for text in references[0]]
    resamples = 100
    found = score_systems({"few": systems["few"], "other": other}, references, "bleu", resamples=resamples)["BLEU"]
    draws = np.random.default_rng(12345).choice(30, size=(resamples, 30), replace=True)

    def bleu(texts, draw):
        return BLEU().corpus_score([texts[i] for i in draw], [[references[0][i] for i in draw]]).score

    differences = [abs(bleu(other, draw) - bleu(systems["few"], draw)) for draw in draws]
    seen = abs(found["other"].score - found["few"].score)
    beyond = sum(d - np.mean(differences) > seen for d in differences)
    assert found["other"].p_value == pytest.approx((beyond + 1) / (resamples + 1))


def test_case_is_left_out_on_demand():
    found = score_systems({"a": ["The Cat sat down here"]}, [["the cat sat down here"]], "bleu", lowercase=True)
    assert found["BLEU"]["a"].score == pytest.approx(100) and "case:lc" in found["BLEU"]["a"].signature


def test_a_system_of_another_length_is_named():
    with pytest.raises(ValueError, match="short has 1 sentences, the references have 2"):
        score_systems({"full": ["a", "b"], "short": ["a"]}, [["a", "b"]], "bleu")


def test_references_one_a_line(tmp_path):
    path = tmp_path / "test.en"
    path.write_text("one\u2028still one\ntwo\n", encoding="utf-8")
    assert read_references(path) == [["one\u2028still one", "two"]]


def test_several_references_a_line(tmp_path):
    path = tmp_path / "test.jsonl"
    path.write_text('["a", "b", "c"]\n["d"]\n')
    assert read_references(path) == [["a", "d"], ["b", None], ["c", None]]


@pytest.mark.parametrize(
    "content,message",
    [
        ("", "is empty"),
        ('["a"]\nb\n', "line 2 is not a JSON list of references"),
        ('["a"]\n[]\n', "line 2 is not"),
        ('{"a": 1}\n', "line 1 is not"),
        ('["a", 1]\n', "line 1 is not"),
    ],
    ids=["empty", "no JSON", "no reference", "no list", "no text"],
)
def test_bad_references_are_refused(tmp_path, content, message):
    path = tmp_path / "test.jsonl"
    path.write_text(content)
    with pytest.raises(BadReferences, match=f"test.jsonl: {message}"):
        read_references(path)
