"""Counting the operations that torch dispatches."""

import torch

from fairseq_ghat.profiling.operations import Operations, count_operations


def test_forward_and_backward_are_counted_and_views_apart():
    x = torch.ones(3, requires_grad=True)

    def update():
        torch.autograd.grad(x.view(3, 1).exp(), x, torch.ones(3, 1))

    # view, exp; the gradient: ones, mul by exp's result (detached, as autograd saved it), view back
    operations = count_operations(update)
    assert operations.without_views == 3
    assert operations.total == operations.views + 3


def test_a_table_made_once_is_not_counted():
    tables = []

    def work():
        if not tables:
            tables.append(torch.zeros(2))
        return tables[0] + 1

    assert count_operations(work) == Operations(total=1, views=0)
