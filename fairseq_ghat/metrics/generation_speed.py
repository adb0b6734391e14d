"""How fast a translation model generates, and how that divides into encoder and decoder."""

from dataclasses import dataclass
from time import perf_counter
from typing import Any, Dict, Sequence

import torch
from fairseq.sequence_generator import EnsembleModel


@dataclass(frozen=True)
class Generation:
    """What one pass over some batches took; times in seconds.

    Attributes:
        seconds: of fairseq's generator, search included, data loading not: what fairseq-generate reports.
        sentences, tokens: translated; tokens of the best hypotheses, their ends included.
        encoder_seconds: of the encoder, over batches.
        decoder_seconds: of the decoder and its output layer, over steps.
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
        self.start_anew()

    def start_anew(self) -> None:
        """Sets all clocks and counts to zero."""
        self.encoder_seconds = self.decoder_seconds = 0.0
        self.batches = self.steps = 0

    def now(self) -> float:
        """The time in seconds, once the device has done all its work."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return perf_counter()

    def forward_encoder(self, net_input):
        """As fairseq's."""
        start = self.now()
        found = super().forward_encoder(net_input)
        self.encoder_seconds += self.now() - start
        self.batches += 1
        return found

    def forward_decoder(self, *args, **kwargs):
        """As fairseq's: one decoding step up to the log-probabilities."""
        start = self.now()
        found = super().forward_decoder(*args, **kwargs)
        self.decoder_seconds += self.now() - start
        self.steps += 1
        return found


class TimedGenerator:
    """Translates with one model as fairseq-generate does, and measures it.

    Args:
        task: fairseq's translation task, with the dictionaries of the data.
        model: on its device, in evaluation mode.
        generation: fairseq's GenerationConfig (beam, lengths).
    """

    def __init__(self, task, model: torch.nn.Module, generation):
        self.task = task
        self.model = TimedModel(model, next(model.parameters()).device)
        self.generator = task.build_generator(self.model, generation)

    def run(self, batches: Sequence[Dict[str, Any]]) -> Generation:
        """Translates batches that are on the model's device already."""
        self.model.start_anew()
        sentences = tokens = 0
        start = self.model.now()
        for batch in batches:
            found = self.task.inference_step(self.generator, self.model.models, batch)
            sentences += len(found)
            tokens += sum(len(hypotheses[0]["tokens"]) for hypotheses in found)
        timed = self.model
        return Generation(
            timed.now() - start,
            sentences,
            tokens,
            timed.encoder_seconds,
            timed.decoder_seconds,
            timed.batches,
            timed.steps,
        )
