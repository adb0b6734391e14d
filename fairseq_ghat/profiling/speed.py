"""Measures how fast a translation model generates, and how the time divides into encoder and decoder."""

from dataclasses import dataclass
from time import perf_counter
from typing import Any, Dict, Sequence

import torch
from fairseq.dataclass.configs import GenerationConfig
from fairseq.sequence_generator import EnsembleModel, SequenceGenerator
from fairseq.tasks import FairseqTask


@dataclass(frozen=True)
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

    seconds: float
    sentences: int
    tokens: int
    encoder_seconds: float
    decoder_seconds: float
    batches: int
    steps: int


class _TimedModel(EnsembleModel):
    """fairseq's ensemble of one model, with clocks around encoder and decoder; its generator takes it for a model."""

    def __init__(self, model: torch.nn.Module):
        super().__init__([model])
        self.device = next(model.parameters()).device
        self.reset(wait=True)

    def reset(self, wait: bool) -> None:
        """Sets clocks and counts to zero; with wait, each part will wait for a GPU, which slows the whole."""
        self.wait = wait
        self.encoder_seconds = self.decoder_seconds = 0.0
        self.batches = self.steps = 0

    def now(self, wait: bool) -> float:
        """The time in seconds; with wait, once a GPU has done all its work."""
        if wait and self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return perf_counter()

    def forward_encoder(self, net_input):
        """As fairseq's."""
        start = self.now(self.wait)
        encoded = super().forward_encoder(net_input)
        self.encoder_seconds += self.now(self.wait) - start
        self.batches += 1
        return encoded

    def forward_decoder(self, *args, **kwargs):
        """As fairseq's: one decoding step up to the log-probabilities."""
        start = self.now(self.wait)
        decoded = super().forward_decoder(*args, **kwargs)
        self.decoder_seconds += self.now(self.wait) - start
        self.steps += 1
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
        self.task = task
        self.model = _TimedModel(model)
        self.generator = task.build_generator(self.model, generation)
        if not isinstance(self.generator, SequenceGenerator):
            raise ValueError(f"its task generates by {type(self.generator).__name__}, allowed is SequenceGenerator")

    def run(self, batches: Sequence[Dict[str, Any]], parts: bool) -> Generation:
        """Translates batches.

        Args:
            batches: samples of the task, on the device of the model.
            parts: time encoder and decoder on a GPU too.
        """
        timed = self.model
        timed.reset(wait=parts)
        sentences = tokens = 0
        start = timed.now(wait=True)
        for batch in batches:
            translations = self.task.inference_step(self.generator, timed.models, batch)
            sentences += len(translations)
            tokens += sum(len(hypotheses[0]["tokens"]) for hypotheses in translations)
        seconds = timed.now(wait=True) - start
        times = (timed.encoder_seconds, timed.decoder_seconds)
        return Generation(seconds, sentences, tokens, *times, timed.batches, timed.steps)
