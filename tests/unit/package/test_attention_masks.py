"""Masks are made once for all layers, right in every combination, and end with the padding they were made of."""

import gc

import pytest
import torch

from fairseq_ghat.modules import attention_masks
from fairseq_ghat.modules.attention_masks import of_every_head, of_fused_kernel, queries_without_keys

INF = float("inf")
LOW = torch.finfo(torch.float32).min / 2


def padding(dtype=torch.bool):
    return torch.tensor([[0, 0, 1], [1, 0, 0]]).to(dtype)


@pytest.mark.parametrize("dtype", [torch.bool, torch.float32, torch.uint8])
def test_padding_becomes_very_low_for_every_head(dtype):
    mask = of_every_head(padding(dtype), 2, torch.float32)
    assert mask.dtype == torch.float32
    assert mask.tolist() == [[[0, 0, LOW]], [[0, 0, LOW]], [[LOW, 0, 0]], [[LOW, 0, 0]]]


def test_mask_and_padding_are_added_up():
    assert of_fused_kernel(None, None, torch.float32) is None
    future = torch.tensor([[0.0, -INF, -INF], [0, 0, -INF], [0, 0, 0]])
    assert torch.equal(of_fused_kernel(future, None, torch.float32), future)
    assert of_fused_kernel(None, padding(), torch.float32).tolist() == [[[[0, 0, LOW]]], [[[LOW, 0, 0]]]]
    both = of_fused_kernel(future, padding(), torch.float32)
    assert both[:, 0].tolist() == [
        [[0, -INF, -INF], [0, 0, -INF], [0, 0, LOW]],
        [[LOW, -INF, -INF], [LOW, 0, -INF], [LOW, 0, 0]],
    ]


def test_rows_start_where_fused_kernels_want_them():
    future = torch.zeros(3, 3)
    for mask in (of_fused_kernel(None, padding(), torch.float32), of_fused_kernel(future, padding(), torch.float32)):
        assert mask.stride(-1) == 1 and all(stride % 8 == 0 for stride in mask.stride()[:-1])


def test_layers_of_a_batch_share_a_mask_and_other_masks_have_their_own():
    pad, future = padding(), torch.zeros(3, 3)
    assert of_every_head(pad, 2, torch.float32) is of_every_head(pad, 2, torch.float32)
    assert of_every_head(pad, 2, torch.float32) is not of_every_head(pad, 3, torch.float32)
    assert of_fused_kernel(future, pad, torch.float32) is of_fused_kernel(future, pad, torch.float32)
    assert of_fused_kernel(future, pad, torch.float32) is not of_fused_kernel(future.clone(), pad, torch.float32)
    assert of_fused_kernel(None, pad, torch.float16).dtype == torch.float16
    pad[0] = True  # in place, as somebody may fill one tensor for every batch
    assert of_every_head(pad, 2, torch.float32)[0].tolist() == [[LOW] * 3]


def test_a_mask_of_before_is_no_constant_of_what_is_traced():
    pad, future = padding(), torch.full((3, 3), -INF).triu(1)
    for made in (lambda p: of_fused_kernel(future, p, torch.float32), lambda p: queries_without_keys(future, p)):
        made(pad)
        traced = torch.jit.trace(made, pad, check_trace=False)
        assert torch.equal(traced(~pad), made(~pad)) and not torch.equal(made(~pad), made(pad))
        assert "aten::isneginf" not in str(traced.graph)  # which an export to ONNX does not know


def test_padding_of_inference_mode_may_change_in_place():
    """torch does not count changes of such tensors."""
    with torch.inference_mode():
        pad = padding()
        of_every_head(pad, 1, torch.float32)
        pad[0] = True
        assert of_every_head(pad, 1, torch.float32)[0].tolist() == [[LOW] * 3]


def test_a_mask_of_inference_mode_is_not_kept_for_training():
    pad = padding()
    with torch.inference_mode():
        of_fused_kernel(None, pad, torch.float32)
    assert not of_fused_kernel(None, pad, torch.float32).is_inference()


def test_masks_end_with_the_padding():
    gc.collect()
    before, pad = len(attention_masks._MADE), padding()
    of_every_head(pad, 2, torch.float32)
    assert len(attention_masks._MADE) == before + 1
    del pad
    assert len(attention_masks._MADE) == before


def test_queries_without_keys_are_those_before_the_first_token_of_a_target_padded_on_the_left():
    future = torch.tensor([[0.0, -INF, -INF], [0, 0, -INF], [0, 0, 0]])
    assert queries_without_keys(future, padding())[:, 0, :, 0].tolist() == [[False] * 3, [True, False, False]]
    assert queries_without_keys(None, padding()).flatten().tolist() == [False, False]
    assert queries_without_keys(future, None) is None
