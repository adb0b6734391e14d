"""Cuts what an optimizer holds of the parameters of a model of which a vote removed heads or neurons."""

from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Tuple, Union

import torch
from torch import Tensor, nn

from fairseq_ghat.modules.removable_layers import KeptUnits, removable_layers
from fairseq_ghat.modules.unit_slices import kept_features, unit_axis

# State of Adafactor: mean squares of the rows, and of the columns, of a weight -> the axis they lie along.
_FACTORS = {"exp_avg_sq_row": 0, "exp_avg_sq_col": 1}


@dataclass
class Cut:
    """How a parameter was cut.

    Attributes:
        before: shape of the parameter before.
        axis: dimension along which the features of the heads or neurons lie.
        features: indexes of the features that stay, (K*D,).
    """

    before: torch.Size
    axis: int
    features: Tensor

    def __call__(self, tensor: Tensor, axis: Optional[int] = None) -> Tensor:
        """The part that stays of a tensor of that shape, or of another whose features lie along another axis."""
        return tensor.index_select(self.axis if axis is None else axis, self.features.to(tensor.device))


class JoinedCut:
    """How a vector of several parameters was cut, one after the other.

    Args:
        parameters: in their order, as they are now.
        cuts: of those that were cut.

    Attributes:
        before: shape of the vector before.
    """

    def __init__(self, parameters: List[Tensor], cuts: Mapping[Tensor, Cut]):
        self._cuts = [cuts.get(parameter) for parameter in parameters]
        self._sizes = [p.numel() if cut is None else cut.before.numel() for p, cut in zip(parameters, self._cuts)]
        self.before = torch.Size([sum(self._sizes)])

    def __call__(self, tensor: Tensor) -> Tensor:
        """The part that stays of a tensor of that shape."""
        parts = zip(tensor.split(self._sizes), self._cuts)
        return torch.cat([part if cut is None else cut(part.view(cut.before)).flatten() for part, cut in parts])


def cuts_of(model: nn.Module, kept: Mapping[str, KeptUnits]) -> Dict[Tensor, Cut]:
    """How the parameters of a model were cut when heads and neurons were removed.

    Args:
        model: with what is left.
        kept: what a vote left of each layer, by layer name.
    """
    cuts: Dict[Tensor, Cut] = {}
    layers = removable_layers(model)
    for name, (units, of) in kept.items():
        layer = layers[name]
        stays = torch.zeros(of, dtype=torch.bool)
        stays[units] = True
        features = kept_features(stays, layer.unit_features)
        for part, parameter in layer.holder.named_parameters():
            axis = unit_axis(part)
            if axis is not None:
                before = list(parameter.shape)
                before[axis] = of * layer.unit_features
                cuts[parameter] = Cut(torch.Size(before), axis, features)
    return cuts


@torch.no_grad()
def cut_optimizer(optimizer: Any, cuts: Mapping[Tensor, Cut]) -> None:
    """Cuts the state of an optimizer, and the float32 copies that it may keep of the parameters, as the parameters.

    Copies of parameters that the vote changed (a refit) take the new values: the next update would otherwise write
    the old ones back into the model (the kind of fault of microsoft/nni#4521). All others stay as exact as they were.

    Args:
        optimizer: of fairseq, in its wrappers for half precision or not.
        cuts: of the parameters of which a part was removed.

    Raises:
        RuntimeError: if there is state that does not have the shape of its parameter; names it.
    """
    copies = _copies(optimizer)
    trained: Dict[Tensor, Union[Cut, JoinedCut]] = dict(cuts)
    for copy, parameters in copies:
        if len(parameters) > 1:
            trained[copy] = JoinedCut(parameters, cuts)
        elif parameters[0] in cuts:
            trained[copy] = cuts[parameters[0]]
        if copy in trained:
            copy.data, copy.grad = trained[copy](copy.data), None
            copy.grad = torch.zeros_like(copy)
        for part, parameter in zip(copy.view(-1).split([p.numel() for p in parameters]), parameters):
            weights = parameter.view(-1)
            part.copy_(torch.where(part.to(weights.dtype) == weights, part, weights.to(part.dtype)))
    for with_state in _with_state(optimizer):
        for parameter, cut in trained.items():
            state = with_state.state.get(parameter, {})
            for name, value in state.items():
                if torch.is_tensor(value):
                    state[name] = _cut_state(name, value, cut, type(with_state).__name__)


def _with_state(optimizer: Any) -> List[torch.optim.Optimizer]:
    """torch's optimizers inside one of fairseq's: several in a composite one."""
    parts = getattr(optimizer.optimizer, "optimizers", None)
    return [part.optimizer for part in parts.values()] if parts else [optimizer.optimizer]


def _copies(optimizer: Any) -> List[Tuple[Tensor, List[Tensor]]]:
    """The float32 copies that fairseq's FP16Optimizer trains, each with the parameters in it, in their order."""
    parameters, copies = getattr(optimizer, "fp16_params", None), getattr(optimizer, "fp32_params", None)
    if parameters is None or copies is None:
        return []
    if not optimizer.has_flat_params:
        return [(copy, [parameter]) for copy, parameter in zip(copies, parameters)]
    flats = copies if isinstance(copies, dict) else {None: copies}
    return [(flat, [p for p in parameters if len(flats) == 1 or p.device.index == on]) for on, flat in flats.items()]


def _cut_state(name: str, value: Tensor, cut: Union[Cut, JoinedCut], optimizer: str) -> Tensor:
    """State of a parameter that was cut, cut likewise."""
    if value.shape == cut.before:
        return cut(value)
    if isinstance(cut, Cut) and name in _FACTORS and value.shape == cut.before[_FACTORS[name] :][:1]:
        return cut(value, axis=0) if _FACTORS[name] == cut.axis else value
    if value.numel() <= 1:
        return value
    raise RuntimeError(
        f"--optimizer: the state {name} of {optimizer} has shape {tuple(value.shape)} for parameters of shape "
        f"{tuple(cut.before)}; it cannot follow what the vote removed. Vote afterwards with ghat-vote"
    )
