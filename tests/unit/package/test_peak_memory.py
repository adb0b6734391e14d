"""Peak memory against sums by hand."""

import pytest
import torch

from fairseq_ghat.profiling.peak_memory import peak_bytes, resident_bytes

CPU = torch.device("cpu")


def test_most_that_was_held_at_once_and_not_what_was_there_before():
    old = torch.zeros(1000)

    def work():
        first = old + old  # 4000
        second = first + first  # 8000 held
        del first  # 4000
        third = second[:500] * second[:500]  # 6000
        return third

    assert peak_bytes(work, CPU) == 8000


def test_a_matrix_product_with_its_gradients():
    left, right = torch.ones(100, 50, requires_grad=True), torch.ones(50, 20)

    def work():
        (left @ right).sum().backward()

    # The product (2000 numbers), its sum and the gradient of that; then the gradient of left (5000), while the
    # gradient of the product is a view of one number.
    assert 4 * 5000 <= peak_bytes(work, CPU) <= 4 * (5000 + 2000 + 2000) + 64
    assert left.grad is not None


def test_what_is_freed_of_older_memory_makes_no_room():
    """Also where the address was handed out in an earlier measurement, with another size."""
    old = []
    peak_bytes(lambda: old.append(torch.zeros(100_000)), CPU)

    def work():
        old.clear()
        return torch.zeros(1000)

    assert peak_bytes(work, CPU) == 4000


def test_nothing_allocated_is_nothing():
    values = torch.zeros(10)
    assert peak_bytes(lambda: values.zero_(), CPU) == 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_on_a_gpu():
    def work():
        first = torch.zeros(1 << 20, device="cuda")
        return first + first

    held = torch.zeros(1 << 22, device="cuda")
    assert peak_bytes(work, torch.device("cuda")) == 8 << 20 and held.numel()


def test_shared_weights_are_held_once():
    first, second = torch.nn.Linear(10, 10, bias=False), torch.nn.Linear(10, 10, bias=False)
    assert resident_bytes(torch.nn.ModuleList([first, second])) == 800
    second.weight = first.weight
    first.register_buffer("mask", torch.ones(5))
    assert resident_bytes(torch.nn.ModuleList([first, second])) == 400 + 20
