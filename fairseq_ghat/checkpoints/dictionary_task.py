"""A stand-in for a task, for models that are built without data."""

import re
from typing import Mapping

from fairseq.data import Dictionary
from torch import Tensor


class DictionaryTask:
    """Stand-in for a task: a model asks its task for dictionaries only; sizes include fairseq's 4 special symbols."""

    def __init__(self, source: int, target: int):
        self.source_dictionary, self.target_dictionary = Dictionary(), Dictionary()
        for dictionary, size in ((self.source_dictionary, source), (self.target_dictionary, target)):
            for number in range(size - len(dictionary)):
                dictionary.add_symbol(f"type{number}")

    @classmethod
    def of_weights(cls, weights: Mapping[str, Tensor]) -> "DictionaryTask":
        """The task whose dictionaries fit a model, given its weights by name."""
        source, target = (_vocabulary_size(weights, side) for side in ("encoder", "decoder"))
        if source:
            return cls(source, target)
        # A language model of --output-dictionary-size predicts fewer types than it reads.
        output = weights.get("decoder.output_projection.weight")
        return cls(target, target if output is None else output.size(0))


def _vocabulary_size(weights: Mapping[str, Tensor], side: str) -> int:
    """Rows of the embedding of one side, or of all parts of an adaptive one; 0 if the model lacks the side."""
    table = re.compile(rf"{side}\.embed_tokens\.(embeddings\.\d+\.0\.)?weight")
    return sum(tensor.size(0) for name, tensor in weights.items() if table.fullmatch(name))
