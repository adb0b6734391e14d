"""Corpora that are published, or given, in splits: the text is taken as it is.

Multi30k German-English (Elliott et al., 2016): image captions, tested on test_2016_flickr. WikiText-2 and WikiText-103
(Merity et al., 2016): word level with <unk>, as the field reports its perplexities; an archive or text files. And text
of one's own: {train,valid,test}.LANG of one language or of two.
"""

from pathlib import Path
from typing import Dict, Mapping

from experiments.corpora.archives import member_lines
from experiments.corpora.catalogue import Corpus, check_count
from experiments.corpora.parallel_text import Side, pairs
from experiments.corpora.subwords import Words
from experiments.corpora.text_files import SPLITS, progress, read_lines, write_splits

_MULTI30K = {"train": "train", "valid": "val", "test": "test_2016_flickr"}


def _side(corpus: Corpus, files: Mapping[str, Path], split: str, suffix: str) -> Side:
    """The lines of one side of a split, and the file that has them."""
    archive = next((path for path in files.values() if path.suffix == ".zip"), None)
    if archive:
        return Side(member_lines(archive, f"wiki.{split}.tokens"), str(archive))
    names = (f"{split}.{suffix}", f"{_MULTI30K[split]}.{suffix}.gz", f"{split}.txt")
    path = next(files[name] for name in names if name in files)
    return Side(read_lines(path), str(path))


def build(corpus: Corpus, files: Mapping[str, Path], raw: Path, words: Words) -> Dict[str, int]:
    """Copies the lines of all splits.

    Raises:
        CorpusError: if the sides are not equally long, or not of the length that is published.
    """
    counted: Dict[str, str] = {}

    def rows():
        for split in SPLITS:
            sides = [_side(corpus, files, split, suffix) for suffix in corpus.suffixes]
            counted[split] = f"{sides[0].name}: {split}"
            texts = pairs(*sides) if len(sides) == 2 else zip(sides[0].lines)
            yield from ((split, row) for row in progress(texts, f"{corpus.name} {split}"))

    counts = write_splits(raw, corpus.suffixes, rows())
    for split, count in counts.items():
        check_count(corpus.name, split, count, counted[split])
    return counts
