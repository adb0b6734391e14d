"""Models inside the wrappers of data-parallel training and of torch.compile, which put a name before all names."""

import re

from torch import nn

# What the wrappers call the model.
_WRAPPED = ("module", "_orig_mod")
_PREFIX = re.compile(rf"^(({'|'.join(_WRAPPED)})\.)+")


def unwrapped(model: nn.Module) -> nn.Module:
    """The model inside its wrappers: that of data-parallel training expects a backward pass after each forward pass."""
    inside = next((model._modules[name] for name in _WRAPPED if name in model._modules), None)
    return model if inside is None else unwrapped(inside)


def name_inside(name: str) -> str:
    """The name of a module in the model inside the wrappers. name: that in the wrapped model."""
    return _PREFIX.sub("", name)
