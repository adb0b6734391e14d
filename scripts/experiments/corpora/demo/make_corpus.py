"""Write a bundled German-English parallel corpus: train, valid and test, one sentence a line.

The sentences come from the synchronous grammar beside this file; nothing is downloaded, and the
same seed gives the same bytes on every platform.
"""

import argparse
import sys
from itertools import islice
from pathlib import Path
from typing import Dict, List, Optional, Sequence

from constructions import MAXIMUM_PAIRS, Pair, pairs
from corpus_files import write_lines

# The held-out sets are drawn first, so that --train does not change them.
_ORDER = ("valid", "test", "train")


def split_pairs(sizes: Dict[str, int], seed: int) -> Dict[str, List[Pair]]:
    """Disjoint sets of pairs with the given sizes."""
    stream = pairs(seed)
    return {split: list(islice(stream, sizes[split])) for split in _ORDER}


def summary(corpus: Dict[str, List[Pair]]) -> str:
    """One line with the number of pairs, mean lengths and vocabulary sizes."""
    everything = [pair for split in corpus.values() for pair in split]
    counts = ", ".join(f"{split} {len(corpus[split])}" for split in ("train", "valid", "test"))
    parts = []
    for side, language in enumerate(("German", "English")):
        words = [word for pair in everything for word in pair[side].split()]
        types = {word.strip(".,?").lower() for word in words}
        parts.append(f"{language} {len(words) / len(everything):.1f} words per sentence, {len(types)} word forms")
    return f"{len(everything)} pairs ({counts}); " + "; ".join(parts)


def parse_arguments(arguments: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Parse the command line; a size that cannot be met ends the program with status 2."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("out_dir", metavar="OUT_DIR", type=Path, help="directory to write into")
    for split, size in (("train", 12000), ("valid", 500), ("test", 500)):
        parser.add_argument(
            f"--{split}", type=int, default=size, metavar="PAIRS", help=f"pairs in the {split} set (default {size})"
        )
    parser.add_argument("--seed", type=int, default=1, help="seed of the sentences (default 1)")
    options = parser.parse_args(arguments)
    left = MAXIMUM_PAIRS
    for split in _ORDER:
        size = getattr(options, split)
        # leave at least one pair to each set that is still to come
        most = left - (len(_ORDER) - 1 - _ORDER.index(split))
        if not 1 <= size <= most:
            parser.error(
                f"argument --{split}: {size} is not allowed: choose from 1 to {most} "
                f"(train, valid and test together at most {MAXIMUM_PAIRS})"
            )
        left -= size
    if options.out_dir.exists() and not options.out_dir.is_dir():
        parser.error(f"argument OUT_DIR: {options.out_dir} is not a directory")
    return options


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Generate the corpus and write its six files."""
    options = parse_arguments(arguments)
    corpus = split_pairs({split: getattr(options, split) for split in _ORDER}, options.seed)
    options.out_dir.mkdir(parents=True, exist_ok=True)
    for split, rows in corpus.items():
        write_lines(options.out_dir / f"{split}.de", [de for de, _ in rows])
        write_lines(options.out_dir / f"{split}.en", [en for _, en in rows])
    print(summary(corpus))
    return 0


if __name__ == "__main__":
    sys.exit(main())
