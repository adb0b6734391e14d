"""Reads logs of fairseq-generate and fairseq-interactive: hypotheses, references, speed, and what they were made of."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Sequence, Union

_HYPOTHESIS = re.compile(r"^([HD])-(\d+)\t(\S+)\t(.*)$")
_REFERENCE = re.compile(r"^T-(\d+)\t(.*)$")
_OF_A_SENTENCE = re.compile(r"^[A-Z]-\d+\t")
_SPEED = re.compile(r"Translated [\d,]+ sentences .*\(([\d.]+) sentences/s")
# In the options that open a log, of any version; None where fairseq took the language from the names of the data,
# which the lines about the two dictionaries then tell.
_TARGET_LANG = re.compile(r"\btarget_lang'?[:=] ?'([^']+)'")
_CHECKPOINT = re.compile(r"\bpath'?[:=] ?'([^']+\.pt)'")
_DICTIONARY = re.compile(r"\[([^\]]+)\] dictionary: [\d,]+ types")
# fairseq's warning in the log of a run under --skip-invalid-size-inputs-valid-test; interactive warns of each buffer.
_SKIPPED = re.compile(r"([\d,]+) samples have invalid sizes and will be skipped")
_CONVERT = "convert it, as by iconv -f UTF-16 -t UTF-8"
# Marks that subwords keep unless fairseq-generate joins them, and the value of --remove-bpe that joins them.
_SUBWORD_MARKS = {"\u2581": "sentencepiece", "@@ ": "subword_nmt"}


class TextError(ValueError):
    """A text that cannot be read; the message names the file and says what to do."""


class GenerationLogError(ValueError):
    """A log that cannot be scored; the message names the file and says why."""


@dataclass
class GenerationLog:
    """Hypotheses of a test set, and the speed of decoding.

    Attributes:
        hypotheses: best hypothesis of each sentence, in the order of the test set; detokenised if fairseq-generate
            knew the tokenizer.
        sentences_per_second: speed of decoding, without loading, as fairseq measured it; None if the log lacks it.
        target_lang: code of the language that was translated into; None if the log lacks it.
        references: of the data, in the same order, never detokenised; None if the log lacks any.
        checkpoint: file of the model, as it was given; None if the log lacks it.
        detokenised: whether fairseq-generate knew the tokenizer of the hypotheses.
    """

    hypotheses: List[str]
    sentences_per_second: Optional[float]
    target_lang: Optional[str] = None
    references: Optional[List[str]] = None
    checkpoint: Optional[str] = None
    detokenised: bool = False


def read_lines(path: Union[str, Path]) -> List[str]:
    """Lines of a text file, which end with \\n alone: Unicode's other line ends occur inside sentences.

    A byte-order mark at its beginning, as editors of Windows write it, is no text.

    Raises:
        TextError: if it cannot be read, or is not UTF-8.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="\n") as lines:
            read = [line.rstrip("\r\n") for line in lines]
    except OSError as error:
        raise TextError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise TextError(f"{path}: is not UTF-8 ({error.reason}); {_CONVERT}") from error
    if any("\0" in line for line in read):  # English in UTF-16 is valid UTF-8
        raise TextError(f"{path}: is not UTF-8 (it has characters 0); {_CONVERT}")
    return read


