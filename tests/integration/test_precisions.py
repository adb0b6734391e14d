"""--bf16 through fairseq-train: on a CPU as on a GPU, and on a TPU where one is asked for."""

import importlib.util
import re

import pytest
from commands import train, train_language_model, train_on_workers


def valid_losses(log):
    return [float(loss) for loss in re.findall(r"\| valid \| .*?\| loss ([\d.]+)", log)]


def test_translation_trains_as_in_float32(corpus, voted_run, tmp_path):
    """Both kinds: with float32 copies of the weights and without."""
    expected = valid_losses(voted_run[1])
    for flag in ("--bf16", "--memory-efficient-bf16"):
        log = train(corpus, tmp_path, f"--max-epoch 4 --vote-epoch 3 --group-loss-scale 0.5 --no-save {flag}")
        assert valid_losses(log) == pytest.approx(expected, rel=0.005) and len(expected) == 4
        assert "stage voted | heads 2,2,2,2,2,2" in log


def test_a_language_model_trains_as_in_float32(text, tmp_path):
    options = "--max-epoch 3 --vote-epoch 2 --group-loss-scale 0.5 --no-save"
    single, half = (train_language_model(text, tmp_path, options, flag) for flag in ("", "--bf16"))
    assert valid_losses(half) == pytest.approx(valid_losses(single), rel=0.01) and "stage voted | heads 2,2" in half


def test_two_workers_agree(corpus, tmp_path):
    logs = train_on_workers(corpus, tmp_path, "--max-epoch 2 --vote-epoch 2 --no-save --bf16")
    assert "stage voted | heads 2,2,2,2,2,2" in logs[0] and len(valid_losses(logs[0])) == 2


@pytest.mark.skipif(importlib.util.find_spec("torch_xla") is not None, reason="would look for a TPU")
def test_a_tpu_that_is_asked_for_is_looked_for(corpus, tmp_path):
    log = train(corpus, tmp_path, "--max-epoch 1 --bf16 --tpu", check=False)
    assert "'NoneType' object has no attribute 'xla_device'" in log
