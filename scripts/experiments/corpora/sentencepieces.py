"""Subwords by sentencepiece: on the text as it is, and so without loss but for case, if that is folded."""

import os
from pathlib import Path
from typing import Iterable, Optional

import sentencepiece

from experiments.corpora.errors import CorpusError
from experiments.corpora.subwords import Line

_LONGEST = 1 << 16  # bytes of a line that is learnt from; sentencepiece passes over longer ones


class SentencePieces:
    """One unigram model for all languages of a corpus, in FOLDER/spm.model."""

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
        """Trains a model of `vocab` pieces on prepared lines. Raises CorpusError where the text allows no such size."""
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
