"""A checked command line of prepare_data.py, and what it does."""

import argparse
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Dict, Optional

from experiments.corpora import cnn_dailymail, iwslt14, plain_text, scitldr, sigmorphon2020, wmt14
from experiments.corpora.binarise import binarise, require_fairseq
from experiments.corpora.catalogue import CORPORA, Corpus, own_corpus
from experiments.corpora.demo import english_text, sentences
from experiments.corpora.encoders import MosesBpe, SentencePieces
from experiments.corpora.folders import built, remove
from experiments.corpora.sources import check_sums, fetch, find
from experiments.corpora.subwords import Encoder, Line, encode_splits, training_lines
from experiments.corpora.text_files import SPLITS, CorpusError

if TYPE_CHECKING:
    from fairseq_ghat.data.prepared import Prepared

# By family: build(corpus, files, raw, words) makes {train,valid,test}.SUFFIX in the folder raw of the files, which have
# the names that the corpus knows them by, and returns rows per split; words counts those of a line, to leave out pairs.
BUILDERS = {
    "iwslt14": iwslt14.build,
    "wmt14": wmt14.build,
    "wikitext-103": plain_text.build,
    "wikitext-2": plain_text.build,
    "multi30k": plain_text.build,
    "cnn-dailymail": cnn_dailymail.build,
    "scitldr": scitldr.build,
    "sigmorphon2020": sigmorphon2020.build,
    "demo": sentences.build,
    "demo-lm": english_text.build,
    "own": plain_text.build,
}
_ADDRESS = re.compile(r"https?://[^/]+")


@dataclass(frozen=True)
class Plan:
    """What is to be prepared.

    Attributes:
        corpus: what it is.
        out: folder to write into.
        until: last stage: raw, subwords or bin.
        workers: number of processes.
        vocab: number of subwords or merges; None where text is not cut into any.
        encoder: cuts the text into subwords; None where it is not cut.
        files: those the corpus is made from, by the names it knows them by; None: they are fetched.
        address: what to fetch them from, instead of their publisher's.
    """

    corpus: Corpus
    out: Path
    until: str
    workers: int
    vocab: Optional[int]
    encoder: Optional[Encoder]
    files: Optional[Dict[str, Path]]
    address: Optional[str]

    def words(self, text: str, language: str) -> int:
        """Words of a line, as fairseq's script for a corpus counts them: Moses tokens where it is tokenised."""
        return len((self.encoder.prepared(Line(text, language, "train")) if self.encoder else text).split())


def planned(args: argparse.Namespace) -> Plan:
    """Checks a command line, before anything is written.

    Args:
        args: of prepare_data.py.

    Returns:
        What it asks for.

    Raises:
        CorpusError: if it will not do; names the option, what was given and what is allowed.
    """
    corpus = _corpus(args)
    encoder = _encoder(args, corpus)
    _check_out(args.out)
    address = args.source if args.source and "://" in args.source else None
    files = _files(args, corpus)
    require_fairseq()
    return Plan(corpus, args.out, args.until, args.workers, args.vocab or corpus.vocab, encoder, files, address)


def _corpus(args: argparse.Namespace) -> Corpus:
    if args.set != "own":
        if args.languages:
            raise CorpusError(f"argument --languages: {' '.join(args.languages)}: only with own, not with {args.set}")
        return CORPORA[args.set]
    whole_words = args.subwords == "none"
    for option in ("languages", *(() if whole_words else ("vocab",)), "source"):
        if getattr(args, option) is None:
            raise CorpusError(f"argument --{option}: is needed with own")
    if len(args.languages) > 2 or len(set(args.languages)) < len(args.languages):
        raise CorpusError(f"argument --languages: {' '.join(args.languages)}: give one, or two that differ")
    return own_corpus(args.languages, None if whole_words else args.vocab)


