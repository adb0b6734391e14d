"""How strongly the group constraint counts beside the task loss."""

from typing import Union

from fairseq.logging import metrics
from torch import Tensor

BATCH = "batch"


class GroupLossScale:
    """Weight of L_z beside the task loss, which fairseq sums over a batch and later divides by sample_size.

    * a number lambda: task loss per token + lambda * L_z, whatever the batch size, --update-freq or workers.
    * "batch", as the authors' code: L_z summed over the L attention layers, once per batch. Per token it
      weighs L / tokens per batch, so it changes with the batch size.

    Raises:
        ValueError: if the value is neither "batch" nor a finite number >= 0; names the flag.
    """

    def __init__(self, value: str):
        self.value = value
        if value == BATCH:
            self.factor = None
            return
        try:
            self.factor = float(value)
        except ValueError:
            self.factor = -1.0
        if not 0 <= self.factor < float("inf"):
            raise ValueError(f"--group-loss-scale {value}: allowed is '{BATCH}' or a number >= 0")

    def summed(self, constraint: Tensor, layers: int, sample_size: Union[int, Tensor]) -> Tensor:
        """What to add to the summed task loss of a batch. constraint: L_z, averaged over layers."""
        if self.factor is None:
            return constraint * layers
        return constraint * self.factor * sample_size


# Beside the task's own loss, each averaged over batches by their sample size.
CONSTRAINT_METRICS = ("homogeneity", "diversity", "group_probability", "constraint")


def forget_constraint_metrics() -> None:
    """Takes the constraint out of the training lines; fairseq would print a metric without values as None."""
    for aggregator in ("train", "train_inner"):
        meters = metrics.get_meters(aggregator)
        if meters is None:
            continue
        for name in CONSTRAINT_METRICS:
            meters.pop(name, None)
        meters.priorities[:] = [entry for entry in meters.priorities if entry[-1] not in CONSTRAINT_METRICS]