def read_generation_log(path: Union[str, Path], with_speed: bool = False) -> GenerationLog:
    """Parses a log of fairseq-generate or fairseq-interactive, or lines H- and D- pasted from one.

    Args:
        path: file of the log.
        with_speed: refuse a log without the line that tells the speed, which ends a whole log of fairseq-generate.

    Returns:
        Hypotheses of lines D- (detokenised) where the log has them, else of lines H-.

    Raises:
        TextError: if it cannot be read, or is not UTF-8.
        GenerationLogError: if the log is cut off, of two runs or holds no hypotheses, if sentences were skipped, or if
            marks of subwords are left in them (facebookresearch/fairseq#331), which would lower BLEU.
    """
    best: Dict[str, Dict[int, str]] = {"H": {}, "D": {}}
    latest: Dict[str, int] = {}
    references: Dict[int, str] = {}
    speed, target_lang, checkpoint, dictionaries, skipped = None, None, None, [], 0
    for line in read_lines(path):
        hypothesis = _HYPOTHESIS.match(line)
        if hypothesis:
            kind, number = hypothesis.group(1), int(hypothesis.group(2))
            if number in best[kind] and number != latest[kind]:
                raise GenerationLogError(f"{path}: has {kind}-{number} twice, as of two runs; give a log of one run")
            latest[kind] = number
            # With --nbest, the best comes first.
            best[kind].setdefault(number, hypothesis.group(4))
        reference = _REFERENCE.match(line)
        if reference:
            references[int(reference.group(1))] = reference.group(2)
        if _OF_A_SENTENCE.match(line):
            continue
        if checkpoint is None:
            told = _CHECKPOINT.search(line)
            checkpoint = told and told.group(1)
        timing, language, warning = _SPEED.search(line), _TARGET_LANG.search(line), _SKIPPED.search(line)
        dictionaries += _DICTIONARY.findall(line)
        speed = float(timing.group(1)) if timing else speed
        target_lang = target_lang or (language and language.group(1))
        skipped += int(warning.group(1).replace(",", "")) if warning else 0
    hypotheses = {**best["H"], **best["D"]}
    if skipped:
        longer = "generate without --skip-invalid-size-inputs-valid-test, or with larger --max-source-positions"
        raise GenerationLogError(f"{path}: fairseq skipped {skipped:,} sentences that are too long: {longer}")
    cut_off = f"{path}: not the whole log of fairseq-generate or fairseq-interactive"
    if not hypotheses:
        raise GenerationLogError(f"{cut_off}, lines H- are missing")
    if with_speed and speed is None:
        raise GenerationLogError(
            f"{path}: not the whole log of fairseq-generate, its last line (Translated) is missing"
        )
    if best["D"] and best["H"].keys() - best["D"].keys():  # only some sentences would be scored detokenised
        raise GenerationLogError(f"{cut_off}, lines D- are missing")
    missing = sorted(set(range(max(hypotheses) + 1)) - set(hypotheses))
    if missing:
        # Some environments lose fairseq's warning, or print it on stderr.
        reason = "some versions of fairseq leave out the last ones unless given --required-batch-size-multiple 1, and "
        reason += "--skip-invalid-size-inputs-valid-test leaves out long ones"
        raise GenerationLogError(f"{cut_off}, sentences {missing[:5]} are missing; {reason}")
    if target_lang is None and len(dictionaries) == 2:
        target_lang = dictionaries[1]
    texts = [hypotheses[number] for number in sorted(hypotheses)]
    check_no_subwords(path, texts)
    in_order = [references[number] for number in sorted(references)] or None
    detokenised = any(best["H"].get(number, text) != text for number, text in best["D"].items())
    return GenerationLog(texts, speed, target_lang, in_order, checkpoint, detokenised)


def check_no_subwords(path: Union[str, Path], texts: Sequence[str]) -> None:
    """Raises GenerationLogError if the texts of a file have marks of subwords."""
    for mark, subwords in _SUBWORD_MARKS.items():
        if any(mark in text for text in texts):
            told = f"{subwords}'s marker {mark.strip()} is left in the hypotheses"
            raise GenerationLogError(f"{path}: {told}; generate with --remove-bpe {subwords}, or join them")


def common_target_lang(logs: Mapping[str, GenerationLog]) -> Optional[str]:
    """The target language that logs tell, by their names; None if none does.

    Raises:
        GenerationLogError: if they tell different ones.
    """
    told = {log.target_lang: name for name, log in logs.items() if log.target_lang}
    if len(told) > 1:
        listed = ", ".join(f"{name}: {language}" for language, name in told.items())
        raise GenerationLogError(f"the logs are of different target languages ({listed})")
    return next(iter(told), None)


def is_generation_log(path: Union[str, Path]) -> bool:
    """Whether a file has lines of hypotheses as fairseq-generate prints them, rather than bare text."""
    return any(_HYPOTHESIS.match(line) for line in read_lines(path))
