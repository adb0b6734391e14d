"""L1 norm of a head's projections, against sums over each head's own block."""

import torch

from fairseq_ghat.core.head_scores import projection_l1


def test_every_head_has_the_absolute_weights_of_its_own_blocks():
    generator = torch.Generator().manual_seed(0)
    heads, width, model = 3, 4, 10
    query, key, value = (torch.randn(heads * width, model, generator=generator) for _ in range(3))
    output = torch.randn(model, heads * width, generator=generator)
    norms = projection_l1(query, key, value, output, heads)
    for head in range(heads):
        own = slice(head * width, (head + 1) * width)
        by_hand = sum(float(weight[own].abs().sum()) for weight in (query, key, value)) + float(
            output[:, own].abs().sum()
        )
        torch.testing.assert_close(float(norms[head]), by_hand, rtol=1e-5, atol=0)
