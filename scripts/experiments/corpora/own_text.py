"""Text that one has: {train,valid,test}.LANG of one language or of two, taken as it is."""

from pathlib import Path
from typing import Dict, Mapping

from experiments.corpora.catalogue import Corpus
from experiments.corpora.parallel_text import Side, pairs
from experiments.corpora.subwords import Words
from experiments.corpora.text_files import SPLITS, read_lines, write_splits


def build(corpus: Corpus, files: Mapping[str, Path], raw: Path, words: Words) -> Dict[str, int]:
    """Copies the lines; returns lines per split. Raises CorpusError where the sides are not equally long."""

    def rows():
        for split in SPLITS:
            sides = [Side(read_lines(path), str(path)) for path in (files[f"{split}.{s}"] for s in corpus.suffixes)]
            for texts in pairs(*sides) if len(sides) == 2 else zip(sides[0].lines):
                yield split, texts

    return write_splits(raw, corpus.suffixes, rows())
