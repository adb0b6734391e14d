"""The loss that ways of choosing heads by gradients look at."""

import pytest
import torch
from tiny_models import TinyTask, build_grouped, padded_batch

from fairseq_ghat.pruning.calibration_data import token_loss

PAD = 1


@pytest.mark.parametrize("options", [{}, {"adaptive_softmax_cutoff": "10,30", "share_all_embeddings": False}])
def test_sums_minus_log_probabilities_of_the_target_tokens(options):
    """Whatever the task's criterion smooths, averages or adds; with an adaptive softmax, by its own probabilities."""
    model, sample = build_grouped(**options).eval(), padded_batch()
    target = sample["target"]
    with torch.no_grad():
        loss, tokens = token_loss(TinyTask())(model, sample)
        logs = model.get_normalized_probs(model(**sample["net_input"]), log_probs=True, sample=sample)
    picked = logs.gather(-1, target.unsqueeze(-1)).squeeze(-1)[target.ne(PAD)]
    assert float(loss) == pytest.approx(-float(picked.sum()), rel=1e-5)
    assert tokens == target.ne(PAD).sum() == len(picked)
