"""CNN / Daily Mail (Hermann et al., 2015), not anonymised and cased, split by the lists of See et al. (2017).

A story's file is named after the SHA-1 of its address; the lists hold the addresses of each split. The archives are
read once, in their own order, and nothing of them is unpacked to disk.
"""

import hashlib
import json
from pathlib import Path, PurePosixPath
from typing import Dict, Iterable, Iterator, List, Mapping, Tuple

from experiments.corpora.archives import members
from experiments.corpora.catalogue import Corpus, check_count
from experiments.corpora.subwords import Words
from experiments.corpora.text_files import CorpusError, lines_of, progress, read_lines, tidy, write_splits

LISTS = {"train": "all_train.txt", "valid": "all_val.txt", "test": "all_test.txt"}
ARCHIVES = ("cnn_stories.tgz", "dailymail_stories.tgz")
_HIGHLIGHT = "@highlight"
_ENDS = (".", "!", "?", "'", "`", '"', "’", "”", ")")  # a sentence may end in


def story_name(address: str) -> str:
    """The name of a story's file."""
    return f"{hashlib.sha1(address.encode()).hexdigest()}.story"


def article_and_summary(lines: Iterable[str]) -> Tuple[str, List[str]]:
    """Article and summary of a story.

    Args:
        lines: those of its file.

    Returns:
        The lines of the article, joined by spaces, and those marked as highlights, the sentences of the summary. A line
        that ends in no end mark (captions, mostly) gets a full stop, as See et al. have it.
    """
    article: List[str] = []
    summary: List[str] = []
    part = article
    for line in map(tidy, lines):
        if line.startswith(_HIGHLIGHT):
            part = summary
        elif line:
            part.append(line if line.endswith(_ENDS) else f"{line}.")
    return " ".join(article), summary


def build(corpus: Corpus, files: Mapping[str, Path], raw: Path, words: Words) -> Dict[str, int]:
    """Writes articles and summaries; stories without one or the other are left out.

    The summaries are there a second time, in raw/SPLIT.references.jsonl, for ROUGE-L needs their sentences: each a list
    of one string in JSON, with newlines between the sentences.

    Raises:
        CorpusError: if a list has another number of addresses than published, or a listed story is in no archive.
    """
    splits: Dict[str, str] = {}
    for split, name in LISTS.items():
        addresses = [address.strip() for address in read_lines(files[name]) if address.strip()]
        check_count(corpus.name, split, len(addresses), str(files[name]))
        splits.update((story_name(address), split) for address in addresses)
    left_out = 0

    def rows() -> Iterator[Tuple[str, Tuple[str, str, str]]]:
        nonlocal left_out
        for archive in (files[name] for name in ARCHIVES):
            for member, stream in progress(members(archive), archive.name, " stories"):
                split = splits.pop(PurePosixPath(member).name, None)
                if split is None:
                    continue
                article, summary = article_and_summary(lines_of(stream, f"{archive}: {member}"))
                if article and summary:
                    reference = json.dumps(["\n".join(summary)], ensure_ascii=False)
                    yield split, (article, " ".join(summary), reference)
                else:
                    left_out += 1

    counts = write_splits(raw, (*corpus.suffixes, "references.jsonl"), rows())
    if splits:
        raise CorpusError(
            f"{' and '.join(str(files[name]) for name in ARCHIVES)}: {len(splits):,} listed stories are in neither, "
            f"such as {min(splits)}"
        )
    print(f"{corpus.name}: {left_out:,} stories without text or summary left out", flush=True)
    return counts
