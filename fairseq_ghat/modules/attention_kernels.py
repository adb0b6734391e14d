"""Softmax attention of all heads: by plain matrix products, or by torch's fused kernels.

Letters: B sentences, K heads, T queries, S keys, D head width.
"""

from typing import NamedTuple, Optional, Tuple

import torch
import torch.nn.functional as F
from fairseq import utils
from fairseq.modules.fairseq_dropout import FairseqDropout
from torch import Tensor

from fairseq_ghat.modules.attention_masks import is_causal, of_every_head, of_fused_kernel, queries_without_keys

PRODUCTS, FUSED, FUSED_CAUSAL, FUSED_MASK = "matrix products", "fused", "fused, causal", "fused, with a mask"


class Masks(NamedTuple):
    """What keeps queries from keys.

    Attributes:
        added: to the scores, (T, S), or None.
        padding: true (or not zero) at padding of the keys, (B, S), or None.
    """

    added: Optional[Tensor]
    padding: Optional[Tensor]


def split_heads(x: Tensor, head_dim: int, batch: Optional[int] = None) -> Tensor:
    """Head by head what projections give, as a view.

    Args:
        x: (T, B, K*D), or (T, B*N, K*D) of N hypotheses of each sentence.
        head_dim: D.
        batch: B; None where there is one hypothesis.

    Returns:
        (B, K, T, D) or (B, K, N*T, D).
    """
    length, hypotheses, _ = x.shape
    if batch is None or batch == hypotheses:
        return x.view(length, hypotheses, -1, head_dim).permute(1, 2, 0, 3)
    return x.view(length, batch, hypotheses // batch, -1, head_dim).permute(1, 3, 2, 0, 4).flatten(2, 3)


def join_heads(x: Tensor, length: int) -> Tensor:
    """The way back of split_heads: (B, K, N*T, D) -> (T, B*N, K*D). length: T."""
    batch, heads, queries, head_dim = x.shape
    if queries == length:
        return x.permute(2, 0, 1, 3).reshape(length, batch, heads * head_dim)
    return x.unflatten(2, (-1, length)).permute(3, 0, 2, 1, 4).reshape(length, -1, heads * head_dim)


def choose_kernel(q: Tensor, k: Tensor, masks: Masks, need_weights: bool) -> str:
    """The kernel that computes attention: one of PRODUCTS, FUSED, FUSED_CAUSAL, FUSED_MASK.

    On a GPU torch has a flash kernel for FUSED and FUSED_CAUSAL; a mask leaves it the memory-efficient one.

    Args:
        q: (B, K, T, D).
        k: (B, K, S, D).
        masks: of the same attention.
        need_weights: whether somebody wants the attention weights, which fused kernels do not have.
    """
    if need_weights or _two_products_are_faster(q, k):
        return PRODUCTS
    if masks.padding is None and (masks.added is None or is_causal(masks.added)):
        return FUSED if masks.added is None else FUSED_CAUSAL
    return FUSED_MASK


def _two_products_are_faster(q: Tensor, k: Tensor) -> bool:
    """Whether plain matrix products beat torch's fused attention: on a CPU, for sentences as they are in translation.

    Measured with torch 2.13, 2 threads, float32 (fused / plain): training 2.3 at 16 x 16 and 1.3 at 30 x 30 tokens, but
    0.7 at 64 x 64; a decoding step 1.6 to 2 for a batch, but 0.3 to 0.6 for one sentence or the first few tokens.
    """
    length, scores = q.size(2) * k.size(2), q.size(0) * q.size(1) * q.size(2) * k.size(2)
    return q.device.type == "cpu" and 8 <= length <= 1024 and scores >= 2048


def fused_attention(kernel: str, q: Tensor, k: Tensor, v: Tensor, masks: Masks, dropout: FairseqDropout) -> Tensor:
    """Attention by torch's fused kernels.

    Args:
        kernel: FUSED, FUSED_CAUSAL or FUSED_MASK.
        q: (B, K, T, D).
        k: (B, K, S, D).
        v: (B, K, S, D).
        masks: of the scores.
        dropout: of the attention weights.

    Returns:
        Outputs of the heads, (B, K, T, D); 0 for queries that no key is left for.
    """
    active = dropout.training or dropout.apply_during_inference
    mask = of_fused_kernel(masks.added, masks.padding, q.dtype) if kernel == FUSED_MASK else None
    out = F.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, dropout_p=dropout.p if active else 0.0, is_causal=kernel == FUSED_CAUSAL
    )
    return _without_lonely(out, masks)


def product_attention(
    q: Tensor, k: Tensor, v: Tensor, masks: Masks, scaling: float, dropout: FairseqDropout
) -> Tuple[Tensor, Tensor]:
    """Attention by two products.

    Args:
        q: (B, K, T, D).
        k: (B, K, S, D).
        v: (B, K, S, D).
        masks: of the scores.
        scaling: factor of the scores.
        dropout: of the attention weights.

    Returns:
        Outputs of the heads, (B, K, T, D), 0 for queries that no key is left for, and the weights before dropout,
        (B, K, T, S).
    """
    batch, heads = q.shape[:2]
    queries, keys = q.flatten(0, 1), k.flatten(0, 1).transpose(1, 2)
    padding = None if masks.padding is None else of_every_head(masks.padding, heads, q.dtype)
    first = padding if masks.added is None else masks.added.to(q.dtype)
    # The scale within the product: without it those of float16 could overflow.
    scores = torch.baddbmm(q.new_zeros(1) if first is None else first, queries, keys, alpha=scaling)
    if padding is not None and first is not padding:
        scores = scores.add_(padding)
    weights = utils.softmax(scores, dim=-1)
    out = torch.bmm(dropout(weights.to(v.dtype)), v.flatten(0, 1))
    return _without_lonely(out.unflatten(0, (batch, heads)), masks), weights.unflatten(0, (batch, heads))


def _without_lonely(out: Tensor, masks: Masks) -> Tensor:
    lonely = queries_without_keys(*masks)
    return out if lonely is None else out.masked_fill(lonely, 0.0)
