"""Prepares a benchmark corpus for fairseq: fetched, verified, split, cut into subwords and binarised.

    python scripts/prepare_data.py multi30k.de-en OUT
    python scripts/prepare_data.py iwslt14.de-en OUT --source ARCHIVES --subwords moses-bpe
    python scripts/prepare_data.py own OUT --source FOLDER --languages de en --vocab 8000

Writes OUT/download (the archives, unless --source is a folder), OUT/raw ({train,valid,test} in plain text and original
case), OUT/pieces (the same in subwords, with their model), OUT/bin (what fairseq-train reads) and, last of all,
OUT/prepared.json, which says what was prepared and how. Run again, it goes on with the downloads that are there and
makes the rest anew; in OUT, nothing else is touched. Ends with status 2 where an option or a file will not serve.
"""

import argparse
import os
import re
import sys
from pathlib import Path
from typing import Any, Dict, Optional, Sequence

from experiments.corpora import cnn_dailymail, iwslt14, multi30k, own_text, scitldr, wikitext, wmt14
from experiments.corpora.binarise import binarise, require_fairseq
from experiments.corpora.catalogue import CORPORA, Corpus, own_corpus
from experiments.corpora.errors import CorpusError
from experiments.corpora.folders import built, remove, remove_file, write_json
from experiments.corpora.moses_bpe import MosesBpe
from experiments.corpora.sentencepieces import SentencePieces
from experiments.corpora.sources import check_sums, fetch, find
from experiments.corpora.subwords import Encoder, Line, encode_splits, training_lines
from experiments.corpora.text_files import SPLITS

BUILDERS = {
    "iwslt14": iwslt14.build,
    "wmt14": wmt14.build,
    "wikitext-103": wikitext.build,
    "wikitext-2": wikitext.build,
    "multi30k": multi30k.build,
    "cnn-dailymail": cnn_dailymail.build,
    "scitldr": scitldr.build,
    "own": own_text.build,
}
STAGES = ("raw", "subwords", "bin")
_ADDRESS = re.compile(r"https?://[^/]+")


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


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="prepare_data.py",
        description=__doc__.splitlines()[0],
        epilog=__doc__.split("\n\n", 1)[1],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("set", metavar="SET", choices=[*CORPORA, "own"], help=f"one of {', '.join(CORPORA)}, own")
    parser.add_argument("out", metavar="OUT", type=Path, help="folder to write into")
    parser.add_argument(
        "--source", metavar="DIR|URL", help="folder that has the files, or the address to fetch all from"
    )
    parser.add_argument(
        "--subwords", choices=("sentencepiece", "moses-bpe"), help="how text is cut (default: sentencepiece)"
    )
    parser.add_argument(
        "--vocab", metavar="N", type=positive, help="pieces, or merges with moses-bpe; joint for both sides"
    )
    parser.add_argument("--workers", metavar="N", type=positive, default=1, help="processes (default: 1)")
    parser.add_argument("--until", choices=STAGES, default="bin", help="last stage (default: bin)")
    parser.add_argument(
        "--languages", metavar="LANG", nargs="+", type=language, help="of own text: source and target, or one alone"
    )
    return parser


