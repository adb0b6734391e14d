"""Masks of attention as the kernels take them, made once for all layers that share them.

Letters: B sentences, K heads, T queries, S keys.
"""

from typing import Any, Callable, Hashable, Optional

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

# Padding mask -> what was made of it; ends with the mask.
_MADE = WeakTensorKeyDictionary()
# torch's kernels copy a mask whose rows do not start at a multiple of so many numbers.
_ALIGNMENT = 8


def as_causal(mask: Tensor) -> Tensor:
    """Marks a mask of the future, (T, T), so that a kernel may know it without looking into it."""
    mask.is_causal = True  # type: ignore[attr-defined]
    return mask


def is_causal(mask: Optional[Tensor]) -> bool:
    """Whether a mask was marked as one of the future."""
    return getattr(mask, "is_causal", False)


def queries_without_keys(mask: Optional[Tensor], padding: Optional[Tensor]) -> Optional[Tensor]:
    """Queries that no key is left for, as the first ones of a target that is padded on the left.

    Args:
        mask: to add to the scores, (T, S), or None.
        padding: true (or not zero) at padding of the keys, (B, S), or None.

    Returns:
        True at such queries, (B, 1, T or 1, 1); None without padding, where there are none.
    """
    if padding is None:
        return None
    return _once(padding, ("queries", id(mask)), lambda: (mask, _queries_without_keys(mask, padding)))[1]


def _queries_without_keys(mask: Optional[Tensor], padding: Tensor) -> Tensor:
    hidden = padding.to(torch.bool)[:, None, None]  # (B, 1, 1, S)
    return (hidden if mask is None else hidden | (mask == -torch.inf)).all(-1, keepdim=True)


def of_every_head(padding: Tensor, heads: int, dtype: torch.dtype) -> Tensor:
    """What to add to scores of shape (B*K, T, S): 0, or a very low number at padding of the keys, (B*K, 1, S).

    Args:
        padding: true (or not zero) at padding, (B, S).
        heads: K.
        dtype: of the scores.
    """
    return _once(
        padding, (heads, dtype), lambda: _additive(padding, dtype)[:, None].expand(-1, heads, -1).flatten(0, 1)[:, None]
    )


def of_fused_kernel(mask: Optional[Tensor], padding: Optional[Tensor], dtype: torch.dtype) -> Optional[Tensor]:
    """One mask to add to scores of shape (B, K, T, S).

    Args:
        mask: to add, (T, S), or None.
        padding: true (or not zero) at padding of the keys, (B, S), or None.
        dtype: of the scores.

    Returns:
        (T, S), (B, 1, 1, S), (B, 1, T, S) or None.
    """
    if padding is None:
        return None if mask is None else mask.to(dtype)
    return _once(padding, (id(mask), dtype), lambda: (mask, _both(mask, padding, dtype)))[1]


def _both(mask: Optional[Tensor], padding: Tensor, dtype: torch.dtype) -> Tensor:
    both = _additive(padding, dtype)[:, None, None]
    return _aligned(both if mask is None else both + mask.to(dtype))


def _additive(padding: Tensor, dtype: torch.dtype) -> Tensor:
    zeros = torch.zeros(padding.shape, dtype=dtype, device=padding.device)
    # Low enough that no weight is left. With minus infinity a query that no key is left for would be 0 / 0, and the
    # lowest number of all would become that where a kernel scales it, or float64 where a softmax is in float32.
    low = max(torch.finfo(dtype).min, torch.finfo(torch.float32).min) / 2
    return zeros.masked_fill_(padding.to(torch.bool), low)


def _aligned(mask: Tensor) -> Tensor:
    """The same mask with rows that start where torch's kernels want them."""
    missing = -mask.size(-1) % _ALIGNMENT
    return torch.nn.functional.pad(mask, (0, missing))[..., : mask.size(-1)]


def _once(padding: Tensor, kind: Hashable, make: Callable[[], Any]) -> Any:
    """What was made of a padding mask, or is made now.

    Made before, it would be a constant of what is traced or captured; tensors of inference mode do not count changes,
    and are of no use to a pass with gradients.

    kind: with the id() of another tensor that it is made of, if that tensor is in the result: so its id stays its own.
    """
    captured = padding.is_cuda and torch.cuda.is_current_stream_capturing()
    if captured or torch.jit.is_tracing() or torch.is_inference_mode_enabled() or padding.is_inference():
        return make()
    made = _MADE.setdefault(padding, {})
    key = (padding._version, kind)
    if key not in made:
        made[key] = make()
    return made[key]
