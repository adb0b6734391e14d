"""News translation of WMT 2014, trained on the corpora that fairseq's prepare-wmt14en2de.sh and -en2fr.sh name.

newstest2013 validates (French: newstest2012 too), newstest2014 tests. Training pairs of 1 to 250 pieces are kept, one
side at most 1.5 times as long as the other: pieces are counted, as fairseq does, so that lengths are cleaned when the
text is cut (see subwords.py). Here only pairs with an empty side go. Everything is streamed.
"""

from pathlib import Path
from typing import Dict, Iterator, List, Mapping, NamedTuple

from experiments.corpora.archives import member_lines
from experiments.corpora.catalogue import Corpus, check_count
from experiments.corpora.parallel_text import Side, pairs
from experiments.corpora.subwords import Words
from experiments.corpora.text_files import progress, segments, tidy, write_splits


class Part(NamedTuple):
    """A parallel corpus in an archive: what its members are called but for what ends them."""

    archive: str
    name: str
    end: str = ""


def training_parts(other: str) -> List[Part]:
    """The training corpora of English and the other language, in the order they are joined in."""
    parts = [
        Part("training-parallel-europarl-v7.tgz", f"europarl-v7.{other}-en"),
        Part("training-parallel-commoncrawl.tgz", f"commoncrawl.{other}-en"),
        Part("training-parallel-nc-v9.tgz", f"news-commentary-v9.{other}-en"),
    ]
    if other == "fr":
        parts.insert(2, Part("training-parallel-un.tgz", "undoc.2000.fr-en"))
        parts.append(Part("training-giga-fren.tar", "giga-fren.release2.fixed", ".gz"))
    return parts


def build(corpus: Corpus, files: Mapping[str, Path], raw: Path, words: Words) -> Dict[str, int]:
    """Writes the three splits, not yet cleaned by length.

    Raises:
        CorpusError: if a member of an archive is missing, sides differ in length, or a corpus has another number of
            lines than published.
    """
    other = corpus.suffixes[1]

    def read(part: Part, split: str):
        archive = files[part.archive]
        sides = []
        for language in corpus.suffixes:
            member = f"{part.name}.{language}{part.end}"
            lines: Iterator[str] = member_lines(archive, member, errors="replace")  # crawled text is not all UTF-8
            sides.append(Side(lines, f"{archive}: {member}"))
        counted: Dict[str, int] = {}
        for source, target in progress(pairs(*sides, counted), part.name):
            pair = tidy(source), tidy(target)
            if all(pair):
                yield split, pair
        check_count(corpus.name, part.name, counted["pairs"], f"{archive}: {part.name}")

    def rows():
        for part in training_parts(other):
            yield from read(part, "train")
        for year in ("2012", "2013") if other == "fr" else ("2013",):
            yield from read(Part("dev.tgz", f"newstest{year}"), "valid")
        archive, counted = files["test-full.tgz"], {}
        members = [f"newstest2014-{other}en-{kind}.sgm" for kind in ("src.en", f"ref.{other}")]
        sides = [Side(segments(member_lines(archive, member)), f"{archive}: {member}") for member in members]
        for pair in pairs(*sides, counted):
            yield "test", pair
        check_count(corpus.name, "newstest2014", counted["pairs"], f"{archive}: newstest2014-{other}en")

    return write_splits(raw, corpus.suffixes, rows())
