"""WikiText-2 and WikiText-103 (Merity et al., 2016), word level with <unk>, as the field reports its perplexities."""

from pathlib import Path
from typing import Dict, Iterator, Mapping

from experiments.corpora.archives import member_lines
from experiments.corpora.catalogue import Corpus, check_count
from experiments.corpora.progress import progress
from experiments.corpora.subwords import Words
from experiments.corpora.text_files import SPLITS, read_lines, write_splits


def build(corpus: Corpus, files: Mapping[str, Path], raw: Path, words: Words) -> Dict[str, int]:
    """Writes the text as it is; returns lines per split. Raises CorpusError where lines are too many or too few."""
    archives = [path for path in files.values() if path.suffix == ".zip"]

    def lines(split: str) -> Iterator[str]:
        return member_lines(archives[0], f"wiki.{split}.tokens") if archives else read_lines(files[f"{split}.txt"])

    def rows():
        for split in SPLITS:
            for line in progress(lines(split), f"{corpus.name} {split}"):
                yield split, (line,)

    counts = write_splits(raw, corpus.suffixes, rows())
    for split, count in counts.items():
        check_count(corpus.name, split, count, f"{archives[0] if archives else files[f'{split}.txt']}: {split}")
    return counts
