"""Measures how fast a translation model generates, and how the time divides into encoder and decoder."""

from dataclasses import dataclass
from time import perf_counter
from typing import Any, Dict, List, Sequence

import torch
from fairseq.dataclass.configs import GenerationConfig
from fairseq.sequence_generator import EnsembleModel, SequenceGenerator
from fairseq.tasks import FairseqTask


def batches_of_all_lengths(batches: Sequence[Any], count: int) -> List[Any]:
    """Some of the batches that fairseq has put in the order of lengths: the middle ones of `count` equal parts."""
    count = min(count, len(batches))
    return [batches[(2 * part + 1) * len(batches) // (2 * count)] for part in range(count)]


@dataclass
class Generation:
    """Counts and times, in seconds, of one pass over some batches.

    On a GPU, seconds are too long if parts are timed; if not, encoder_seconds and decoder_seconds are too short, since
    they end when the work is started.

    Attributes:
        seconds: time of fairseq's generator as fairseq-generate reports it: with search, without data loading.
        sentences: number of sentences translated.
        tokens: number of tokens in the best hypotheses, their ends included.
        encoder_seconds: time of the encoder over all batches.
        decoder_seconds: time of the decoder and its output layer over all steps.
        batches: number of calls of the encoder.
        steps: number of calls of the decoder.
    """

    seconds: float = 0.0
    sentences: int = 0
    tokens: int = 0
    encoder_seconds: float = 0.0
    decoder_seconds: float = 0.0
    batches: int = 0
    steps: int = 0


class _TimedModel(EnsembleModel):
    """fairseq's ensemble of one model, with clocks around encoder and decoder; its generator takes it for a model."""

    def __init__(self, model: torch.nn.Module):
        super().__init__([model])
        self.device = next(model.parameters()).device
        self.measured, self.parts = Generation(), True

    def now(self, wait: bool) -> float:
        """The time in seconds; with wait, once a GPU has done all its work."""
        if wait and self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return perf_counter()

    def forward_encoder(self, net_input):
        start = self.now(self.parts)
        encoded = super().forward_encoder(net_input)
        self.measured.encoder_seconds += self.now(self.parts) - start
        self.measured.batches += 1
        return encoded

    def forward_decoder(self, *args, **kwargs):
        start = self.now(self.parts)
        decoded = super().forward_decoder(*args, **kwargs)
        self.measured.decoder_seconds += self.now(self.parts) - start
        self.measured.steps += 1
        return decoded


class TimedGenerator:
    """Translates with one model as fairseq-generate does, and measures it.

    Args:
        task: translation task with the dictionaries of the data.
        model: translation model in evaluation mode, on the device to use.
        generation: beam and lengths.

    Raises:
        ValueError: if the task has another kind of generator, whose steps this cannot time.
    """

    def __init__(self, task: FairseqTask, model: torch.nn.Module, generation: GenerationConfig):
        self.task, self.model = task, _TimedModel(model)
        self.generator = task.build_generator(self.model, generation)
        if not isinstance(self.generator, SequenceGenerator):
            raise ValueError(f"its task generates by {type(self.generator).__name__}, allowed is SequenceGenerator")

    def run(self, batches: Sequence[Dict[str, Any]], parts: bool) -> Generation:
        """Translates samples of the task, which are on the device of the model; parts: times them on a GPU too."""
        timed, measured = self.model, Generation()
        timed.measured, timed.parts = measured, parts
        start = timed.now(wait=True)
        for batch in batches:
            translations = self.task.inference_step(self.generator, timed.models, batch)
            measured.sentences += len(translations)
            measured.tokens += sum(len(hypotheses[0]["tokens"]) for hypotheses in translations)
        measured.seconds = timed.now(wait=True) - start
        return measured
