"""Multi30k German-English (Elliott et al., 2016): image captions, raw text; the test set is test_2016_flickr."""

from pathlib import Path
from typing import Dict, Mapping

from experiments.corpora.catalogue import Corpus, check_count
from experiments.corpora.parallel_text import Side, pairs
from experiments.corpora.subwords import Words
from experiments.corpora.text_files import read_lines, write_splits

FILES = {"train": "train", "valid": "val", "test": "test_2016_flickr"}


def build(corpus: Corpus, files: Mapping[str, Path], raw: Path, words: Words) -> Dict[str, int]:
    """Writes the captions as they are; returns pairs per split. Raises CorpusError where a side or a line lacks."""

    def rows():
        for split, name in FILES.items():
            paths = [files[f"{name}.{language}.gz"] for language in corpus.suffixes]
            for pair in pairs(*(Side(read_lines(path), str(path)) for path in paths)):
                yield split, pair

    counts = write_splits(raw, corpus.suffixes, rows())
    for split, count in counts.items():
        check_count(corpus.name, split, count, FILES[split])
    return counts
