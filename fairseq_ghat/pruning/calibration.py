"""Passes over the data with the model frozen, as ways of choosing heads need them."""

from contextlib import contextmanager
from itertools import islice
from typing import Callable, Dict, Iterable, Iterator, Optional, Tuple

import torch
from torch import Tensor, nn

from fairseq_ghat.modules.feature_collectors import target_padding

# From a model and a sample, the summed task loss and the number of target tokens.
Loss = Callable[[nn.Module, Dict], Tuple[Tensor, int]]


@contextmanager
def frozen(model: nn.Module):
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
def frozen_weights(model: nn.Module):
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


class Passes:
    """This worker's share of the data, as often as it is asked for.

    Args:
        batches: called with shuffle=True or False, gives an iterable of fairseq samples: the whole share once.
        count: called without arguments, gives the number of batches of the share.
        padding_idx: of the decoder input.
        to_device: moves a sample to the model's device.
        limit: batches to look at; the whole share if None.
        loss: the task's loss; only ways of choosing that need gradients use it.
        add_up: sums a tensor over all workers, in place.
    """

    def __init__(
        self,
        batches: Callable[..., Iterable[Dict]],
        count: Callable[[], int],
        padding_idx: int,
        to_device: Callable[[Dict], Dict] = lambda sample: sample,
        limit: Optional[int] = None,
        loss: Optional[Loss] = None,
        add_up: Callable[[Tensor], None] = lambda tensor: None,
    ):
        self.limit, self.loss, self.add_up = limit, loss, add_up
        self._batches, self._count, self._padding_idx, self._to_device = batches, count, padding_idx, to_device

    def samples(self, shuffle: bool = False) -> Iterator[Dict]:
        """The samples of one pass, at most `limit`; a share that is short of a batch has an empty one, {}.

        Part of the data is always a shuffled part: in their own order, batches go from short sentences to long ones.
        """
        data = iter(self._batches(shuffle=shuffle or self.limit is not None))
        try:
            for sample in islice(data, self.limit):
                yield self._to_device(sample) if sample else {}
        finally:
            if hasattr(data, "close"):
                data.close()  # the loaded shard of sharded data comes back

    def updates_planned(self) -> int:
        """How many samples `updates` gives."""
        return self._count() if self.limit is None else self.limit

    def updates(self) -> Iterator[Dict]:
        """Shuffled samples, `limit` of them, the data over again where it has fewer; one pass if there is no limit."""
        left = self.limit
        while left is None or left > 0:
            seen = 0
            for sample in islice(self.samples(shuffle=True), left):
                seen += 1
                yield sample
            if left is None or not seen:
                return
            left -= seen

    def padding(self, net_input: Dict) -> Optional[Tensor]:
        """Padding of the decoder input of a sample, see FeatureSink."""
        return target_padding(net_input, self._padding_idx)
