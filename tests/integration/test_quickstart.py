"""The quickstart: refuses what it cannot do at once, and (slow) gives its table on both corpora."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from commands import REPOSITORY


def quickstart(tmp_path, **variables):
    """Runs the script in the environment of the tests; returns (exit status, what it printed)."""
    bin_folder = str(Path(sys.executable).parent)
    env = {**os.environ, "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}", "WORK": str(tmp_path), **variables}
    done = subprocess.run(
        ["bash", "examples/quickstart.sh"], cwd=REPOSITORY, env=env, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    "variables,message",
    [
        ({"CORPUS": "europarl"}, "CORPUS=europarl: allowed is grammar or multi30k"),
        ({"CORPUS": "multi30k", "DATA_DIR": "/no/such/folder"}, "DATA_DIR=/no/such/folder: no such folder"),
        ({"CORPUS": "multi30k", "DATA_DIR": "/"}, "has no test_2016_flickr.de.gz"),
    ],
)
def test_bad_input_ends_before_any_training(tmp_path, variables, message):
    status, printed = quickstart(tmp_path, **variables)
    assert status == 2
    assert message in printed and "fairseq-train" not in printed


def check_table(printed):
    rows = {
        cells[0]: cells
        for cells in ([c.strip() for c in line.split("|")[1:-1]] for line in printed.splitlines() if line[:1] == "|")
    }
    assert {"plain", "grouped", "voted", "slim"} <= set(rows)
    assert rows["plain"][2] == rows["grouped"][2] == rows["voted"][2]
    assert int(rows["slim"][2].replace(",", "")) < int(rows["voted"][2].replace(",", ""))
    assert rows["voted"][3] == rows["slim"][3]
    assert "voted (masked) and the slim model: identical" in printed
    return {name: float(row[3]) for name, row in rows.items() if re.fullmatch(r"[\d.]+", row[3])}


@pytest.mark.slow
def test_bundled_corpus(tmp_path):
    status, printed = quickstart(tmp_path)
    assert status == 0, printed[-3000:]
    bleu = check_table(printed)
    assert min(bleu.values()) > 40, "the grammar is easy: every model should translate it well"


@pytest.mark.slow
@pytest.mark.skipif("DATA_DIR" not in os.environ, reason="needs DATA_DIR with the files of Multi30k")
def test_multi30k(tmp_path):
    status, printed = quickstart(tmp_path, CORPUS="multi30k")
    assert status == 0, printed[-3000:]
    assert min(check_table(printed).values()) > 25
