"""Subwords of a text: learnt from the training split, then all splits encoded in them."""

import multiprocessing
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Protocol, Tuple, TypeVar

from experiments.corpora.catalogue import Corpus
from experiments.corpora.folders import built
from experiments.corpora.parallel_text import fits
from experiments.corpora.text_files import SPLITS, SplitWriter, progress, read_lines

Words = Callable[[str, str], int]  # words of a line (line, language)
Row = Tuple[str, ...]
Item = TypeVar("Item")
_BLOCK = 20_000  # rows that are handed to the workers at a time


class Line(NamedTuple):
    """A line of raw text and where it is from."""

    text: str
    language: str
    split: str


class Encoder(Protocol):
    """A way to cut text into subwords; it can be sent to other processes."""

    name: str  # as fairseq's --bpe calls it
    tokenizer: Optional[str]  # as fairseq's --tokenizer calls it
    samples: bool  # whether it learns from a sample of a large text

    def prepared(self, line: Line) -> str:
        """The line as subwords are learnt from it: lower-cased, tokenised."""

    def learn(self, lines: Iterable[str], folder: Path, vocab: int) -> None:
        """Learns subwords from prepared lines and writes them into the folder."""

    def encode(self, line: Line) -> str:
        """The line in subwords, a space between them."""


def training_lines(corpus: Corpus, raw: Path, encoder: Encoder, workers: int, sentences: int) -> Iterator[str]:
    """Prepared lines of the training split, side after side; of a large one an even sample, if the encoder needs it.

    The sample takes every n-th row, so that it is the same every time.

    Args:
        corpus: whose text.
        raw: folder of its splits.
        encoder: what learns from the lines.
        workers: number of processes.
        sentences: number of rows of the split.

    Yields:
        A line.
    """
    limit = corpus.sampled if encoder.samples else None
    step = -(-sentences * len(corpus.suffixes) // limit) if limit else 1
    with _mapping(encoder.prepared, workers) as prepare:
        for suffix, language in zip(corpus.suffixes, corpus.text_languages):
            texts = islice(read_lines(raw / f"train.{suffix}"), 0, None, step)
            shown = progress(texts, f"learning from train.{suffix}", total=-(-sentences // step))
            for block in _blocks(shown):
                yield from prepare([Line(text, language, "train") for text in block])


def encode_splits(
    corpus: Corpus, raw: Path, folder: Path, encoder: Encoder, workers: int, sentences: Dict[str, int]
) -> Dict[str, int]:
    """Writes all splits in subwords.

    Where the corpus counts lengths in pieces, it is cleaned here: rows of train that do not fit are left out, and
    the raw text is written anew without them, so that both hold the same sentences. What is published to validate and
    to test on stays whole.

    Args:
        corpus: whose text.
        raw: folder of its splits.
        folder: to write into.
        encoder: cuts the lines.
        workers: number of processes.
        sentences: rows per split.

    Returns:
        Rows per split that were written.
    """
    with SplitWriter(folder, corpus.suffixes) as pieces:
        if corpus.limits is None or corpus.counted != "pieces":
            for split, _, encoded in _encoded_rows(corpus, raw, encoder, workers, sentences):
                pieces.write(split, encoded)
        else:
            with built(raw) as kept, SplitWriter(kept, corpus.suffixes) as texts:
                for split, row, encoded in _encoded_rows(corpus, raw, encoder, workers, sentences):
                    if split != "train" or fits(*(len(side.split()) for side in encoded), corpus.limits):
                        pieces.write(split, encoded)
                        texts.write(split, row)
    return pieces.counts


def _encoded_rows(
    corpus: Corpus, raw: Path, encoder: Encoder, workers: int, sentences: Dict[str, int]
) -> Iterator[Tuple[str, Row, Row]]:
    """Split, texts and encoded texts of every row."""
    width = len(corpus.suffixes)
    with _mapping(encoder.encode, workers) as encode:
        for split in SPLITS:
            rows = zip(*(read_lines(raw / f"{split}.{suffix}") for suffix in corpus.suffixes))
            for block in _blocks(progress(rows, f"encoding {split}", total=sentences[split])):
                encoded = encode(
                    [Line(text, language, split) for row in block for text, language in zip(row, corpus.text_languages)]
                )
                for number, row in enumerate(block):
                    yield split, row, tuple(encoded[number * width : (number + 1) * width])


def _blocks(items: Iterable[Item]) -> Iterator[List[Item]]:
    """The items in lists of a size that several processes can share and memory holds."""
    left = iter(items)
    return iter(lambda: list(islice(left, _BLOCK)), [])


@contextmanager
def _mapping(method: Callable[[Line], str], workers: int) -> Iterator[Callable[[List[Line]], List[str]]]:
    """A function that applies the method to lines, in their order, in several processes if so many are wanted."""
    if workers == 1:
        yield lambda lines: [method(line) for line in lines]
        return
    # Each process gets the method once: with every task, it would lose what it has cached.
    with multiprocessing.Pool(workers, _start, (method,)) as pool:
        yield lambda lines: pool.map(_apply, lines, chunksize=-(-len(lines) // (4 * workers)))


def _start(method: Callable[[Line], str]) -> None:
    global _method
    _method = method


def _apply(line: Line) -> str:
    return _method(line)
