"""Counting the operations that torch dispatches."""

import torch

from fairseq_ghat.profiling.operations import Operations, count_operations


def test_forward_and_backward_are_counted_and_views_apart():
    x, factor = torch.ones(3, requires_grad=True), torch.full((3, 1), 2.0)

    def forward():
        return x.view(3, 1) * factor

    def update():
        torch.autograd.grad(forward(), x, factor)

    assert count_operations(forward) == Operations(total=2, views=1)
    assert count_operations(forward).without_views == 1
    whole = count_operations(update)  # the gradient: a product and a view back, and what a version of torch adds
    assert whole.views == 2 and 2 <= whole.without_views <= 3


def test_a_table_made_once_is_not_counted():
    tables = []

    def work():
        if not tables:
            tables.append(torch.zeros(2))
        return tables[0] + 1

    assert count_operations(work) == Operations(total=1, views=0)
