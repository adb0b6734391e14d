"""Scores of one model: those of sacrebleu on the log, and those that ghat-perplexity said."""

import json

import pytest
from experiments.comparison.plan import Comparison, Measured
from experiments.comparison.scores import hypotheses, read_score, references, write_score
from sacrebleu.metrics import BLEU

from fairseq_ghat.cli import score
from fairseq_ghat.evaluation.generation_log import GenerationLogError

LOG = """T-1\ta dog walks home
H-1\t-0.25\ta dog runs home
D-1\t-0.25\ta dog runs home
T-0\ttwo cats sleep here .
H-0\t-0.5\ttwo cats sleep here .
D-0\t-0.5\ttwo cats sleep here.
2026 | INFO | Translated 2 sentences (12 tokens) in 0.5s (6.00 sentences/s, 99.00 tokens/s)
"""
TEXTS = ["two cats sleep here.", "a dog runs home"]
OF_DATA = ["two cats sleep here .", "a dog walks home"]


def model(tmp_path, log=LOG):
    found = Measured(tmp_path / "voted.pt", tmp_path, "voted", translates=True)
    found.output.write_text(log)
    return found


def translation(tmp_path, **more):
    return Comparison("bin", "trained.pt", tmp_path, "translation", 8, ["l1"], languages=("de", "en"), **more)


def test_references_are_those_of_the_data_unless_raw_ones_are_given(tmp_path):
    one = model(tmp_path)
    (tmp_path / "test.en").write_text("Two cats sleep here.\na dog walks home\n")
    assert hypotheses(one) == TEXTS
    assert references(translation(tmp_path), one.output) == [OF_DATA]
    raw = translation(tmp_path, reference=tmp_path / "test.en")
    assert references(raw, one.output) == [["Two cats sleep here.", "a dog walks home"]]


def test_bleu_is_that_of_sacrebleu(tmp_path):
    one = model(tmp_path)
    write_score(translation(tmp_path), one)
    found = read_score(one)
    assert found["score"] == pytest.approx(BLEU().corpus_score(TEXTS, [OF_DATA]).score)
    assert (found["metric"], found["sentences"]) == ("BLEU", 2) and "case:mixed" in found["signature"]


def test_bleu_is_that_of_ghat_score_against_the_same_references(tmp_path, capsys):
    one = model(tmp_path)
    raw = tmp_path / "test.en"
    raw.write_text("Two cats sleep here.\na dog runs home\n")
    write_score(translation(tmp_path, reference=raw, lowercase=True), one)
    assert score.main([str(raw), str(one.output), "--lowercase", "--json"]) == 0
    expected = json.loads(capsys.readouterr().out)["scores"]["BLEU"][str(one.output)]
    found = read_score(one)
    assert found["score"] == expected["score"] == pytest.approx(100)
    assert (found["interval"], found["signature"]) == (expected["interval"], expected["signature"])


@pytest.mark.parametrize(
    "log,message",
    [
        (LOG.replace("T-", "X-"), "voted.generate.log: holds no references, lines T-; give raw ones"),
        (LOG.split("2026")[0], "voted.generate.log: not the whole log"),
        (LOG.replace("T-0", "X-0"), "voted.generate.log has 2 sentences, the references have 1"),
    ],
    ids=["no references", "cut off", "one reference missing"],
)
def test_logs_that_do_not_fit_are_refused_and_leave_no_score(tmp_path, log, message):
    one = model(tmp_path, log)
    with pytest.raises((GenerationLogError, ValueError), match=message):
        write_score(translation(tmp_path), one)
    assert not one.score.exists()


@pytest.mark.parametrize("subwords,expected,unit", [(None, 12.5, "token"), ("sentencepiece", 40.0, "word")])
def test_perplexity_is_per_word_where_the_text_is_in_subwords(tmp_path, subwords, expected, unit):
    one = Measured(tmp_path / "voted.pt", tmp_path, "voted", translates=False)
    figures = {"perplexity": 12.5, "word_perplexity": 40.0 if subwords else None, "tokens": 77}
    said = {"window": "blocks of 32 tokens", "subwords": subwords}
    said["checkpoints"] = {str(one.checkpoint): {"subsets": {"valid": figures}}}
    one.output.write_text(json.dumps(said))
    write_score(Comparison("bin", "t.pt", tmp_path, "language_modeling", 8, ["l1"], subset="valid"), one)
    assert read_score(one) == {
        "metric": "perplexity",
        "score": expected,
        "signature": f"per {unit}; blocks of 32 tokens",
        "tokens": 77,
    }
