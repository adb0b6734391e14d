"""What the commands that measure trained models share: checkpoints to models, and what is said of the machine."""

import platform
from argparse import Namespace
from pathlib import Path
from typing import Any, Dict

import fairseq
import torch
from fairseq import checkpoint_utils, tasks, utils
from omegaconf import open_dict

from fairseq_ghat.checkpoints.files import read_checkpoint


class NotMeasurable(ValueError):
    """A checkpoint or an option that does not fit; the message says what is allowed."""


def checkpoint_of_task(path: str, kind: type, allowed: str) -> Dict[str, Any]:
    """A checkpoint with its options in the new form.

    Args:
        path: its file.
        kind: class that its task must be of; allowed: what a message says is allowed.

    Raises:
        CheckpointError: if it cannot be read; names the file and what to do.
        NotMeasurable: if it was trained for another task.
    """
    read_checkpoint(path)
    state = checkpoint_utils.load_checkpoint_to_cpu(path)
    if state.get("cfg") is None:
        state["cfg"] = checkpoint_utils.convert_namespace_to_omegaconf(state["args"])
        state["args"] = None
    state.pop("last_optimizer_state", None)  # twice the size of the weights, and not needed
    name = state["cfg"].task._name
    if not issubclass(tasks.TASK_REGISTRY.get(name, object), kind):
        raise NotMeasurable(f"CHECKPOINT {path}: its task is {name}; allowed is {allowed}")
    return state


def check_data(data: str) -> None:
    """Raises NotMeasurable unless every folder of fairseq's DATA argument exists."""
    for folder in utils.split_paths(data):
        if not Path(folder).is_dir():
            raise NotMeasurable(f"DATA {folder}: no such folder")


def task_and_model(path: str, state: Dict[str, Any], data: str, **task_options):
    """Task and model of a checkpoint on other data, in evaluation mode on the CPU.

    Raises:
        NotMeasurable: if the data has no dictionaries, or the model does not fit them.
    """
    config = state["cfg"].task
    with open_dict(config):
        for name, value in {"data": data, **task_options}.items():
            config[name] = value
    try:
        task = tasks.setup_task(config, from_checkpoint=True)
    except Exception as error:  # fairseq has no narrower one for a language pair that it cannot find
        raise NotMeasurable(f"DATA {data}: {error}") from error
    try:
        (model,), _, _ = checkpoint_utils.load_model_ensemble_and_task([path], task=task, state=state)
    except RuntimeError as error:
        sizes = (len(task.source_dictionary), len(task.target_dictionary))
        which = f"dictionary has {sizes[0]}" if sizes[0] == sizes[1] else f"dictionaries have {sizes[0]} and {sizes[1]}"
        raise NotMeasurable(
            f"CHECKPOINT {path}: does not fit DATA {data}, whose {which} types: {str(error)[-300:]}"
        ) from error
    return task, model.eval()


def measuring_device(args: Namespace) -> torch.device:
    """The GPU, unless there is none or --cpu was given."""
    return torch.device("cuda" if torch.cuda.is_available() and not args.cpu else "cpu")


def describe_machine(device: torch.device) -> str:
    """Device and versions, for a line above the figures."""
    on_gpu = device.type == "cuda"
    where = torch.cuda.get_device_name(device) if on_gpu else f"CPU, {torch.get_num_threads()} threads"
    return f"{where}, Python {platform.python_version()}, torch {torch.__version__}, fairseq {fairseq.__version__}"
