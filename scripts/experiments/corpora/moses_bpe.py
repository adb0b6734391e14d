"""Subwords in fairseq's own way: Moses tokens, then joint byte-pair encoding.

Needs sacremoses and subword-nmt, which nothing else here does: they are imported where they are used.
"""

import importlib.util
import io
import sys
import unicodedata
from contextlib import nullcontext, redirect_stderr
from pathlib import Path
from typing import Dict, Iterable, Optional

from experiments.corpora.errors import CorpusError
from experiments.corpora.subwords import Line


def printable(text: str) -> str:
    """The text with a space for every character that does not print, as Moses' remove-non-printing-char has it."""
    if text.isprintable():  # nearly every line: the rest is slow
        return text
    return "".join(" " if unicodedata.category(letter).startswith("C") else letter for letter in text)


class MosesBpe:
    """Moses tokens and the merges of one byte-pair encoding for all languages of a corpus, in FOLDER/bpe.codes.

    extra: as fairseq prepares WMT, dashes are split off everywhere, and the training text has its punctuation
    normalised and characters that do not print removed; what is published to validate and to test on has not.
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
        """Learns `vocab` merges from prepared lines."""
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
