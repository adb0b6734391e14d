"""TED talks of IWSLT 2014, split and cleaned as fairseq's prepare-iwslt14.sh does.

Training pairs of 1 to 175 words, one side at most 1.5 times as long as the other, of which every 23rd validates; the
five published evaluation sets joined are the test set. Words are counted in the text itself (between spaces), or in
Moses tokens where it is tokenised, as fairseq's script does.
"""

import re
from pathlib import Path
from typing import Dict, Iterable, Iterator, Mapping, Tuple

from experiments.corpora.archives import member_lines, member_names
from experiments.corpora.catalogue import Corpus, check_count
from experiments.corpora.parallel_text import Pair, Side, cleaned, pairs
from experiments.corpora.subwords import Words
from experiments.corpora.text_files import segments, tidy, write_splits

EVERY = 23  # one pair in so many validates
_NO_SENTENCE = ("<url>", "<talkid>", "<keywords>")
_TAGS = re.compile(r"</?(?:title|description)>")
_TED = ("TED.dev2010", "TEDX.{tedx}", "TED.tst2010", "TED.tst2011", "TED.tst2012")


def sentences(lines: Iterable[str]) -> Iterator[str]:
    """The sentences of a train.tags file: titles and descriptions too, but not addresses, numbers and keywords."""
    for line in lines:
        if not any(tag in line for tag in _NO_SENTENCE):
            yield tidy(_TAGS.sub("", line))


def split_off(rows: Iterable[Pair]) -> Iterator[Tuple[str, Pair]]:
    """Every 23rd pair to valid, the rest to train."""
    for number, pair in enumerate(rows, 1):
        yield "train" if number % EVERY else "valid", pair


def evaluation_sets(corpus: Corpus, archive: Path) -> Iterator[str]:
    """The sets that are joined to the test set.

    Args:
        corpus: one of IWSLT 2014.
        archive: its file.

    Yields:
        Their names, in that order. The one of TEDx talks is of 2012, of 2014 for Italian; English-French goes without
        where its archive has none.
    """
    tedx = "dev2014" if "it" in corpus.suffixes else "dev2012"
    for part in _TED:
        name = "IWSLT14." + part.format(tedx=tedx)
        optional = "TEDX" in part and "fr" in corpus.suffixes
        if optional and not any(f"/{name}." in f"/{member}" for member in member_names(archive)):
            print(f"{archive}: has no {name}; the test set goes without", flush=True)
            continue
        yield name


def build(corpus: Corpus, files: Mapping[str, Path], raw: Path, words: Words) -> Dict[str, int]:
    """Writes the three splits in original case.

    Raises:
        CorpusError: if a member of the archive is missing, sides differ in length, or an evaluation set has another
            number of sentences than published.
    """
    (archive,) = files.values()
    direction = archive.name.partition(".")[0]

    def sides(name: str, end: str, read) -> Iterator[Side]:
        for language in corpus.suffixes:
            member = f"{name}.{direction}.{language}{end}"
            yield Side(read(member_lines(archive, member)), f"{archive}: {member}")

    def lengths(pair: Pair) -> Tuple[int, int]:
        return words(pair[0], corpus.suffixes[0]), words(pair[1], corpus.suffixes[1])

    def rows():
        yield from split_off(cleaned(pairs(*sides("train.tags", "", sentences)), corpus.limits, lengths))
        for name in evaluation_sets(corpus, archive):
            counted: Dict[str, int] = {}
            for pair in pairs(*sides(name, ".xml", segments), counted):
                yield "test", pair
            check_count(corpus.name, name, counted["pairs"], f"{archive}: {name}.{direction}")

    return write_splits(raw, corpus.suffixes, rows())
