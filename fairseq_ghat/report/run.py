"""A training run by its folder: the log, a checkpoint, and what other commands measured."""

import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Sequence

from fairseq_ghat.checkpoints.files import CheckpointError, read_checkpoint
from fairseq_ghat.checkpoints.model_options import NotGroupable, is_stock
from fairseq_ghat.criterions.group_constrained import GroupLossScale
from fairseq_ghat.profiling.model_building import build_from_checkpoint
from fairseq_ghat.profiling.model_size import measure_model
from fairseq_ghat.profiling.parameters import heads_in_checkpoint
from fairseq_ghat.pruning.slimming import kept_heads_in_checkpoint
from fairseq_ghat.report.measurements import CHECKPOINTS, Measurements, Score, read_measurements
from fairseq_ghat.report.train_command import all_options, train_command
from fairseq_ghat.report.training_log import TrainingLog, read_training_log

LOG = "train.log"
_LENGTH = 30  # tokens a side, for FLOPs: that of ghat-stats and of the paper


class BadRun(ValueError):
    """A folder that is no training run; the message names it and says what is missing."""


@dataclass
class Model:
    """What a checkpoint says of its model.

    Attributes:
        path: of the checkpoint.
        options: of its training, by name.
        kind: "plain", "GHT" (grouped heads), "GHT-PS" (and a vote), or "plain, heads removed".
        kept: indexes of the heads that stay in each attention layer.
        made_with: heads that each attention layer had before any were removed.
    """

    path: Path
    options: Dict[str, Any]
    kind: str
    kept: Dict[str, List[int]]
    made_with: Dict[str, int]

    @property
    def groups(self) -> Optional[int]:
        """C of the constraint; None where there is none."""
        return None if self.kind.startswith("plain") else self.options.get("head_groups")


@dataclass
class Run:
    """A training run.

    Attributes:
        name: on the page.
        folder: of the checkpoints.
        log: of the training; None if there is none.
        model: of the checkpoint; None if none can be read, or if it is of another kind.
        size: heads, parameters and FLOPs, as ghat-stats has them; None if they cannot be counted.
        measured: what other commands said.
        command: of the training; None if it is not known.
        remarks: sentences on what is missing and why.
    """

    name: str
    folder: Path
    log: Optional[TrainingLog] = None
    model: Optional[Model] = None
    size: Optional[Dict[str, Any]] = None
    measured: Measurements = field(default_factory=Measurements)
    command: Optional[str] = None
    remarks: List[str] = field(default_factory=list)

    @property
    def groups(self) -> Optional[int]:
        """C of the constraint; None where there is none, or where no checkpoint tells."""
        return self.model.groups if self.model else None

    @property
    def score(self) -> Dict[str, Score]:
        return self.measured.scores


def check_run(folder: Path) -> None:
    """Raises BadRun unless there is a folder with a training log, or a checkpoint in it."""
    if not folder.is_dir():
        raise BadRun(f"RUN {folder}: {'is no folder' if folder.exists() else 'no such folder'}")
    if not _logs(folder) and not _checkpoints(folder):
        beside = f"{folder.resolve().name}.{LOG}"
        raise BadRun(f"RUN {folder}: has neither {LOG} (nor {beside} beside it) nor a checkpoint (*.pt)")


def input_files(folder: Path) -> List[Path]:
    """The log and the checkpoints of a run."""
    return [*_logs(folder), *_checkpoints(folder)]


def read_runs(
    folders: Sequence[Path], given: Iterable[Path] = (), show: Callable[[str], None] = lambda text: None
) -> List[Run]:
    """Reads the runs, which have different names then.

    Args:
        folders: of the runs.
        given: files of measurements beyond those in the folders and beside them.
        show: is told what is being read.
    """
    runs = []
    for name, folder in zip(names_of(folders), folders):
        show(f"reading {folder}")
        runs.append(_read_run(name, folder, list(given), folders))
    show("")
    return runs


def names_of(folders: Sequence[Path]) -> List[str]:
    """Of each folder as many parts of its path as it takes to tell them apart, from the last that differs."""
    parts = [folder.resolve().parts for folder in folders]
    while len(parts) > 1 and min(map(len, parts)) > 2 and len({of_folder[-1] for of_folder in parts}) == 1:
        parts = [of_folder[:-1] for of_folder in parts]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(of_folder[-length:]) for of_folder in parts]
        if len(set(names)) == len(names):
            break
    return names


