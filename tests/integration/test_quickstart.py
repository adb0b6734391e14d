"""The quickstarts: refuse what they cannot do at once, and (slow) give their tables on all corpora."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from commands import REPOSITORY


def quickstart(tmp_path, script="quickstart", **variables):
    """Runs the script in the environment of the tests; returns (exit status, what it printed)."""
    bin_folder = str(Path(sys.executable).parent)
    env = {**os.environ, "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}", "WORK": str(tmp_path), **variables}
    done = subprocess.run(
        ["bash", f"examples/{script}.sh"], cwd=REPOSITORY, env=env, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    "script,variables,message",
    [
        ("quickstart", {"CORPUS": "europarl"}, "CORPUS=europarl: allowed is grammar or multi30k"),
        ("quickstart", {"CORPUS": "multi30k", "DATA_DIR": "/no/folder"}, "DATA_DIR=/no/folder: no such folder"),
        ("quickstart", {"CORPUS": "multi30k", "DATA_DIR": "examples"}, "has no train.de.gz, train.en.gz, val.de.gz"),
        ("quickstart", {"EPOCHS": "4"}, "VOTE_EPOCH=5: allowed is 1 to EPOCHS=4"),
        ("quickstart_lm", {"VOTE_EPOCH": "early"}, "VOTE_EPOCH=early: allowed is 1 to EPOCHS=12"),
        ("quickstart_lm", {"CORPUS": "grammar"}, "CORPUS=grammar: allowed is pydoc or wikitext2"),
        ("quickstart_lm", {"CORPUS": "wikitext2", "DATA_DIR": "/no/folder"}, "DATA_DIR=/no/folder: no such folder"),
        ("quickstart_lm", {"CORPUS": "wikitext2", "DATA_DIR": "examples"}, "has no train.txt or train.txt.gz"),
    ],
)
def test_bad_input_ends_before_any_training(tmp_path, script, variables, message):
    status, printed = quickstart(tmp_path, script, **variables)
    assert status == 2
    assert message in printed and "fairseq-train" not in printed


def check_page(folder):
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert all(f'<th scope="col">{name}</th>' in page for name in ("plain", "ght", "ght-ps"))
    assert "before_vote.checkpoint_best.pt" in page


def check_table(printed):
    rows = {
        cells[0]: cells
        for cells in ([c.strip() for c in line.split("|")[1:-1]] for line in printed.splitlines() if line[:1] == "|")
    }
    rows = {name: rows[name] for name in ("plain", "grouped", "voted", "slim")}
    assert rows["plain"][2] == rows["grouped"][2] and rows["voted"][2] == rows["slim"][2]
    assert int(rows["voted"][2].replace(",", "")) < int(rows["grouped"][2].replace(",", ""))
    assert rows["voted"][3] == rows["slim"][3]
    return {name: float(row[3]) for name, row in rows.items()}


@pytest.mark.slow
def test_bundled_corpus(tmp_path):
    status, printed = quickstart(tmp_path)
    assert status == 0, printed[-3000:]
    bleu = check_table(printed)
    assert "voted and the slim model: identical" in printed
    check_page(tmp_path)
    assert min(bleu.values()) > 40, "the grammar is easy: every model should translate it well"


@pytest.mark.slow
@pytest.mark.skipif("DATA_DIR" not in os.environ, reason="needs DATA_DIR with the files of Multi30k")
def test_multi30k(tmp_path):
    status, printed = quickstart(tmp_path, CORPUS="multi30k")
    assert status == 0, printed[-3000:]
    assert min(check_table(printed).values()) > 25
    assert "voted and the slim model: identical" in printed


def same_bits(printed):
    """Whether the voted and the slim model have the same bits per token, to four digits."""
    voted, slim = re.search(r"voted and the slim model, test: (\S+) and (\S+)", printed).groups()
    return voted == slim


@pytest.mark.slow
def test_language_model_on_the_text_of_python(tmp_path):
    status, printed = quickstart(tmp_path, "quickstart_lm")
    assert status == 0, printed[-3000:]
    assert "blocks of 64 tokens, context window 32, stride 32" in printed and same_bits(printed)
    check_page(tmp_path)
    assert max(check_table(printed).values()) < 4000, "perplexity per word of a text that never was seen"


@pytest.mark.slow
@pytest.mark.skipif("LM_DATA_DIR" not in os.environ, reason="needs LM_DATA_DIR with the files of WikiText-2")
def test_language_model_on_wikitext2(tmp_path):
    status, printed = quickstart(tmp_path, "quickstart_lm", CORPUS="wikitext2", DATA_DIR=os.environ["LM_DATA_DIR"])
    assert status == 0, printed[-3000:]
    assert same_bits(printed) and max(check_table(printed).values()) < 200
