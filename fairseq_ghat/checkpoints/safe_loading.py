"""Lets torch's safe loading read the classes that fairseq checkpoints hold, and no others.

Since torch 2.6 torch.load reads plain data only, and fairseq's own checkpoints hold a little more: the
command line (argparse.Namespace), numpy numbers and arrays in its meters (best score, --eval-bleu counts),
in older ones the OmegaConf nodes of the configuration, and in still older ones the meters themselves. They
are allowed by name here; safe loading stays on, so a checkpoint that holds anything else is still refused,
by the name of the class.
"""

import argparse
import collections
import typing

import numpy as np
import torch
from fairseq.logging import meters


def _numpy_globals():
    """numpy's pickle helpers under the module names of numpy 1 and numpy 2."""
    try:
        from numpy._core import multiarray
    except ImportError:
        from numpy.core import multiarray
    for module in ("numpy._core.multiarray", "numpy.core.multiarray"):
        yield multiarray._reconstruct, f"{module}._reconstruct"
        yield multiarray.scalar, f"{module}.scalar"
    yield np.ndarray, "numpy.ndarray"
    yield np.dtype, "numpy.dtype"
    # A pickle calls numpy.dtype; torch then asks for the class of what that gave: numpy.dtype[float64] in numpy 1.23.
    for kind in (np.float64, np.float32, np.int64, np.int32, np.bool_):
        dtype_class = type(np.dtype(kind))
        yield dtype_class, f"{dtype_class.__module__}.{dtype_class.__qualname__}"


def _omegaconf_globals():
    from omegaconf import base, dictconfig, listconfig, nodes

    for cls in (
        dictconfig.DictConfig,
        listconfig.ListConfig,
        base.ContainerMetadata,
        base.Metadata,
        nodes.AnyNode,
        nodes.StringNode,
        nodes.IntegerNode,
        nodes.FloatNode,
        nodes.BooleanNode,
    ):
        yield cls, f"{cls.__module__}.{cls.__qualname__}"
    yield typing.Any, "typing.Any"
    for builtin in (dict, list, int, float, str, bool):
        yield builtin, f"builtins.{builtin.__name__}"


def _old_meters():
    """Meters under the name of the module that they once had."""
    for cls in (meters.AverageMeter, meters.TimeMeter, meters.StopwatchMeter):
        yield cls, f"fairseq.meters.{cls.__name__}"


def checkpoint_globals() -> typing.Dict[str, typing.Any]:
    """Every class and function, by pickled name, that a fairseq checkpoint may hold beside plain data."""
    allowed = {
        "argparse.Namespace": argparse.Namespace,
        "collections.defaultdict": collections.defaultdict,
    }
    for obj, name in (*_numpy_globals(), *_omegaconf_globals(), *_old_meters()):
        allowed[name] = obj
    return allowed


def allow_checkpoint_classes() -> None:
    """Adds checkpoint_globals() to torch's allow-list. Nothing to do where torch has none (before 2.4)."""
    if not hasattr(torch.serialization, "add_safe_globals"):
        return
    # When several workers resume, the first one sends the checkpoint it has read to the others through torch.save
    # and torch.load, tensors apart and placeholders in their stead.
    from fairseq.distributed.utils import _TensorPlaceholder

    entries = [_TensorPlaceholder]
    for name, obj in checkpoint_globals().items():
        own_name = f"{getattr(obj, '__module__', '')}.{getattr(obj, '__qualname__', '')}"
        if own_name == name:
            entries.append(obj)
        elif _names_allowed():
            entries.append((obj, name))
    torch.serialization.add_safe_globals(entries)


def _names_allowed() -> bool:
    """Whether this torch takes (object, name) pairs: from 2.5 on."""
    major, minor = (int(part) for part in torch.__version__.split(".")[:2])
    return (major, minor) >= (2, 5)
