"""Scores of heads: their agreement and their shares of the output, against slow sums and cosines by hand."""

import torch
from torch.nn import functional as F

from fairseq_ghat.core.head_scores import agreement, redundancy_scores, variance_shares


def test_agreement_is_the_mean_of_all_cosines_of_the_kept_heads():
    features = torch.randn(5, 20, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    kept = torch.tensor([1, 0, 1, 1, 0]).bool()
    cosines = [F.cosine_similarity(a, b, dim=0) for a in features[kept] for b in features[kept]]
    assert abs(agreement(features @ features.T, kept) - float(sum(cosines) / 9)) < 1e-12


def test_redundant_heads_go_first_and_scores_rise():
    """Heads 0 and 2 point the same way, mean cosine 1/2; then 1 and 2 are left at right angles."""
    features = torch.tensor([[1.0, 0.0], [0.0, 3.0], [2.0, 0.0]], dtype=torch.float64)
    assert redundancy_scores(features @ features.T).tolist() == [-0.5, 0.0, 2.0]


def test_first_to_go_is_the_one_with_the_highest_mean_cosine():
    generator = torch.Generator().manual_seed(1)
    for _ in range(5):
        features = torch.randn(6, 8, generator=generator, dtype=torch.float64) + 0.5
        unit = F.normalize(features, dim=1)
        mean = ((unit @ unit.T).sum(1) - 1) / 5
        scores = redundancy_scores(features @ features.T)
        assert int(scores.argmin()) == int(mean.argmax())
        assert abs(float(scores.min()) + float(mean.max())) < 1e-12


def test_shares_of_the_output_that_heads_add_to_and_take_from():
    """Outputs of two heads of one feature: y = 2 o_1 - o_2, with o_1 = 3 u and o_2 = 2 u, so 6 u - 2 u = 4 u."""
    covariance = torch.tensor([[9.0, 6.0], [6.0, 4.0]], dtype=torch.float64)
    assert variance_shares(torch.tensor([[2.0, -1.0]]), covariance, 2).tolist() == [6 / 4, -2 / 4]


def test_an_output_that_does_not_vary_has_no_shares():
    assert variance_shares(torch.ones(3, 4), torch.zeros(4, 4, dtype=torch.float64), 2).isnan().all()
