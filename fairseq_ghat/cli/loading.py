"""Loads checkpoints, tasks, models and data for the commands."""

import os
from argparse import Namespace
from pathlib import Path
from typing import Any, Dict, List, Mapping, Tuple, Union

from fairseq import checkpoint_utils, tasks, utils
from fairseq.data import FairseqDataset, LanguagePairDataset, MonolingualDataset
from fairseq.models import BaseFairseqModel
from fairseq.tasks import FairseqTask
from omegaconf import open_dict

from fairseq_ghat.checkpoints.files import read_checkpoint
from fairseq_ghat.checkpoints.model_options import SWITCHES, compute_once, is_stock, model_options
from fairseq_ghat.checkpoints.stock_comparison import check_against_fairseq
from fairseq_ghat.checkpoints.stock_conversion import as_grouped_checkpoint


class InputError(ValueError):
    """A checkpoint, data or an option that a command cannot use; the message names it and the allowed values."""


def load_checkpoint(path: Union[str, Path], task: Union[type, Tuple[type, ...]], allowed: str) -> Dict[str, Any]:
    """Reads a checkpoint; its options come in fairseq's configuration (cfg), also those of an old one (args).

    Args:
        path: file of the checkpoint.
        task: class or classes of tasks that the checkpoint may be of.
        allowed: names of these tasks, for the message.

    Returns:
        The checkpoint on the CPU, without optimizer state.

    Raises:
        CheckpointError: if the file cannot be read; names it and says what to do.
        InputError: if it was trained for another task.
    """
    state = read_checkpoint(path)
    # fairseq takes switches that an old checkpoint lacks for true.
    lacking = {} if state.get("cfg") else {name: False for name in SWITCHES if not hasattr(state["args"], name)}
    state = checkpoint_utils.load_checkpoint_to_cpu(str(path), lacking)
    state["args"] = None  # fairseq has made cfg of it
    state.pop("last_optimizer_state", None)  # twice the size of the weights, and not needed
    name = state["cfg"].task._name
    if not issubclass(tasks.TASK_REGISTRY.get(name, object), task):
        raise InputError(f"CHECKPOINT {path}: its task is {name}; allowed is {allowed}")
    return state


def load_task_and_model(
    path: Union[str, Path], state: Dict[str, Any], data: str, **task_options: Any
) -> Tuple[FairseqTask, BaseFairseqModel]:
    """Builds the task and the model of a checkpoint for data that may be other than those it was trained on.

    Args:
        path: file of the checkpoint.
        state: the checkpoint, from load_checkpoint; its task options are changed in place.
        data: folder that fairseq-preprocess made.
        task_options: further options of the task that differ from the checkpoint's.

    Returns:
        The task, and the model in evaluation mode on the CPU.

    Raises:
        InputError: if the data have no dictionaries, or if the model does not fit them.
    """
    options = state["cfg"].task
    changed = {"data": data, **task_options}
    if isinstance(options, Namespace):  # of a task that has no configuration of its own
        vars(options).update(changed)
    else:
        with open_dict(options):
            options.update(changed)
    try:
        task = tasks.setup_task(options, from_checkpoint=True)
    except Exception as error:  # fairseq has no narrower one for a language pair that it cannot find
        raise InputError(f"DATA {data}: {error}") from error
    try:
        (model,), _, _ = checkpoint_utils.load_model_ensemble_and_task([str(path)], task=task, state=state)
    except RuntimeError as error:
        sizes = (len(task.source_dictionary), len(task.target_dictionary))
        which = f"dictionary has {sizes[0]}" if sizes[0] == sizes[1] else f"dictionaries have {sizes[0]} and {sizes[1]}"
        unfit = f"CHECKPOINT {path}: does not fit DATA {data}, whose {which} types"
        raise InputError(f"{unfit}: {str(error)[-300:]}") from error
    return task, model.eval()


def load_task_and_grouped_model(
    path: Union[str, Path], state: Dict[str, Any], data: str, grouping: Mapping[str, Any], **task_options: Any
) -> Tuple[FairseqTask, BaseFairseqModel]:
    """As load_task_and_model, of a grouped model; that of a stock checkpoint is compared with fairseq's own class.

    Args:
        path: file of the checkpoint.
        state: the checkpoint, from load_checkpoint; stays as it is.
        data: folder that fairseq-preprocess made.
        grouping: options of as_grouped_checkpoint.
        task_options: options of the task that differ from the checkpoint's.

    Returns:
        The task, and the model in evaluation mode on the CPU.

    Raises:
        InputError: if the data have no dictionaries, or if the model does not fit them.
        NotGroupable: if the checkpoint holds another model, or if the grouped one does not compute what it does.
        ValueError: for a group count, feature or distance that is not allowed; names the flag.
    """
    grouped = as_grouped_checkpoint(state, **grouping)
    compute_once(model_options(grouped))
    task, model = load_task_and_model(path, grouped, data, **task_options)
    if is_stock(state):
        check_against_fairseq(model, state)
    return task, model


def check_data(data: str) -> None:
    """Raises InputError unless every folder of fairseq's DATA argument exists."""
    for folder in utils.split_paths(data):
        if not Path(folder).is_dir():
            if Path(data).is_dir():
                raise InputError(f"DATA {data}: fairseq takes its path apart at {os.pathsep}; give a link without one")
            raise InputError(f"DATA {folder}: no such folder")


def data_files(data: str) -> List[Path]:
    """The files that fairseq-preprocess left in the folders of fairseq's DATA argument."""
    patterns = ("dict.*", "*.bin", "*.idx")
    return [file for folder in utils.split_paths(data) for pattern in patterns for file in Path(folder).glob(pattern)]


def load_split(
    task: FairseqTask, data: str, flag: str, split: str, combine: bool = False, with_targets: bool = False
) -> None:
    """Loads a split of the data into their task.

    Args:
        task: of the data.
        data: fairseq's DATA argument, for the message.
        flag: that named the split, for the message.
        split: its name.
        combine: take split1, split2 and so on with it, as fairseq-train does of what it trains on.
        with_targets: refuse sentences to translate that have no translation.

    Raises:
        InputError: if there is no such split, or if it is damaged; names the flag.
    """
    try:
        task.load_dataset(split, combine=combine)
        dataset = task.dataset(split)
        if isinstance(dataset, (LanguagePairDataset, MonolingualDataset)) and len(dataset):
            _read_last(dataset)
    except FileNotFoundError as error:
        raise InputError(f"{flag} {split}: not in DATA {data} ({error})") from error
    except Exception as error:  # fairseq has a kind of its own for each kind of damage
        told = f"{flag} {split}: cannot be read from DATA {data} ({error!r})"
        raise InputError(f"{told}; make it anew with fairseq-preprocess") from error
    if with_targets and getattr(dataset, "tgt", dataset) is None:
        raise InputError(f"{flag} {split}: has no targets in DATA {data}; give a split that has both languages")


def _read_last(dataset: FairseqDataset) -> None:
    """Of a file that is cut short the last sentence is missing, which shows as soon as it is read."""
    last = len(dataset) - 1
    if dataset.supports_prefetch:  # data of fairseq before 0.9
        dataset.prefetch([last])
    dataset[last]
