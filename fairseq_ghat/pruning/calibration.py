"""Passes over the data with the model frozen, in the batches of training, as ways of choosing heads need them."""

import logging
from contextlib import contextmanager
from itertools import islice
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Tuple, TypeVar

import torch
from torch import Tensor, nn

from fairseq_ghat.core.projection_refit import InputMoments
from fairseq_ghat.modules.attention_layers import grouped_attentions, grouping_of
from fairseq_ghat.modules.feed_forward import FeedForward, feed_forwards
from fairseq_ghat.modules.grouped_attention import GroupedAttention
from fairseq_ghat.modules.head_features import RecordedFeatures
from fairseq_ghat.modules.projection_inputs import adding_moments, paddings
from fairseq_ghat.modules.removable_units import RemovableUnits

logger = logging.getLogger(__name__)

# Most memory for square matrices at a time, in bytes; moments of 2,048 neurons are 32 MiB, of 4,096 are 128 MiB.
MOST_BYTES = 2**30

Layer = TypeVar("Layer", bound=RemovableUnits)
Sample = Dict[str, Any]
# From a model and a sample, the summed task loss and the number of target tokens.
Loss = Callable[[nn.Module, Sample], Tuple[Tensor, int]]
# Sums a tensor over all workers, in place.
Reduce = Callable[[Tensor], None]


