"""Reads what fairseq-generate printed: hypotheses, references and speed."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Union

_HYPOTHESIS = re.compile(r"^H-(\d+)\t(\S+)\t(.*)$")
_SPEED = re.compile(r"Translated [\d,]+ sentences .*\(([\d.]+) sentences/s")
_PIECE_MARK = "\u2581"


class GenerationLogError(ValueError):
    """The log cannot be scored; the message names the file and says why."""


@dataclass
class GenerationLog:
    """Hypotheses in the order of the test set, and how long decoding took.

    Attributes:
        hypotheses: best hypothesis of each sentence.
        sentences_per_second: as fairseq measured it, decoding only, without loading.
    """

    hypotheses: List[str]
    sentences_per_second: float


def read_lines(path: Union[str, Path]) -> List[str]:
    """Lines of a text file, ended by \\n alone: Unicode's other line ends occur inside sentences."""
    with open(path, encoding="utf-8", newline="\n") as lines:
        return [line.rstrip("\r\n") for line in lines]


def read_generation_log(path: Union[str, Path]) -> GenerationLog:
    """Parses a log of fairseq-generate that was run with --remove-bpe sentencepiece.

    Raises:
        GenerationLogError: if the log is cut off or holds no hypotheses, or if sentencepiece's marker is
            left in them (facebookresearch/fairseq#331), which would lower BLEU.
    """
    best: Dict[int, str] = {}
    speed = None
    for line in read_lines(path):
        found = _HYPOTHESIS.match(line)
        if found:
            best.setdefault(int(found.group(1)), found.group(3))  # with --nbest, the best comes first
        told = _SPEED.search(line)
        if told:
            speed = float(told.group(1))
    if not best or speed is None:
        raise GenerationLogError(f"{path}: not the whole log of a fairseq-generate run")
    missing = sorted(set(range(max(best) + 1)) - set(best))
    if missing:
        raise GenerationLogError(
            f"{path}: not the whole log of a fairseq-generate run, sentences {missing[:5]} are missing; some versions "
            "of fairseq leave out the last ones unless given --required-batch-size-multiple 1"
        )
    hypotheses = [best[number] for number in sorted(best)]
    if any(_PIECE_MARK in text for text in hypotheses):
        raise GenerationLogError(
            f"{path}: sentencepiece's marker {_PIECE_MARK} is left in the hypotheses; "
            "generate with --remove-bpe sentencepiece"
        )
    return GenerationLog(hypotheses, speed)
