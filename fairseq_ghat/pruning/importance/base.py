"""What a way of choosing heads is: an importance, which selects masks by looking at calibration data."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Dict, List, NamedTuple, Optional, Sequence

import torch
from torch import Tensor

from fairseq_ghat.core.head_budget import HeadBudget, top_heads
from fairseq_ghat.modules.group_classifiers import GroupClassifiers
from fairseq_ghat.modules.grouped_attention import GroupedAttention
from fairseq_ghat.modules.removable_units import RemovableUnits
from fairseq_ghat.pruning.calibration import Calibration, Layer

if TYPE_CHECKING:  # its choices are the names of all importances
    from fairseq_ghat.pruning.options import VoteOptions

# Heads that stay, (H,) bool, by attention layer.
Masks = Dict[GroupedAttention, Tensor]


def way_of_heads(options: Any) -> str:
    """The name of the way of choosing heads: --keep-heads, or its default."""
    if options.keep_heads is not None:
        return str(options.keep_heads)
    return "pillars" if options.budget is None and options.max_error is None else "reconstruction"


class Ranking(NamedTuple):
    """The units of a layer in the order they go.

    Attributes:
        order: their indexes, (U,).
        errors: what is lost without the first of them, the first two and so on, (U,); not decreasing, comparable
            between layers.
    """

    order: Tensor
    errors: Tensor


@dataclass
class Importance:
    """A way of choosing heads. Subclasses override `scores`, or `select` where no score of a head says it all.

    Args:
        options: of the vote.
        classifiers: that tell the group of a head, for votes in the classification form.

    Attributes:
        paper: where it comes from.
        summary: what it looks at, in a few words.
        one_per_group: whether one head of each group stays, so that the number of groups is the budget.
        uses_loss: whether it takes gradients of the task's loss.
        ranks_units: whether it ranks the units of any layer, neurons too (`ranks`).
        errors_per_cost: whether the errors of its rankings are for each unit of what is saved, so that under a budget
            units go by their scores alone, whatever they save.
    """

    options: "VoteOptions"
    classifiers: Optional[GroupClassifiers] = None

    paper: ClassVar[str] = ""
    summary: ClassVar[str] = ""
    one_per_group: ClassVar[bool] = False
    uses_loss: ClassVar[bool] = False
    ranks_units: ClassVar[bool] = False
    errors_per_cost: ClassVar[bool] = False

    def select(self, calibration: Calibration) -> Masks:
        """The heads that stay in each attention layer: those with the highest scores within the budget.

        Args:
            calibration: the model and the data to look at.

        Raises:
            ValueError: if the data are none, or if no choice can be made from them.
        """
        return dict(zip(calibration.layers, top_heads(self.scores(calibration), self.budget(calibration))))

    def scores(self, calibration: Calibration) -> List[Tensor]:
        """Scores of the heads of each layer, (H,): the higher, the longer a head stays."""
        raise NotImplementedError

    def ranks(self, calibration: Calibration, layers: Sequence[RemovableUnits]) -> Dict[RemovableUnits, Ranking]:
        """The order in which the units of layers go, and what is lost by that.

        Args:
            calibration: the model and the data to look at.
            layers: attention or feed-forward layers of the model.

        Raises:
            ValueError: if the data are none, or if no choice can be made from them.
        """
        raise NotImplementedError

    def rearranged(self, calibration: Calibration, masks: Dict[Layer, Tensor]) -> Dict[Layer, Tensor]:
        """Other units in the place of those that a ranking chose, as many in each layer; by default the same ones.

        Args:
            calibration: the model and the data to look at.
            masks: units that stay, (U,) bool, by layer.
        """
        return masks

    def budget(self, calibration: Calibration) -> HeadBudget:
        """How many heads stay: --vote-heads, or as many as there are groups."""
        heads = self.options.vote_heads or calibration.grouping.groups
        return HeadBudget(heads, str(self.options.vote_budget), self.options.remove_sublayers)

    def remark(self, layer: GroupedAttention) -> str:
        """What the log says beside the heads that a layer keeps."""
        return f" ({way_of_heads(self.options)})"


class AllHeads(Importance):
    """All heads stay, for two stages of training without removal."""

    def select(self, calibration: Calibration) -> Masks:
        return {layer: torch.ones(layer.heads_held, dtype=torch.bool) for layer in calibration.layers}