def _encoder(args: argparse.Namespace, corpus: Corpus) -> Optional[Encoder]:
    if corpus.vocab is None:
        whole = "--subwords none" if corpus.name == "own" else args.set
        for option in ("subwords", "vocab"):
            value = getattr(args, option)
            if value not in (None, "none"):
                raise CorpusError(f"argument --{option}: {value}: not with {whole}, which has no subwords")
        return None
    if args.subwords == "none":
        raise CorpusError(f"argument --subwords: none: only with own, not with {args.set}")
    if args.subwords == "moses-bpe":
        return MosesBpe(corpus.lowercase, corpus.moses_extra)
    return SentencePieces(corpus.lowercase)


def _check_out(out: Path) -> None:
    there = next(path for path in (out.absolute(), *out.absolute().parents) if path.exists())
    if not there.is_dir():
        raise CorpusError(f"argument OUT: {out}: {there} is not a folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise CorpusError(f"argument OUT: {out}: {there} may not be written to")


def _files(args: argparse.Namespace, corpus: Corpus) -> Optional[Dict[str, Path]]:
    """The files of the corpus in the folder --source; None where they are to be fetched."""
    source, own = args.source, corpus.name == "own"
    if not corpus.alternatives:
        if source is not None:
            raise CorpusError(f"argument --source: {source}: not with {args.set}, which is made here")
        return {}
    if source is None:
        return None
    if "://" in source:
        if own or not _ADDRESS.match(source):
            allowed = "a folder" if own else "a folder or an address that begins with http:// or https://"
            raise CorpusError(f"argument --source: {source}: give {allowed}")
        return None
    folder = Path(source)
    if not folder.is_dir():
        raise CorpusError(f"argument --source: {source}: no such folder")
    for made in ("raw", "pieces", "bin"):
        if (args.out / made).resolve() in (folder.resolve(), *folder.resolve().parents):
            raise CorpusError(f"argument --source: {source}: lies in {args.out / made}, which is made anew")
    try:
        files = find(corpus, folder, deep=not own)
    except CorpusError as error:
        raise CorpusError(f"argument --source: {error}") from error
    for path in files.values():
        if path.stat().st_size == 0:
            raise CorpusError(f"argument --source: {path}: is empty")
    return files


def prepare(plan: Plan) -> "Prepared":
    """Prepares a corpus.

    Args:
        plan: what is to be prepared.

    Returns:
        What prepared.json says, which is written last of all.

    Raises:
        CorpusError: if a file will not serve.
    """
    from fairseq_ghat.data.prepared import NAME, Prepared  # imports fairseq: not for an option that is refused

    corpus, out, encoder = plan.corpus, plan.out, plan.encoder
    downloads = out / "download"
    files = plan.files if plan.files is not None else fetch(corpus, plan.address, downloads)
    sums = check_sums(corpus, sorted(files.values()), downloads)
    (out / NAME).unlink(missing_ok=True)
    text = out / "raw"
    with built(text) as raw:
        rows = BUILDERS[corpus.family](corpus, files, raw, plan.words)
        for split in SPLITS:
            if not rows.get(split):
                raise CorpusError(f"{corpus.name}: {split} has no sentence")
    remove(out / "pieces")
    remove(out / "bin")
    if encoder and plan.until != "raw":
        text = out / "pieces"
        with built(text) as pieces:
            lines = training_lines(corpus, out / "raw", encoder, plan.workers, rows["train"])
            encoder.learn(lines, pieces, plan.vocab)
            rows = encode_splits(corpus, out / "raw", pieces, encoder, plan.workers, rows)
    if plan.until == "bin":
        binarise(corpus, text, out, plan.workers)
    end = "references.jsonl" if corpus.task == "summarization" else corpus.suffixes[-1]
    prepared = Prepared(
        set=corpus.name,
        task=corpus.task,
        languages=corpus.suffixes,
        until=plan.until,
        subwords=encoder.name if encoder else None,
        tokenizer=encoder.tokenizer if encoder else None,
        lowercase=corpus.lowercase,
        vocab=plan.vocab,
        joined_dictionary=corpus.joined_dictionary,
        sentences=rows,
        references={split: f"raw/{split}.{end}" for split in ("valid", "test")},
        sha256=sums,
    )
    prepared.write(out)
    return prepared
