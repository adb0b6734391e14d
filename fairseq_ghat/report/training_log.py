"""Reads the log of fairseq-train: figures of every epoch, the vote, and whether the training came to its end."""

import json
import re
from ast import literal_eval
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple, Union

# A file that fairseq's --log-file names has the bare messages.
_PREFIX = re.compile(r"^\S+ \S+ \| [A-Z]+ \| \S+ \| ")
_EPOCH = re.compile(r"^epoch (\d+) \| (?:valid on '(.+?)' subset \| )?(.*)$")
_BEGINS = re.compile(r"^vote: begins before epoch (\d+)")
_KEEPS = re.compile(r"^vote: (\S+) keeps heads (\[[\d, ]*\]) of (\d+)(?:.*; votes (\[[\d, ]+\]) of (\d+) batches)?")
_TRAIN = "train"
_UPDATES = "_num_updates"  # which ends a name in the lines of --log-format json: train_num_updates

Figures = Dict[str, Union[float, str]]
Curve = Tuple[List[int], List[float]]  # epochs, values


@dataclass
class LayerVote:
    """What the vote did to an attention layer.

    Attributes:
        kept: indexes of the heads that stay.
        of: number of heads before.
        votes: of each head; None where heads were not chosen by votes.
        batches: that voted.
    """

    kept: List[int]
    of: int
    votes: Optional[List[int]] = None
    batches: Optional[int] = None


@dataclass
class Vote:
    """A vote in a training run.

    Attributes:
        epoch: that begins after it.
        layers: by name of the attention layer.
        done: whether it came to its end.
    """

    epoch: int
    layers: Dict[str, LayerVote] = field(default_factory=dict)
    done: bool = False


@dataclass
class TrainingLog:
    """What the log of a training run says.

    Attributes:
        train: figures of the training set by epoch.
        valid: figures of the first validation set by epoch.
        vote: None where there was none.
        remarks: sentences on what is missing.
    """

    train: Dict[int, Figures] = field(default_factory=dict)
    valid: Dict[int, Figures] = field(default_factory=dict)
    vote: Optional[Vote] = None
    remarks: List[str] = field(default_factory=list)

    @property
    def last_epoch(self) -> int:
        """The last one that has figures; 0 if none has."""
        return max([*self.train, *self.valid], default=0)

    @property
    def first_voted_epoch(self) -> Optional[int]:
        """The epoch that begins after the vote; None without a vote, or of one before all epochs of this log."""
        if self.vote and self.vote.done:
            return self.vote.epoch
        voted = min((epoch for epoch, figures in self.valid.items() if figures.get("stage") == "voted"), default=None)
        return voted if voted is not None and voted > min(self.valid) else None

    def curve(self, split: str, name: str) -> Curve:
        """A figure over the epochs that have it.

        Args:
            split: "train" or "valid".
            name: of the figure, as fairseq logs it.
        """
        by_epoch = {"train": self.train, "valid": self.valid}[split]
        known = [(epoch, by_epoch[epoch].get(name)) for epoch in sorted(by_epoch)]
        points = [(epoch, value) for epoch, value in known if isinstance(value, float) and abs(value) < float("inf")]
        return [epoch for epoch, _ in points], [value for _, value in points]


def read_training_log(path: Path) -> TrainingLog:
    """Parses a log, whole or cut off, of one start of fairseq-train or of several that went on with the same run.

    Args:
        path: what fairseq-train printed with any --log-format, or the file of --log-file.

    Returns:
        Of an epoch that was trained twice, the later figures.
    """
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        del lines[-1]  # cut off within the line: its last number may be
    log, subset, done, broken_off = TrainingLog(), None, False, None
    for line in lines:
        message = _PREFIX.sub("", line.rstrip("\n"))
        epoch = _figures_of_epoch(message)
        if epoch:
            number, split, figures = epoch
            if split == _TRAIN:
                log.train[number] = figures
            elif subset in (None, split):
                subset = split
                log.valid[number] = figures
        elif message.startswith("vote: "):
            _follow_vote(log, message)
        elif message.startswith("Start iterating over samples"):
            done = False
        elif message.startswith("done training in"):
            done = True
    if not log.last_epoch:
        broken_off = "holds no figures of an epoch of fairseq-train"
    elif not done:
        broken_off = f"ends after epoch {log.last_epoch}, before the training was done: it goes on, or was cut off"
    if broken_off:
        log.remarks.insert(0, f"The log {path.name} {broken_off}.")
    if log.vote and not log.vote.done:
        log.remarks.append(f"The vote before epoch {log.vote.epoch} began, and the log does not say that it ended.")
    return log


def _figures_of_epoch(message: str) -> Optional[Tuple[int, str, Figures]]:
    """Epoch, split and figures of a line that sums up an epoch; None of another one."""
    if message.startswith("{"):
        return _figures_in_json(message)
    match = _EPOCH.match(message)
    if not match:
        return None
    pairs = [part.strip().partition(" ") for part in match[3].split(" | ")]
    return int(match[1]), match[2] or _TRAIN, {name: _number(value.strip()) for name, _, value in pairs}


def _figures_in_json(message: str) -> Optional[Tuple[int, str, Figures]]:
    try:
        content: Dict[str, Any] = json.loads(message)
        epoch = int(content["epoch"])
    except (ValueError, KeyError, TypeError):  # as the options that open a log
        return None
    splits = [name[: -len(_UPDATES)] for name in content if name.endswith(_UPDATES)]
    if not splits:
        return None  # within an epoch
    start = f"{splits[0]}_"
    figures = {name[len(start) :]: _number(str(value)) for name, value in content.items() if name.startswith(start)}
    return epoch, splits[0], figures


def _number(text: str) -> Union[float, str]:
    try:
        return float(text)
    except ValueError:
        return text


def _follow_vote(log: TrainingLog, message: str) -> None:
    begins, keeps = _BEGINS.match(message), _KEEPS.match(message)
    if begins:
        log.vote = Vote(int(begins[1]))
    elif keeps and log.vote:
        votes = literal_eval(keeps[4]) if keeps[4] else None
        batches = int(keeps[5]) if keeps[5] else None
        log.vote.layers[keeps[1]] = LayerVote(literal_eval(keeps[2]), int(keeps[3]), votes, batches)
    elif log.vote and message.startswith("vote: done"):
        log.vote.done = True
    elif message.startswith("vote: training ended without a vote"):
        log.remarks.append(f"The t{message[len('vote: t') :]}.")