def _read_run(name: str, folder: Path, given: Sequence[Path], among: Sequence[Path]) -> Run:
    run = Run(name, folder)
    state = None
    for path in _checkpoints(folder):
        try:
            state = read_checkpoint(path)
        except CheckpointError as error:
            run.remarks.append(f"{error}.")
            continue
        run.command = _command(folder, state, run.remarks)
        try:
            run.model = _model(path, state)
            run.size = measure_model(build_from_checkpoint(state), _LENGTH)
        except (ValueError, RuntimeError, KeyError, AttributeError) as error:  # options or weights that do not fit
            run.remarks.append(f"{path} is not of a model that this page tells of: {error}.")
        except ModuleNotFoundError:
            run.remarks.append("FLOPs are not counted: fvcore is not installed.")
        break
    if state is None:
        run.remarks.append("There is no checkpoint that can be read: nothing is known of the model.")
    logs = _logs(folder) or _log_of_options(state)
    if logs:
        run.log = read_training_log(logs[0])
        run.remarks += run.log.remarks
    else:
        run.remarks.append(f"There is no {LOG}: no curves and no votes.")
    run.measured = read_measurements(folder, given, among)
    run.size = run.measured.size or run.size
    run.remarks += [*run.measured.remarks, *_missing_vote(run)]
    return run


def _missing_vote(run: Run) -> List[str]:
    wanted = run.model.options.get("vote_epoch") if run.model else None
    if not wanted or run.model.kept != _all(run.model.made_with) or not run.log or run.log.first_voted_epoch:
        return []
    return [f"There is no vote yet: --vote-epoch is {wanted}, the log ends after epoch {run.log.last_epoch}."]


def _model(path: Path, state: Mapping[str, Any]) -> Model:
    options = all_options(state)
    stock = is_stock(state)
    kept = kept_heads_in_checkpoint(state)
    if not stock and not kept:
        raise NotGroupable(f"its arch is {options['arch']}")
    if not kept:
        kept = _all(heads_in_checkpoint(state))
    made_with = {name: len(heads) if stock else _made_with(options, name) for name, heads in kept.items()}
    constrained = not stock and is_constrained(options)
    removed = kept != _all(made_with)
    kinds = {
        (False, False): "plain",
        (False, True): "plain, heads removed",
        (True, False): "GHT",
        (True, True): "GHT-PS",
    }
    return Model(path, options, kinds[constrained, removed], kept, made_with)


def is_constrained(options: Mapping[str, Any]) -> bool:
    """Whether the group constraint was part of the loss, by the options of a training."""
    if not str(options.get("criterion")).startswith("group_constrained"):
        return False
    return GroupLossScale(str(options["group_loss_scale"])).factor != 0


def _all(counts: Mapping[str, int]) -> Dict[str, List[int]]:
    return {name: list(range(count)) for name, count in counts.items()}


def _made_with(options: Mapping[str, Any], layer: str) -> int:
    return int(options[f"{layer.split('.')[0]}_attention_heads"])


def _command(folder: Path, state: Mapping[str, Any], remarks: List[str]) -> Optional[str]:
    """As the benchmark recorded it, else by the options in the checkpoint."""
    try:
        return shlex.join(json.loads((folder / "run.json").read_text())["train"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    try:
        return train_command(state)
    except (ValueError, KeyError) as error:
        remarks.append(f"The command of the training cannot be told: {error}.")
        return None


def _logs(folder: Path) -> List[Path]:
    """The log in the folder, and the one beside it with the folder's name before its own."""
    resolved = folder.resolve()
    candidates = (folder / LOG, resolved.with_name(f"{resolved.name}.{LOG}"))
    return [path for path in candidates if path.is_file()]


def _log_of_options(state: Optional[Mapping[str, Any]]) -> List[Path]:
    """The file of fairseq's --log-file, if it is still there."""
    name = all_options(state).get("log_file") if state else None
    return [Path(name)] if name and Path(name).is_file() else []


def _checkpoints(folder: Path) -> List[Path]:
    """Those that may stand for the run, best first: not those of before its vote, if there are others."""
    every = sorted(folder.glob("*.pt"))
    known = [folder / name for name in CHECKPOINTS if folder / name in every]
    others = [path for path in every if path not in known]
    return known + sorted(others, key=lambda path: (path.name.startswith("before_vote."), _number(path), path.name))


def _number(path: Path) -> int:
    """Later epochs first."""
    numbers = re.findall(r"\d+", path.name)
    return -int(numbers[-1]) if numbers else 0
