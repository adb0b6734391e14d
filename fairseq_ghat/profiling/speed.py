"""How fast a translation model generates, and how that divides into encoder and decoder."""

from dataclasses import dataclass
from time import perf_counter
from typing import Any, Dict, Sequence

import torch
from fairseq.sequence_generator import EnsembleModel, SequenceGenerator


@dataclass(frozen=True)
class Generation:
    """What one pass over some batches took; times in seconds.

    Attributes:
        seconds: of fairseq's generator, search included, data loading not: what fairseq-generate reports, if parts
            were not timed or the device is a CPU.
        sentences, tokens: translated; tokens of the best hypotheses, their ends included.
        encoder_seconds: of the encoder, over batches; decoder_seconds: of the decoder and its output layer, over
            steps. On a GPU both are those of starting the work only, unless parts were timed.
        batches, steps: how often the encoder and the decoder ran.
    """

    seconds: float
    sentences: int
    tokens: int
    encoder_seconds: float
    decoder_seconds: float
    batches: int
    steps: int


class TimedModel(EnsembleModel):
    """fairseq's ensemble, here of one model, with a clock at the doors of encoder and decoder.

    Its generator takes an ensemble instead of models, so nothing of it is changed.
    """

    def __init__(self, model: torch.nn.Module, device: torch.device):
        super().__init__([model])
        self.device = device
        self.start_anew(wait=True)

    def start_anew(self, wait: bool) -> None:
        """Sets all clocks and counts to zero. wait: whether each part waits for a GPU, which slows the whole."""
        self.wait = wait
        self.encoder_seconds = self.decoder_seconds = 0.0
        self.batches = self.steps = 0

    def now(self, wait: bool) -> float:
        """The time in seconds; wait: once a GPU has done all its work."""
        if wait and self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return perf_counter()

    def forward_encoder(self, net_input):
        """As fairseq's."""
        start = self.now(self.wait)
        found = super().forward_encoder(net_input)
        self.encoder_seconds += self.now(self.wait) - start
        self.batches += 1
        return found

    def forward_decoder(self, *args, **kwargs):
        """As fairseq's: one decoding step up to the log-probabilities."""
        start = self.now(self.wait)
        found = super().forward_decoder(*args, **kwargs)
        self.decoder_seconds += self.now(self.wait) - start
        self.steps += 1
        return found


class TimedGenerator:
    """Translates with one model as fairseq-generate does, and measures it.

    Args:
        task: fairseq's translation task, with the dictionaries of the data.
        model: on its device, in evaluation mode.
        generation: fairseq's GenerationConfig (beam, lengths).

    Raises:
        ValueError: if the task has another kind of generator, whose steps this cannot time.
    """

    def __init__(self, task, model: torch.nn.Module, generation):
        self.task = task
        self.model = TimedModel(model, next(model.parameters()).device)
        self.generator = task.build_generator(self.model, generation)
        if not isinstance(self.generator, SequenceGenerator):
            raise ValueError(f"its task generates by {type(self.generator).__name__}, allowed is SequenceGenerator")

    def run(self, batches: Sequence[Dict[str, Any]], parts: bool) -> Generation:
        """Translates batches that are on the model's device already; parts: time encoder and decoder on a GPU too."""
        self.model.start_anew(wait=parts)
        sentences = tokens = 0
        start = self.model.now(wait=True)
        for batch in batches:
            found = self.task.inference_step(self.generator, self.model.models, batch)
            sentences += len(found)
            tokens += sum(len(hypotheses[0]["tokens"]) for hypotheses in found)
        timed = self.model
        return Generation(
            timed.now(wait=True) - start,
            sentences,
            tokens,
            timed.encoder_seconds,
            timed.decoder_seconds,
            timed.batches,
            timed.steps,
        )
