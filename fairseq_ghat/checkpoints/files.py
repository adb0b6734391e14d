"""Reads and writes checkpoint files: safely, whole, and with errors that name the file."""

import errno
import os
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any, Dict, Optional, Union

import torch

from fairseq_ghat.checkpoints.safe_loading import checkpoint_globals
from fairseq_ghat.checkpoints.whole_file import whole_file

# Where torch's safe loading names what it refuses: a global, or the class of an object whose state it would set.
_REFUSED = re.compile(r"(?:GLOBAL|Unsupported class) ([\w.]+)|`add_safe_globals`, but got <class '(.+?)'>")


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be used; the message names the file, what is wrong and what to do."""


class _NarrowUnpickler(pickle.Unpickler):
    """For torch before 2.4, whose safe loading takes no allow-list: the same list by hand."""

    # Plain data, as torch's own safe loading allows it: tensors, and bytes as pickle protocol 2 writes them.
    _PLAIN = (
        "collections.OrderedDict",
        "torch._utils._rebuild_tensor_v2",
        "torch._utils._rebuild_parameter",
        "_codecs.encode",
    )

    def find_class(self, module, name):
        if module == "__builtin__":  # its name, and long's for int, in pickle protocol 2
            module, name = "builtins", "int" if name == "long" else name
        full = f"{module}.{name}"
        allowed = checkpoint_globals()
        if full in allowed:
            return allowed[full]
        if full in self._PLAIN:
            return super().find_class(module, name)
        if module in ("torch", "torch.storage") and (name.endswith("Storage") or name == "Size" or "float" in name):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"Unsupported global: GLOBAL {full}")


class _NarrowPickle:
    """What torch.load asks of a pickle module."""

    Unpickler = _NarrowUnpickler
    load = staticmethod(lambda file, **kwargs: _NarrowUnpickler(file, **kwargs).load())


def read_checkpoint(path: Union[str, Path]) -> Dict[str, Any]:
    """A fairseq checkpoint, on the CPU.

    Raises:
        CheckpointError: if the file is missing, may not be read, is truncated, not a fairseq checkpoint, or holds a
            class beyond those fairseq checkpoints hold.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise CheckpointError(f"{path}: no such checkpoint file")
        open(path, "rb").close()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror}); allow access to it") from error
    if hasattr(torch.serialization, "add_safe_globals"):
        kwargs = {"weights_only": True}
        if zipfile.is_zipfile(path):
            kwargs["mmap"] = True
    else:
        kwargs = {"pickle_module": _NarrowPickle}
    try:
        state = torch.load(str(path), map_location="cpu", **kwargs)
    except Exception as error:
        refused = _REFUSED.search(str(error))
        if refused:
            raise CheckpointError(
                f"{path}: holds {refused[1] or refused[2]}, which fairseq checkpoints do not hold; it was not loaded. "
                "If you trust the file, load it by torch.load(..., weights_only=False) and save it without that object"
            ) from error
        raise CheckpointError(
            f"{path}: cannot be read as a checkpoint ({type(error).__name__}); it may be truncated (a run killed while "
            "saving) or of another kind. Take an earlier checkpoint of the same folder"
        ) from error
    if not isinstance(state, dict) or "model" not in state or not (state.get("cfg") or state.get("args")):
        raise CheckpointError(f"{path}: not a fairseq checkpoint (it has no model, or neither cfg nor args)")
    return state


def newest_whole_checkpoint(folder: Path) -> Optional[Path]:
    """The checkpoint with most updates among those of a training run's folder that can be read, or None."""
    whole = {}
    for path in folder.glob("checkpoint*.pt"):
        try:
            history = read_checkpoint(path).get("optimizer_history") or [{}]
        except CheckpointError:
            continue
        whole[path] = history[-1].get("num_updates", 0)
    return max(sorted(whole), key=whole.get) if whole else None


def write_checkpoint(state: Dict[str, Any], path: Union[str, Path]) -> None:
    """Writes a checkpoint whole or not at all.

    Raises:
        NotWritten: as whole_file does.
    """
    with whole_file(path) as file:
        try:
            torch.save(state, file)
        except RuntimeError as error:
            if "unexpected pos" not in str(error):
                raise
            # All that torch tells of a file that cannot grow.
            full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            raise (error.__context__ if isinstance(error.__context__, OSError) else full) from error
