"""SIGMORPHON 2020, task 1 (Gorman et al., 2020): spelling to phonemes in 15 languages, of Wiktionary through WikiPron.

As in the task's own recipe for fairseq, the source is the characters of a word, code points without normalisation,
with a space between each two. So a space inside a word is lost, as it is there: fairseq reads any run of spaces as one
boundary. Only Vietnamese words have such spaces. The target is the phonemes, as the task separates them.
"""

from pathlib import Path
from typing import Dict, Iterator, Mapping, Tuple

from experiments.corpora.catalogue import Corpus, check_count
from experiments.corpora.subwords import Words
from experiments.corpora.text_files import CorpusError, progress, read_lines, tidy, write_splits

_SPLITS = {"train": "train", "valid": "dev", "test": "test"}


def pronunciations(path: Path) -> Iterator[Tuple[str, str]]:
    """The words of a file.

    Args:
        path: a word a line, then a tab and its phonemes, separated by spaces.

    Yields:
        Characters and phonemes, separated by single spaces.

    Raises:
        CorpusError: if a line has not two columns, or nothing in one of them; names the line.
    """
    for number, line in enumerate(read_lines(path), 1):
        columns = line.split("\t")
        if len(columns) != 2 or not all(map(str.strip, columns)):
            raise CorpusError(f"{path}: line {number} is no word and its phonemes with a tab between them ({line!r})")
        word, phonemes = columns
        yield " ".join("".join(word.split())), tidy(phonemes)


def build(corpus: Corpus, files: Mapping[str, Path], raw: Path, words: Words) -> Dict[str, int]:
    """Writes characters and phonemes of all splits.

    Raises:
        CorpusError: if a line is malformed, or words are missing.
    """
    language = corpus.name.partition(".")[2]
    paths = {split: files[f"{language}_{name}.tsv"] for split, name in _SPLITS.items()}

    def rows():
        for split, path in paths.items():
            yield from ((split, row) for row in progress(pronunciations(path), f"{corpus.name} {split}"))

    counts = write_splits(raw, corpus.suffixes, rows())
    for split, count in counts.items():
        check_count(corpus.name, split, count, str(paths[split]))
    return counts
