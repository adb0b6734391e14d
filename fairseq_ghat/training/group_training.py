"""What the task and the criterion share while the heads of a model are grouped: its layers, stage and history."""

from dataclasses import dataclass, field
from typing import Any, Dict, Optional

from fairseq.logging import metrics
from torch import Tensor

from fairseq_ghat.modules.group_classifiers import GroupClassifiers
from fairseq_ghat.modules.grouped_attention import GroupedAttention
from fairseq_ghat.modules.grouping import Grouping
from fairseq_ghat.training.hidden_unit_history import HiddenUnitHistory

# Logged beside the task's own loss, each averaged over batches by their sample size.
CONSTRAINT_METRICS = ("homogeneity", "diversity", "group_probability", "constraint")


@dataclass
class GroupTraining:
    """The task makes it when it builds the model, and hands it to the criterion.

    Attributes:
        attentions: attention layers of the model, by name; none under a task that never votes.
        grouping: of the model.
        model_options: of the model, as the command line gives them.
        constrain_stage: when the constraint applies: "1" before the vote, "2" after it, or "both".
        history: of the hidden units, where the vote waits for them to converge.
        classifiers: the criterion's group classifiers, under the classification form.
        constrained: whether the criterion is one that has the constraint, and so can watch the hidden units.
        observed: Gram matrix (H, H) of each layer in the latest batch, for the history.
    """

    attentions: Dict[str, GroupedAttention] = field(default_factory=dict)
    grouping: Optional[Grouping] = None
    model_options: Any = None
    constrain_stage: str = "1"
    history: Optional[HiddenUnitHistory] = None
    classifiers: Optional[GroupClassifiers] = None
    constrained: bool = False
    observed: Dict[str, Tensor] = field(default_factory=dict)

    def applies(self, voted: bool) -> bool:
        """Whether the constraint applies to a model that was voted on, or was not."""
        return self.constrain_stage in ("both", "2" if voted else "1")

    def check_recomputation(self) -> None:
        """Raises ValueError if the constraint would meet a forward pass that runs again (--checkpoint-activations)."""
        removed = bool(self.attentions) and all(layer.voted for layer in self.attentions.values())
        constraint_is_over = removed and self.constrain_stage == "1"
        if getattr(self.model_options, "checkpoint_activations", False) and not constraint_is_over:
            raise ValueError(
                "--checkpoint-activations: not with the group constraint, which does not reach into a forward pass "
                "that is run again; train without one of them, or take fairseq's own --criterion"
            )

    def close_update(self, count: bool) -> None:
        """Adds the latest batch, if it counts, to the history, which there must be; every worker must call it."""
        assert self.history is not None
        self.history.add(self.observed if count else {})
        self.observed = {}


def forget_constraint_metrics() -> None:
    """Takes the constraint out of the training lines; fairseq would print a metric without values as None."""
    for aggregator in ("train", "train_inner"):
        meters = metrics.get_meters(aggregator)
        if meters is None:
            continue
        for name in CONSTRAINT_METRICS:
            meters.pop(name, None)
        meters.priorities[:] = [entry for entry in meters.priorities if entry[-1] not in CONSTRAINT_METRICS]
