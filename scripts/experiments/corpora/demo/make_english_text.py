"""English text that every CPython ships: the prose of the topics of pydoc_data, one paragraph a line.

    python scripts/experiments/corpora/demo/make_english_text.py OUT

writes OUT/{train,valid,test}.en; nothing is downloaded. Whole topics go to one split, and what several topics repeat
(they quote each other at length) is kept once, so that no line of one split stands in another. The text is that of
the running Python version, so figures differ a little from version to version.
"""

import argparse
import re
import sys
from pathlib import Path
from pydoc_data.topics import topics
from typing import Dict, List, Mapping

from corpus_files import write_lines

SPLITS = ("train", "valid", "test")
_EVERY = 7  # of seven topics, one validates and one tests: a tenth of the words each
_HELD_OUT = {3: "valid", 6: "test"}
_FEWEST_WORDS = 8
_LEAST_PROSE = 0.7  # the rest is code, grammar and tables
_WORD = re.compile(r"[\"'(\[*“‘]*[^\W\d_]+(?:[-'’][^\W\d_]+)*[\"')\]*”’,.:;!?]*")


def paragraphs(topic: str) -> List[str]:
    """The paragraphs of prose in a topic, each on one line."""
    found = []
    for block in re.split(r"\n\s*\n", topic):
        words = re.sub(r"^\s*[*+-] ", "", block).split()
        prose = sum(bool(_WORD.fullmatch(word)) for word in words)
        if len(words) >= _FEWEST_WORDS and prose >= _LEAST_PROSE * len(words) and words[-1][-1] in ".:;!?)":
            found.append(" ".join(words))
    return found


def split_topics(named: Mapping[str, str]) -> Dict[str, List[str]]:
    """Paragraphs of each split, no paragraph twice."""
    corpus: Dict[str, List[str]] = {split: [] for split in SPLITS}
    seen = set()
    for number, name in enumerate(sorted(named)):
        fresh = [text for text in paragraphs(named[name]) if text not in seen]
        seen.update(fresh)
        corpus[_HELD_OUT.get(number % _EVERY, "train")] += dict.fromkeys(fresh)
    return corpus


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, metavar="OUT")
    args = parser.parse_args(argv)
    if args.out.exists() and not args.out.is_dir():
        parser.error(f"OUT {args.out}: is not a folder")
    args.out.mkdir(parents=True, exist_ok=True)
    corpus = split_topics(topics)
    for split, lines in corpus.items():
        write_lines(args.out / f"{split}.en", lines)
    sizes = ", ".join(f"{split} {len(' '.join(lines).split()):,}" for split, lines in corpus.items())
    print(f"{args.out}: words of English from Python {sys.version.split()[0]}: {sizes}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