class Plan:
    """A checked command line: the corpus, where its files come from, and how it is cut.

    Ends the program (status 2), naming the option, what was given and what is allowed, before anything is written.
    """

    def __init__(self, arguments: Optional[Sequence[str]] = None):
        command = parser()
        args = command.parse_args(arguments)
        self.out: Path = args.out
        self.workers: int = args.workers
        self.until: str = args.until
        self.files: Optional[Dict[str, Path]] = None
        self.address: Optional[str] = None
        try:
            self.corpus = self._corpus(args)
            self.encoder = self._encoder(args)
            self.vocab: Optional[int] = args.vocab or self.corpus.vocab
            self._check_out()
            self._check_source(args.source)
            if self.until == "bin":
                require_fairseq()
        except CorpusError as error:
            command.error(str(error))

    @staticmethod
    def _corpus(args: argparse.Namespace) -> Corpus:
        if args.set != "own":
            if args.languages:
                raise CorpusError(
                    f"argument --languages: {' '.join(args.languages)}: only with own, not with {args.set}"
                )
            return CORPORA[args.set]
        for option in ("languages", "vocab", "source"):
            if getattr(args, option) is None:
                raise CorpusError(f"argument --{option}: is needed with own")
        if len(args.languages) > 2 or len(set(args.languages)) < len(args.languages):
            raise CorpusError(f"argument --languages: {' '.join(args.languages)}: give one, or two that differ")
        return own_corpus(args.languages, args.vocab)

    def _encoder(self, args: argparse.Namespace) -> Optional[Encoder]:
        if self.corpus.vocab is None:
            for option in ("subwords", "vocab"):
                if getattr(args, option) is not None:
                    raise CorpusError(
                        f"argument --{option}: {getattr(args, option)}: not with {args.set}, which is of whole words"
                    )
            return None
        if args.subwords == "moses-bpe":
            return MosesBpe(self.corpus.lowercase, self.corpus.moses_extra)
        return SentencePieces(self.corpus.lowercase)

    def _check_out(self) -> None:
        there = next(path for path in (self.out.absolute(), *self.out.absolute().parents) if path.exists())
        if not there.is_dir():
            raise CorpusError(f"argument OUT: {self.out}: {there} is not a folder")
        if not os.access(there, os.W_OK | os.X_OK):
            raise CorpusError(f"argument OUT: {self.out}: {there} may not be written to")

    def _check_source(self, source: Optional[str]) -> None:
        own = self.corpus.name == "own"
        if source is None:
            return
        if "://" in source:
            if own or not _ADDRESS.match(source):
                allowed = "a folder" if own else "a folder or an address that begins with http:// or https://"
                raise CorpusError(f"argument --source: {source}: give {allowed}")
            self.address = source
            return
        folder = Path(source)
        if not folder.is_dir():
            raise CorpusError(f"argument --source: {source}: no such folder")
        for made in ("raw", "pieces", "bin"):
            if (self.out / made).resolve() in (folder.resolve(), *folder.resolve().parents):
                raise CorpusError(f"argument --source: {source}: lies in {self.out / made}, which is made anew")
        try:
            self.files = find(self.corpus, folder, deep=not own)
        except CorpusError as error:
            raise CorpusError(f"argument --source: {error}") from error
        for path in self.files.values():
            if path.stat().st_size == 0:
                raise CorpusError(f"argument --source: {path}: is empty")

    def words(self, text: str, of_language: str) -> int:
        """Words of a line, as fairseq's script for a corpus counts them: Moses tokens where it is tokenised."""
        return (
            len(self.encoder.prepared(Line(text, of_language, "train")).split()) if self.encoder else len(text.split())
        )


def prepare(plan: Plan) -> Dict[str, Any]:
    """Prepares the corpus; returns what prepared.json says. Raises CorpusError where a file will not serve."""
    corpus, out, encoder = plan.corpus, plan.out, plan.encoder
    downloads = out / "download"
    files = plan.files if plan.files is not None else fetch(corpus, plan.address, downloads)
    sums = check_sums(corpus, sorted(files.values()), downloads)
    remove_file(out / "prepared.json")
    text = out / "raw"
    with built(text) as raw:
        sentences = BUILDERS[corpus.family](corpus, files, raw, plan.words)
        for split in SPLITS:
            if not sentences.get(split):
                raise CorpusError(f"{corpus.name}: {split} has no sentence")
    remove(out / "pieces")
    remove(out / "bin")
    if encoder and plan.until != "raw":
        text = out / "pieces"
        with built(text) as pieces:
            lines = training_lines(corpus, out / "raw", encoder, plan.workers, sentences["train"])
            encoder.learn(lines, pieces, plan.vocab)
            sentences = encode_splits(corpus, out / "raw", pieces, encoder, plan.workers, sentences)
    if plan.until == "bin":
        binarise(corpus, text, out, plan.workers)
    prepared = description(plan, sentences, sums)
    write_json(out / "prepared.json", prepared)
    return prepared


def description(plan: Plan, sentences: Dict[str, int], sums: Dict[str, str]) -> Dict[str, Any]:
    """What was prepared, and how: what a later command must know to train, to generate and to score."""
    corpus, encoder = plan.corpus, plan.encoder
    languages = {"source_lang": corpus.suffixes[0], "target_lang": corpus.suffixes[-1]}
    references = {split: f"raw/{split}.{corpus.suffixes[-1]}" for split in ("valid", "test")}
    if corpus.name == "scitldr":
        references = {split: f"raw/{split}.references.jsonl" for split in references}
    return {
        "set": corpus.name,
        "task": corpus.task,
        **({"language": corpus.suffixes[0]} if len(corpus.suffixes) == 1 else languages),
        "until": plan.until,
        "subwords": encoder.name if encoder else None,
        "tokenizer": encoder.tokenizer if encoder else None,
        "lowercase": corpus.lowercase,
        "vocab": plan.vocab,
        "joined_dictionary": corpus.joined_dictionary,
        "sentences": sentences,
        "references": references,
        "sha256": sums,
    }


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Prepares a corpus as the command line says; 2 where something expected went wrong, with the reason on stderr."""
    plan = Plan(arguments)
    try:
        prepared = prepare(plan)
    except (CorpusError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    counts = ", ".join(f"{split} {prepared['sentences'][split]:,}" for split in SPLITS)
    cut = f"; {prepared['vocab']:,} {prepared['subwords']} subwords" if prepared["subwords"] else ""
    print(f"{plan.out}: {plan.corpus.name} up to {plan.until}: {counts}{cut}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
