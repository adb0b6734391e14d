"""Training with the constraint off is that of fairseq's own transformer, on real data and beyond float32's rounding."""

import os
import re

import benchmark
import pytest
from commands import run, shown_commands


@pytest.fixture(scope="module")
def prepared_languages(tmp_path_factory):
    """A folder of the prepared languages."""
    folder = tmp_path_factory.mktemp("data")
    for language in ("sigmorphon2020.ady", "sigmorphon2020.bul"):
        run(f"python scripts/prepare_data.py {language} {folder}/{language} --source {os.environ['G2P_DATA_DIR']}")
    return folder


def losses(log):
    """All losses and perplexities of training and validation in a log, to the last digit."""
    lines = re.findall(r"\| (?:train_inner|train|valid) \| .*", log)
    return [re.findall(r"\b(?:loss|nll_loss|ppl)[= ][\d.]+", line) for line in lines]


@pytest.mark.slow
@pytest.mark.skipif("G2P_DATA_DIR" not in os.environ, reason="needs G2P_DATA_DIR with the files of SIGMORPHON 2020")
@pytest.mark.parametrize("language", ["sigmorphon2020.ady", "sigmorphon2020.bul"])
def test_losses_are_those_of_fairseqs_own_transformer(language, prepared_languages, tmp_path, capsys):
    """The recipe of the benchmark, in float64: float32 rounds our order of sums otherwise after a hundred updates."""
    logs = []
    for system, off in (("transformer", []), ("ght", ["--group-loss-scale", "0"])):
        options = ["--max-update", "375", "--warmup-updates", "300", "--log-interval", "5", *off]
        folders = ["--data", str(prepared_languages), "--runs", str(tmp_path)]
        plan = ["--systems", system, "--stages", "train", "--gpus", "0", "--dry-run"]
        benchmark.main([language, *folders, *plan, "--", *options])
        ((_, *arguments),) = shown_commands(capsys.readouterr().out)
        logs.append(losses(run(["python", "tests/train_in_float64.py", *arguments])))
    assert len(logs[0]) > 100 and logs[0] == logs[1]