class Calibration:
    """A model and this worker's share of the data, as often as it is asked for.

    Args:
        model: with grouped attention, not inside a wrapper.
        batches: called with shuffle=True or False, gives the fairseq samples of the whole share once.
        count: gives the number of batches of the share.
        padding_idx: index of the padding symbol of the decoder input.
        to_device: moves a sample to the model's device.
        limit: batches to look at; the whole share if None.
        loss: the task's loss; only ways of choosing that take gradients use it.
        reduce: sums a tensor over all workers, in place; None for a worker that is alone.

    Attributes:
        grouping: of the model.
        names: of the attention and the feed-forward layers, in a fixed order.
        layers: the attention layers, in that order.
        feed_forwards: the feed-forward layers, in that order.
    """

    def __init__(
        self,
        model: nn.Module,
        batches: Callable[[bool], Iterable[Sample]],
        count: Callable[[], int],
        padding_idx: int,
        to_device: Callable[[Sample], Sample] = lambda sample: sample,
        limit: Optional[int] = None,
        loss: Optional[Loss] = None,
        reduce: Optional[Reduce] = None,
    ):
        self.model, self.grouping = model, grouping_of(model)
        self._attentions, feed_forward_layers = grouped_attentions(model), feed_forwards(model)
        self.layers: List[GroupedAttention] = list(self._attentions.values())
        self.feed_forwards: List[FeedForward] = list(feed_forward_layers.values())
        named: Dict[str, RemovableUnits] = {**self._attentions, **feed_forward_layers}
        self.names = {layer: name for name, layer in named.items()}
        self._batches, self._count, self._padding_idx, self._to_device = batches, count, padding_idx, to_device
        self._limit, self._loss, self._reduce = limit, loss, reduce
        self._moments_expected: List[RemovableUnits] = []
        self._moments: Dict[Any, InputMoments] = {}

    def expect_moments(self, layers: Iterable[RemovableUnits]) -> None:
        """Says whose moments will be asked for: they are gathered in the next pass, if MOST_BYTES allow them all."""
        self._moments_expected = list(layers)

    def features(self, pooled: bool = False) -> Iterator[RecordedFeatures]:
        """What the heads compute for each batch, in one pass with the model frozen; no gradients while it lasts.

        Args:
            pooled: whether pooled features are wanted.
        """
        parts = in_parts([layer for layer in self._moments_expected if layer not in self._moments], _features)
        moments = _empty_moments(parts[0]) if len(parts) == 1 else {}
        for sample, padding in self._pass(moments):
            with RecordedFeatures(self._attentions, self.grouping, padding, pooled) as features:
                self._run(sample)
            yield features
        self._moments.update(moments)

    def moments(self, layers: Iterable[Layer]) -> Iterator[Dict[Layer, InputMoments]]:
        """Moments of what goes into the projections of layers, over the data of all workers.

        Args:
            layers: whose moments are wanted.

        Yields:
            The moments of as many layers at a time as MOST_BYTES allow, by layer; each time of a pass of their own if
            need be. If those are all, they are kept, and the next call takes no pass.
        """
        parts = in_parts(list(layers), _features)
        for part in parts:
            missing = _empty_moments([layer for layer in part if layer not in self._moments])
            if missing:
                for sample, _ in self._pass(missing):
                    self._run(sample)
            held = {layer: (missing if layer in missing else self._moments)[layer] for layer in part}
            if len(parts) == 1:
                self._moments.update(held)
            yield held

    def _pass(self, moments: Mapping[RemovableUnits, InputMoments]) -> Iterator[Tuple[Sample, Optional[Tensor]]]:
        """The samples and the padding of their decoder input; running the model on one adds to the moments."""
        if moments:
            size = sum(layer_moments.second.numel() * 8 for layer_moments in moments.values()) / 2**20
            logger.info("vote: moments of %d projections take %.0f MiB", len(moments), size)
        with frozen(self.model):
            for sample in self.samples():
                if not sample:
                    self.check_finite()
                    continue
                padding = paddings(self.model, sample["net_input"], self._padding_idx)
                with adding_moments(moments, self.names, padding):
                    yield sample, padding["decoder"]
        self.add_up(*(tensor for layer_moments in moments.values() for tensor in layer_moments.sums()))

    def _run(self, sample: Sample) -> None:
        output, _ = self.model(**sample["net_input"], features_only=True)
        self.check_finite(output)

    def samples(self, shuffle: bool = False) -> Iterator[Sample]:
        """The samples of one pass, at most `limit`; a share that is short of a batch has an empty one, {}.

        Part of the data is always a shuffled part: in their own order, batches go from short sentences to long ones.
        """
        data = iter(self._batches(shuffle or self._limit is not None))
        try:
            for sample in islice(data, self._limit):
                yield self._to_device(sample) if sample else {}
        finally:
            if hasattr(data, "close"):
                data.close()  # the loaded shard of sharded data comes back

    def updates_planned(self) -> int:
        """How many samples `updates` gives."""
        return self._count() if self._limit is None else self._limit

    def updates(self) -> Iterator[Sample]:
        """Shuffled samples, `limit` of them, the data over again where it has fewer; one pass if there is no limit."""
        left = self._limit
        while left is None or left > 0:
            seen = 0
            for sample in islice(self.samples(shuffle=True), left):
                seen += 1
                yield sample
            if left is None or not seen:
                return
            left -= seen

    def loss(self, model: nn.Module, sample: Sample) -> Tuple[Tensor, int]:
        """The summed task loss of a sample, and its number of target tokens."""
        assert self._loss is not None, "this way of choosing heads takes gradients of the task's loss"
        return self._loss(model, sample)

    def add_up(self, *tensors: Tensor) -> None:
        """Sums tensors over all workers, in place."""
        if self._reduce is not None:
            for tensor in tensors:
                self._reduce(tensor)

    def check_finite(self, *computed: Tensor) -> None:
        """Raises ValueError, on all workers alike, for numbers that overflow: sums of them would choose any head.

        Args:
            computed: by this worker for a sample; nothing for an empty one, so that no other worker waits.
        """
        overflown = torch.zeros((), device=self.layers[0].head_mask.device)
        for tensor in computed:
            overflown += ~tensor.isfinite().all()
        self.add_up(overflown)
        if overflown:
            raise ValueError(
                "vote: what the model computes for a batch is not finite; if it is in half precision (--fp16), vote in "
                "float32 with ghat-vote, else see whether its training diverged"
            )


def in_parts(layers: List[Layer], width: Callable[[Layer], int]) -> List[List[Layer]]:
    """The layers, in parts whose square matrices take at most MOST_BYTES; a layer that takes more is alone.

    Args:
        layers: each with a float64 matrix.
        width: rows of the matrix of a layer.
    """
    parts: List[List[Layer]] = []
    room = 0
    for layer in layers:
        size = 8 * width(layer) ** 2
        if size > room or not parts:
            parts.append([])
            room = MOST_BYTES
        parts[-1].append(layer)
        room -= size
    return parts


def _empty_moments(layers: Iterable[RemovableUnits]) -> Dict[RemovableUnits, InputMoments]:
    return {layer: InputMoments(_features(layer), layer.projection.weight.device) for layer in layers}


def _features(layer: RemovableUnits) -> int:
    """U*D, input features of the projection."""
    return layer.units * layer.unit_features


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; training mode of every module comes back afterwards."""
    training = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in training.items():
            module.training = mode


@contextmanager
def frozen_weights(model: nn.Module) -> Iterator[None]:
    """As frozen, but gradients flow to what is put into the model, such as gates; none to its own weights."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    with frozen(model), torch.enable_grad():
        for parameter in trained:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in trained:
                parameter.requires_grad_(True)
