"""Prepares a benchmark corpus for fairseq: fetched, verified, split, cut into subwords and binarised.

    python scripts/prepare_data.py multi30k.de-en OUT
    python scripts/prepare_data.py iwslt14.de-en OUT --source ARCHIVES --subwords moses-bpe
    python scripts/prepare_data.py sigmorphon2020.dut OUT      spelling to phonemes, a word a line
    python scripts/prepare_data.py own OUT --source FOLDER --languages de en --vocab 8000
    python scripts/prepare_data.py own OUT --source FOLDER --languages en --subwords none    a language model of words
    python scripts/prepare_data.py demo.de-en OUT      sentences of a grammar, and demo-lm, English that Python ships

Writes OUT/download (the archives, unless --source is a folder), OUT/raw ({train,valid,test} in plain text and original
case), OUT/pieces (the same in subwords, with their model), OUT/bin (what fairseq-train reads) and, last of all,
OUT/prepared.json, which says what was prepared and how. Run again, it goes on with the downloads that are there and
makes the rest anew; in OUT, nothing else is touched. Ends with status 2 where an option or a file will not serve.
"""

import argparse
import re
import sys
from typing import Optional, Sequence

from experiments.corpora.catalogue import CORPORA, SIGMORPHON2020
from experiments.corpora.preparation import Plan, planned, prepare
from experiments.corpora.text_files import SPLITS, CorpusError
from experiments.files import folder_name, refused_by_system

_FAMILY = "sigmorphon2020"  # of many languages: told as one
_NAMES = [name for name in CORPORA if not name.startswith(_FAMILY)]
_LISTED = ", ".join([*_NAMES, f"{_FAMILY}.LANG (LANG: {' '.join(SIGMORPHON2020)})", "own"])


def corpus_name(text: str) -> str:
    """The name of a corpus that there is."""
    if text not in (*CORPORA, "own"):
        raise argparse.ArgumentTypeError(f"invalid choice: {text!r} (choose from {_LISTED})")
    return text


def positive(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not allowed: give a whole number of at least 1")
    return int(text)


def language(text: str) -> str:
    """What names of files can end in."""
    if not re.fullmatch(r"[A-Za-z][\w-]*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed: give letters, digits, - and _")
    return text


def parsed(arguments: Optional[Sequence[str]] = None) -> Plan:
    """What a command line asks for; ends the program with status 2 if that will not do."""
    parser = argparse.ArgumentParser(
        prog="prepare_data.py",
        description=__doc__.splitlines()[0],
        epilog=__doc__.split("\n\n", 1)[1],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("set", metavar="SET", type=corpus_name, help=f"one of {_LISTED}")
    add("out", metavar="OUT", type=folder_name, help="folder to write into")
    add("--source", metavar="DIR|URL", help="folder that has the files, or the address to fetch all from")
    cut = "how text is cut (default: sentencepiece); none: words, as they are, of own text"
    add("--subwords", choices=("sentencepiece", "moses-bpe", "none"), help=cut)
    add("--vocab", metavar="N", type=positive, help="pieces, or merges with moses-bpe; joint for both sides")
    add("--workers", metavar="N", type=positive, default=1, help="processes (default: 1)")
    add("--until", choices=("raw", "subwords", "bin"), default="bin", help="last stage (default: bin)")
    add("--languages", metavar="LANG", nargs="+", type=language, help="of own text: source and target, or one alone")
    try:
        return planned(parser.parse_args(arguments))
    except CorpusError as error:
        parser.error(str(error))


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Prepares a corpus as the command line says; 2 where something expected went wrong, with the reason on stderr."""
    wanted = parsed(arguments)
    try:
        prepared = prepare(wanted)
    except CorpusError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {refused_by_system(error, wanted.out)}", file=sys.stderr)
        return 2
    counts = ", ".join(f"{split} {prepared.sentences[split]:,}" for split in SPLITS)
    cut = f"; {prepared.vocab:,} {prepared.subwords} subwords" if prepared.subwords else ""
    print(f"{wanted.out}: {prepared.set} up to {prepared.until}: {counts}{cut}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
