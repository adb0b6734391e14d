"""English that every CPython ships: the prose of the topics of help(), one paragraph a line.

Whole topics go to one split, and what several topics repeat (they quote each other at length) is kept once, so that no
line of one split stands in another. The text is that of the running Python, so figures differ a little from version to
version.
"""

import re
import sys
from pathlib import Path
from pydoc_data.topics import topics
from typing import Dict, List, Mapping

from experiments.corpora.catalogue import Corpus
from experiments.corpora.text_files import SPLITS, write_splits

_HELD_OUT = {3: "valid", 6: "test"}  # of seven topics: a tenth of the words each
_FEWEST_WORDS = 8
_LEAST_PROSE = 0.7  # the rest is code, grammar and tables
_WORD = re.compile(r"[\"'(\[*“‘]*[^\W\d_]+(?:[-'’][^\W\d_]+)*[\"')\]*”’,.:;!?]*")


def paragraphs(topic: str) -> List[str]:
    """The paragraphs of prose in a topic, each on one line."""
    blocks = [re.sub(r"^\s*[*+-] ", "", block).split() for block in re.split(r"\n\s*\n", topic)]
    return [" ".join(words) for words in blocks if len(words) >= _FEWEST_WORDS and _is_prose(words)]


def _is_prose(words: List[str]) -> bool:
    known = sum(bool(_WORD.fullmatch(word)) for word in words)
    return known >= _LEAST_PROSE * len(words) and words[-1][-1] in ".:;!?)"


def split_topics(named: Mapping[str, str]) -> Dict[str, List[str]]:
    """Paragraphs of each split, no paragraph twice."""
    splits: Dict[str, str] = {}
    for number, name in enumerate(sorted(named)):
        for text in paragraphs(named[name]):
            splits.setdefault(text, _HELD_OUT.get(number % 7, "train"))
    return {split: [text for text, place in splits.items() if place == split] for split in SPLITS}


def build(corpus: Corpus, files: Mapping[str, Path], raw: Path, words: object) -> Dict[str, int]:
    """Writes the three splits; returns paragraphs per split."""
    text = split_topics(topics)
    sizes = ", ".join(f"{split} {len(' '.join(lines).split()):,}" for split, lines in text.items())
    print(f"{corpus.name}: words of English from Python {sys.version.split()[0]}: {sizes}", flush=True)
    return write_splits(raw, corpus.suffixes, ((split, (line,)) for split, lines in text.items() for line in lines))
