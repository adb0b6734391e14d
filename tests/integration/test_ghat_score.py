"""ghat-score on whole and pasted logs and on text, and what it refuses."""

import json

import pytest
from commands import refusal, run
from sacrebleu.metrics import BLEU

from fairseq_ghat.cli import score

REFERENCES = ["two cats sleep here", "a dog runs home", "it's fine."]
LOG = """2026 | INFO | fairseq_cli.generate | loading model
H-1\t-0.25\ta dog runs
H-0\t-0.5\ttwo cats sleep here
H-2\t-0.5\tit 's fine .
"""
SPEED = "2026 | INFO | Translated 3 sentences (1,234 tokens) in 0.5s (6.00 sentences/s, 99.00 tokens/s)\n"


@pytest.fixture
def files(tmp_path):
    contents = {
        "test.en": "\n".join(REFERENCES) + "\n",
        "whole.log": LOG + SPEED,
        "pasted.log": LOG,
        "system.txt": "two cats sleep here\na dog runs\nit 's fine .\n",
        "perfect.txt": "\n".join(REFERENCES) + "\n",
        "short.txt": "one line\n",
        "pieces.log": "H-0\t-1\t\u2581two \u2581cats\n",
    }
    for name, content in contents.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    (tmp_path / "utf16.txt").write_text(contents["system.txt"], encoding="utf-16")
    return tmp_path


def scored(capsys, files, *arguments):
    """What --json prints, system's file name -> score."""
    words = [str(files / word) if (files / word).exists() else word for word in arguments]
    assert score.main([str(files / "test.en"), *words, "--resamples", "20", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    ((metric, of),) = list(found["scores"].items())[:1]
    return found, metric, {path.rpartition("/")[2]: one["score"] for path, one in of.items()}


def test_logs_pasted_lines_and_text_score_alike(files, capsys):
    found, metric, scores = scored(capsys, files, "whole.log", "pasted.log", "system.txt", "perfect.txt")
    expected = BLEU().corpus_score(["two cats sleep here", "a dog runs", "it 's fine ."], [REFERENCES]).score
    assert metric == "BLEU" and scores["perfect.txt"] == pytest.approx(100)
    assert scores["whole.log"] == scores["pasted.log"] == scores["system.txt"] == pytest.approx(expected)
    speeds = {path.rpartition("/")[2]: speed for path, speed in found["sentences_per_second"].items()}
    assert speeds == {"whole.log": 6.0, "pasted.log": None, "system.txt": None, "perfect.txt": None}


def test_moses_is_undone_on_demand(files, capsys):
    pytest.importorskip("sacremoses", reason="sacremoses is not installed: pip install sacremoses")
    _, _, scores = scored(capsys, files, "pasted.log", "--detokenize", "en")
    expected = BLEU().corpus_score(["two cats sleep here", "a dog runs", "it's fine."], [REFERENCES]).score
    assert scores["pasted.log"] == pytest.approx(expected)


def test_command_prints_a_table_with_intervals_and_signature(files):
    out = run(f"ghat-score {files}/test.en {files}/whole.log {files}/perfect.txt --lowercase --resamples 20")
    rows = [line for line in out.splitlines() if line.startswith("|")]
    assert "perfect.txt" in rows[-1] and "100.00 ± 0.00" in rows[-1] and "\u00b1" in rows[-2]
    assert "BLEU nrefs:1|bs:20|seed:12345|case:lc" in out


def test_rouge_has_three_scores(files, capsys):
    pytest.importorskip("rouge_score", reason="rouge-score is not installed: pip install rouge-score")
    found, metric, _ = scored(capsys, files, "perfect.txt", "--metric", "rouge")
    assert list(found["scores"]) == ["ROUGE-1", "ROUGE-2", "ROUGE-L"]
    assert all(of["score"] == pytest.approx(100) for by in found["scores"].values() for of in by.values())


@pytest.mark.parametrize(
    "arguments,message",
    [
        (("none.log",), "SYSTEM none.log: no such file"),
        (("utf16.txt",), "utf16.txt: is not UTF-8"),
        (("short.txt",), "short.txt has 1 sentences, the references have 3"),
        (("pieces.log",), "marker \u2581 is left in the hypotheses"),
        (("whole.log", "whole.log"), "given twice"),
        (("whole.log", "--resamples", "0"), "--resamples 0: allowed is 1 or more"),
    ],
    ids=["missing", "UTF-16", "length", "pieces", "twice", "resamples"],
)
def test_what_cannot_be_scored_is_refused(files, capsys, arguments, message):
    words = [str(files / word) if (files / word).exists() else word for word in arguments]
    with pytest.raises(SystemExit):
        score.main([str(files / "test.en"), *words])
    assert message in capsys.readouterr().err


def test_references_that_are_not_there_are_refused(files, capsys):
    with pytest.raises(SystemExit):
        score.main(["none.en", str(files / "whole.log")])
    assert "REFERENCES none.en: no such file" in capsys.readouterr().err


def test_references_of_another_encoding_are_named(files, capsys):
    log = refusal(f"ghat-score {files}/utf16.txt {files}/whole.log", capsys)
    assert f"{files}/utf16.txt: is not UTF-8" in log
