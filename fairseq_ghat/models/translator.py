"""fairseq's interface to translation models from Python, with an answer for every sentence."""

from typing import Any, Dict, List, Optional, Union

import torch
from fairseq.hub_utils import GeneratorHubInterface
from torch import Tensor

Tokens = Union[Tensor, List[Tensor]]


class SentenceTooLong(ValueError):
    """A sentence with more tokens than the model or a batch takes; names it.

    Attributes:
        number: which one, from 0.
        length: number of its tokens.
        most: how many are allowed.
    """

    def __init__(self, number: int, begin: str, length: int, most: int):
        allowed = f"allowed are {most}, by the model's positions and max_tokens"
        skipping = "skip_invalid_size_inputs=True gives None for it"
        super().__init__(f"sentences[{number}] ({begin} ...): {length} tokens; {allowed}; {skipping}")
        self.number, self.length, self.most = number, length, most


class Translator(GeneratorHubInterface):
    """A model and its data, as `load` and `from_pretrained` give them: `translate(sentences, beam=5)` takes plain text.

    It has all methods and options of fairseq's interface; calls may ask for alignments.

    Attributes:
        lowercase: whether the model reads lower-cased text, so that what it is given is lower-cased too.
    """

    lowercase = False

    def __init__(self, cfg, task, models):
        super().__init__(cfg, task, models)
        for model in models:
            if hasattr(model.decoder, "set_step_weights"):  # ours: fairseq's always computes them
                model.decoder.set_step_weights(True)

    def tokenize(self, sentence: str) -> str:
        tokens = super().tokenize(sentence)
        return tokens.lower() if self.lowercase else tokens  # in the order of the training data

    def translate(
        self, sentences: Union[str, List[str]], beam: int = 5, verbose: bool = False, **options: Any
    ) -> Union[str, List[Optional[str]]]:
        """Translations of plain sentences, one for each, in their order; of one sentence, one.

        Args:
            sentences: plain text.
            beam: size of the beam.
            verbose: log sources, hypotheses, scores and alignments.
            options: of fairseq's generation (max_len_b=20, lenpen=0.6, print_alignment="hard"), and
                skip_invalid_size_inputs=True: None for a sentence that is too long, instead of an error.

        Raises:
            SentenceTooLong: if a sentence is too long for the model or a batch.
        """
        return super().translate(sentences, beam, verbose, **options)

    def sample(self, sentences, beam: int = 1, verbose: bool = False, **options: Any):
        """As translate, with a beam of 1."""
        if isinstance(sentences, str):
            return self.sample([sentences], beam, verbose, **options)[0]
        hypotheses = self.generate([self.encode(sentence) for sentence in sentences], beam, verbose, **options)
        return [self.decode(best[0]["tokens"]) if best else None for best in hypotheses]

    def generate(
        self,
        tokenized_sentences: Tokens,
        beam: int = 5,
        verbose: bool = False,
        skip_invalid_size_inputs: bool = False,
        **options: Any,
    ) -> Union[List[Dict[str, Any]], List[List[Dict[str, Any]]]]:
        """Hypotheses of encoded sentences, as fairseq's; a sentence that is skipped has none.

        Raises:
            SentenceTooLong: if a sentence is too long and none may be skipped.
        """
        if torch.is_tensor(tokenized_sentences) and tokenized_sentences.dim() == 1:
            return self.generate([tokenized_sentences], beam, verbose, skip_invalid_size_inputs, **options)[0]
        most = min(self.max_positions[0], self.cfg.dataset.max_tokens or self.max_positions[0])
        if not skip_invalid_size_inputs:
            for number, tokens in enumerate(tokenized_sentences):
                if len(tokens) > most:
                    raise SentenceTooLong(number, self.src_dict.string(tokens[:6]), len(tokens), most)
        fitting = [tokens for tokens in tokenized_sentences if len(tokens) <= most]
        made = iter(super().generate(fitting, beam, verbose, **options))
        return [next(made) if len(tokens) <= most else [] for tokens in tokenized_sentences]
