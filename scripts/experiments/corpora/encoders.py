"""The two ways to cut text into subwords: sentencepiece, and Moses tokens with byte-pair encoding.

The second needs sacremoses and subword-nmt, which nothing else here does: they are imported where they are used.
"""

import importlib.util
import io
import os
import sys
import unicodedata
from contextlib import nullcontext, redirect_stderr
from pathlib import Path
from typing import Dict, Iterable, Optional

import sentencepiece

from experiments.corpora.subwords import Line
from experiments.corpora.text_files import CorpusError

_LONGEST = 1 << 16  # bytes of a line that sentencepiece learns from; it passes over longer ones


class SentencePieces:
    """One unigram model for all languages of a corpus, in FOLDER/spm.model.

    The text is cut as it is, and so without loss but for case, if that is folded.
    """

    name = "sentencepiece"
    tokenizer: Optional[str] = None
    samples = True

    def __init__(self, lowercase: bool):
        self._lowercase = lowercase
        self._model: Optional[sentencepiece.SentencePieceProcessor] = None

    def prepared(self, line: Line) -> str:
        """The line without spaces at its ends, lower-cased if so wished."""
        text = line.text.strip()
        return text.lower() if self._lowercase else text

    def learn(self, lines: Iterable[str], folder: Path, vocab: int) -> None:
        """Trains a model.

        Args:
            lines: prepared text.
            folder: where the model is written.
            vocab: number of pieces.

        Raises:
            CorpusError: if the text allows no such number.
        """
        model = folder / "spm.model"
        try:
            with open(model, "wb") as file:
                sentencepiece.SentencePieceTrainer.train(
                    sentence_iterator=iter(lines),
                    model_writer=file,
                    vocab_size=vocab,
                    character_coverage=1.0,
                    max_sentence_length=_LONGEST,
                    num_threads=1,  # the same model on every machine
                    minloglevel=2,
                )
        except RuntimeError as error:  # its message says which sizes the text allows
            os.unlink(model)
            raise CorpusError(f"argument --vocab: {vocab}: {str(error).rsplit('] ')[-1]}") from error
        self._model = sentencepiece.SentencePieceProcessor(model_file=str(model))

    def encode(self, line: Line) -> str:
        """The pieces of the line."""
        assert self._model is not None, "learn first"
        return " ".join(self._model.encode(self.prepared(line), out_type=str))


def printable(text: str) -> str:
    """The text with a space for every character that does not print, as Moses' remove-non-printing-char has it."""
    if text.isprintable():  # nearly every line: the rest is slow
        return text
    return "".join(" " if unicodedata.category(letter).startswith("C") else letter for letter in text)


class MosesBpe:
    """Moses tokens and the merges of one byte-pair encoding for all languages of a corpus, in FOLDER/bpe.codes.

    Args:
        lowercase: tokens are lower-cased.
        extra: as fairseq prepares WMT, dashes are split off everywhere, and the training text has its punctuation
            normalised and characters that do not print removed; what is published to validate and to test on has not.

    Raises:
        CorpusError: if a package is not installed; names it.
    """

    name = "subword_nmt"
    tokenizer: Optional[str] = "moses"
    samples = False

    def __init__(self, lowercase: bool, extra: bool):
        lacking = [name for name in ("sacremoses", "subword_nmt") if importlib.util.find_spec(name) is None]
        if lacking:
            raise CorpusError(
                f"--subwords moses-bpe: {' and '.join(lacking)} cannot be imported: pip install sacremoses subword-nmt"
            )
        self._lowercase, self._extra = lowercase, extra
        self._tokenizers: Dict[str, object] = {}
        self._normalisers: Dict[str, object] = {}
        self._merges = None

    def prepared(self, line: Line) -> str:
        """The Moses tokens of the line, lower-cased if so wished."""
        from sacremoses import MosesPunctNormalizer, MosesTokenizer

        text, language = line.text, line.language
        if language not in self._tokenizers:
            self._tokenizers[language] = MosesTokenizer(lang=language)
            self._normalisers[language] = MosesPunctNormalizer(lang=language)
        if self._extra and line.split == "train":
            text = printable(self._normalisers[language].normalize(text))
        tokens = self._tokenizers[language].tokenize(text, aggressive_dash_splits=self._extra, return_str=True)
        return tokens.lower() if self._lowercase else tokens

    def learn(self, lines: Iterable[str], folder: Path, vocab: int) -> None:
        """Learns merges.

        Args:
            lines: prepared text.
            folder: where they are written.
            vocab: number of merges.
        """
        from subword_nmt.apply_bpe import BPE
        from subword_nmt.learn_bpe import learn_bpe

        codes = folder / "bpe.codes"
        with open(codes, "w", encoding="utf-8", newline="\n") as file:
            # Its progress bar does not look whether anybody watches.
            with nullcontext() if sys.stderr.isatty() else redirect_stderr(io.StringIO()):
                learn_bpe(iter(lines), file, vocab)
        with open(codes, encoding="utf-8") as file:
            self._merges = BPE(file)

    def encode(self, line: Line) -> str:
        """The tokens of the line in subwords, all but a token's last ending in @@."""
        assert self._merges is not None, "learn first"
        return self._merges.process_line(self.prepared(line)).strip()
