"""SciTLDR-A (Cachola et al., 2020): abstracts of papers and their summaries in one sentence, some with several."""

import json
from pathlib import Path
from typing import Dict, Iterator, List, Mapping, Tuple

from experiments.corpora.catalogue import Corpus, check_count
from experiments.corpora.subwords import Words
from experiments.corpora.text_files import CorpusError, read_lines, tidy, write_splits

FILES = {"train": "train.jsonl", "valid": "dev.jsonl", "test": "test.jsonl"}


def documents(path: Path) -> Iterator[Tuple[str, List[str]]]:
    """The documents of a file.

    Args:
        path: JSON, one document a line.

    Yields:
        Abstract and summaries.

    Raises:
        CorpusError: if a document is malformed; names the line.
    """
    for number, line in enumerate(read_lines(path), 1):
        try:
            record = json.loads(line)
            abstract, summaries = record["source"], record["target"]
            if not all(isinstance(texts, list) and texts for texts in (abstract, summaries)):
                raise TypeError('"source" and "target" must be lists that are not empty')
            yield tidy(" ".join(abstract)), [tidy(summary) for summary in summaries]
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise CorpusError(f"{path}: line {number} is no document of SciTLDR ({error!r})") from error


def build(corpus: Corpus, files: Mapping[str, Path], raw: Path, words: Words) -> Dict[str, int]:
    """Writes one training pair per summary; to validate and test, the first summary, and all as references.

    The references are lists of strings in JSON, one document a line of raw/{valid,test}.references.jsonl.

    Raises:
        CorpusError: if a document is malformed, or documents are missing.
    """

    def rows():
        for split, name in FILES.items():
            papers = list(documents(files[name]))
            check_count(corpus.name, split, len(papers), str(files[name]))
            if split == "train":
                yield from ((split, (abstract, summary)) for abstract, summaries in papers for summary in summaries)
                continue
            yield from ((split, (abstract, summaries[0])) for abstract, summaries in papers)
            with open(raw / f"{split}.references.jsonl", "w", encoding="utf-8", newline="\n") as references:
                references.writelines(json.dumps(summaries, ensure_ascii=False) + "\n" for _, summaries in papers)

    return write_splits(raw, corpus.suffixes, rows())
