"""Adds up the moments of what goes into the projections behind heads and neurons while a model computes."""

from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterator, Mapping, Optional

from torch import Tensor, nn

from fairseq_ghat.core.projection_refit import InputMoments
from fairseq_ghat.modules.removable_units import RemovableUnits


def paddings(model: nn.Module, net_input: Mapping[str, Tensor], padding_idx: int) -> Dict[str, Optional[Tensor]]:
    """Padding of the positions that the layers of each side of a model compute, (B, T), true at padding, or None.

    Args:
        model: for translation, or of language.
        net_input: of a fairseq sample.
        padding_idx: index of the padding symbol of the decoder input.
    """
    source, previous = net_input["src_tokens"], net_input.get("prev_output_tokens")
    if previous is None:  # a language model reads what translation models call the source
        return {"decoder": _padding(source, padding_idx)}
    encoder: Any = model.encoder
    return {"encoder": _padding(source, encoder.padding_idx), "decoder": _padding(previous, padding_idx)}


def _padding(tokens: Tensor, padding_idx: int) -> Optional[Tensor]:
    padding = tokens.eq(padding_idx)
    return padding if bool(padding.any()) else None


@contextmanager
def adding_moments(
    moments: Mapping[RemovableUnits, InputMoments],
    names: Mapping[RemovableUnits, str],
    paddings: Mapping[str, Optional[Tensor]],
) -> Iterator[None]:
    """Context of a forward pass whose projections add what goes into them, without padding, to their moments.

    Args:
        moments: by layer.
        names: of the layers, which begin with their side.
        paddings: of each side, see the function of that name.
    """
    hooks = [
        layer.projection.register_forward_pre_hook(_adds_to(layer_moments, paddings[names[layer].split(".")[0]]))
        for layer, layer_moments in moments.items()
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _adds_to(moments: InputMoments, padding: Optional[Tensor]) -> Callable[[nn.Module, Any], None]:
    content = None if padding is None else ~padding.transpose(0, 1)  # (T, B)

    def add(_: nn.Module, inputs: Any) -> None:
        (features,) = inputs  # (T, B, F)
        moments.add(features.flatten(0, 1) if content is None else features[content])

    return add
