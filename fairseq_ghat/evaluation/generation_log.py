"""Reads what fairseq-generate printed: hypotheses, references and speed."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Union

_HYPOTHESIS = re.compile(r"^([HD])-(\d+)\t(\S+)\t(.*)$")
_SPEED = re.compile(r"Translated [\d,]+ sentences .*\(([\d.]+) sentences/s")
# What is left of subwords unless fairseq-generate joins them, and what joins them.
_SUBWORD_MARKS = {"\u2581": "sentencepiece", "@@ ": "subword_nmt"}


class GenerationLogError(ValueError):
    """The log cannot be scored; the message names the file and says why."""


@dataclass
class GenerationLog:
    """Hypotheses in the order of the test set, and how long decoding took.

    Attributes:
        hypotheses: best hypothesis of each sentence, detokenised where fairseq-generate was told the tokenizer.
        sentences_per_second: as fairseq measured it, decoding only, without loading; None if the log does not tell.
    """

    hypotheses: List[str]
    sentences_per_second: Optional[float]


def read_lines(path: Union[str, Path]) -> List[str]:
    """Lines of a text file, ended by \\n alone: Unicode's other line ends occur inside sentences."""
    with open(path, encoding="utf-8", newline="\n") as lines:
        return [line.rstrip("\r\n") for line in lines]


def read_generation_log(path: Union[str, Path], with_speed: bool = False) -> GenerationLog:
    """Parses a log of fairseq-generate, or what was pasted of one: lines H-, and D- where there are any.

    Args:
        path: its file.
        with_speed: also wants the line that tells the speed, which ends a whole log.

    Raises:
        GenerationLogError: if the log is cut off or holds no hypotheses, or if marks of subwords are left in them
            (facebookresearch/fairseq#331), which would lower BLEU.
    """
    best: Dict[str, Dict[int, str]] = {"H": {}, "D": {}}
    speed = None
    for line in read_lines(path):
        found = _HYPOTHESIS.match(line)
        if found:
            # With --nbest, the best comes first.
            best[found.group(1)].setdefault(int(found.group(2)), found.group(4))
        told = _SPEED.search(line)
        if told:
            speed = float(told.group(1))
    hypotheses = {**best["H"], **best["D"]}
    if not hypotheses or (with_speed and speed is None):
        raise GenerationLogError(f"{path}: not the whole log of a fairseq-generate run")
    if best["D"] and best["H"].keys() - best["D"].keys():
        # Some sentences would be scored detokenised and others not.
        raise GenerationLogError(f"{path}: not the whole log of a fairseq-generate run, lines D- are missing")
    missing = sorted(set(range(max(hypotheses) + 1)) - set(hypotheses))
    if missing:
        raise GenerationLogError(
            f"{path}: not the whole log of a fairseq-generate run, sentences {missing[:5]} are missing; some versions "
            "of fairseq leave out the last ones unless given --required-batch-size-multiple 1"
        )
    texts = [hypotheses[number] for number in sorted(hypotheses)]
    for mark, subwords in _SUBWORD_MARKS.items():
        if any(mark in text for text in texts):
            raise GenerationLogError(
                f"{path}: {subwords}'s marker {mark.strip()} is left in the hypotheses; "
                f"generate with --remove-bpe {subwords}"
            )
    return GenerationLog(texts, speed)


def is_generation_log(path: Union[str, Path]) -> bool:
    """Whether a file holds hypotheses as fairseq-generate prints them, rather than bare text."""
    return any(_HYPOTHESIS.match(line) for line in read_lines(path))
