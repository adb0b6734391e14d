"""Models from Python: the five lines of the README, and what is refused."""

import re
import subprocess
import sys

import pytest
from commands import environment, generated, hypotheses

from fairseq_ghat import load
from fairseq_ghat.checkpoints.files import CheckpointError

FIVE_LINES = """
from fairseq_ghat import load

translator = load({checkpoint!r}, {data!r})
for translation in translator.translate({sentences!r}):
    print("translated", translation)
"""


def test_slim_checkpoint_translates_as_fairseq_generate_in_a_fresh_process(corpus, slim_file, tmp_path):
    log = generated(corpus, slim_file[0], "--beam 5")
    sources = dict(re.findall(r"^S-(\d+)\t(.*)$", log, re.MULTILINE))
    expected = [hypotheses(log)[number][1] for number in sorted(hypotheses(log))]
    sentences = [sources[str(number)] for number in sorted(map(int, sources))]
    code = FIVE_LINES.format(checkpoint=str(slim_file[0]), data=str(corpus), sentences=sentences)
    out = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True
    ).stdout
    found = [line.partition(" ")[2] for line in out.splitlines() if line.startswith("translated")]
    assert found == expected and len(found) == 24


def test_options_of_generation_are_taken(corpus, slim_file):
    translator = load(slim_file[0], corpus)
    (one,) = translator.translate(["a1 a2 a3 a4 a5"], max_len_a=0, max_len_b=2)
    assert len(one.split()) <= 2


def test_a_checkpoint_that_is_not_there_is_named(corpus, tmp_path):
    with pytest.raises(CheckpointError, match="none.pt: no such checkpoint file"):
        load(tmp_path / "none.pt", corpus)


def test_a_folder_without_dictionaries_is_named(slim_file, tmp_path):
    with pytest.raises(ValueError, match=f"{tmp_path}: has no dict.LANG.txt"):
        load(slim_file[0], tmp_path)


def test_a_damaged_prepared_json_is_named(slim_file, tmp_path):
    (tmp_path / "prepared.json").write_text("{")
    with pytest.raises(ValueError, match=f"{tmp_path}/prepared.json: is damaged"):
        load(slim_file[0], tmp_path)
