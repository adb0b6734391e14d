"""The interface of all ways to choose heads: they score; budget decides; masks, refit and slimming cut."""

from contextlib import nullcontext
from dataclasses import dataclass
from typing import ContextManager, Dict, Iterable, List, Optional

import torch
from torch import Tensor, nn

from fairseq_ghat.core.head_budget import HeadBudget, top_heads
from fairseq_ghat.modules.feature_collectors import HeadOutputMoments
from fairseq_ghat.modules.grouped_attention import GroupedAttention, grouped_attentions
from fairseq_ghat.pruning.calibration import Passes

Masks = Dict[GroupedAttention, Tensor]


@dataclass(frozen=True)
class VotingRules:
    """How heads are chosen.

    Attributes:
        by: "count" or "score" (VoteTally.elect), for pillars.
        keep: the way of choosing, a name of pruning/selection, or "all", for two stages of training without removal.
        refit: "output" to refit the output projections (core/output_refit), or "none".
        seed: of everything random.
        heads: that stay in each attention, on average with a budget over the model; None for as many as it has groups.
        over: "layer" or "model" (HeadBudget).
        may_empty: whether an attention may lose all its heads (HeadBudget).
        gate_lr: learning rate of learned gates; None for the default of the way.
    """

    by: str = "count"
    keep: str = "pillars"
    refit: str = "output"
    seed: int = 1
    heads: Optional[int] = None
    over: str = "layer"
    may_empty: bool = False
    gate_lr: Optional[float] = None


class Selector:
    """Base of the ways to choose heads of a model that has all of them. Subclasses override what they need.

    Attributes:
        layers: the attention layers, in a fixed order; names: of them.
        budget: what stays.
        moments: of the head outputs over the frozen pass, if uses_moments.
    """

    # Whether a frozen pass over the data is needed, in which `watching` wraps every batch.
    watches = False
    # Whether the moments of the head outputs, which the refit takes too, are needed.
    uses_moments = False

    def __init__(self, model: nn.Module, rules: VotingRules, classifiers: Optional[nn.Module] = None):
        self.model, self.rules, self.classifiers = model, rules, classifiers
        self.names = {layer: name for name, layer in grouped_attentions(model).items()}
        self.layers: List[GroupedAttention] = list(self.names)
        self.budget = HeadBudget(rules.heads or self.layers[0].grouping.groups, rules.over, rules.may_empty)
        self.moments: Optional[HeadOutputMoments] = None

    def watching(self, padding: Optional[Tensor]) -> ContextManager:
        """Context of one batch's forward pass. padding: of the decoder input, see FeatureSink."""
        return nullcontext()

    def sums(self) -> Iterable[Tensor]:
        """What the frozen pass summed, to be added up over workers in place."""
        return ()

    def explore(self, passes: Passes) -> None:
        """Passes of its own, after the frozen one."""

    def scores(self) -> List[Tensor]:
        """(H,) of each layer: the higher, the longer the head stays."""
        raise NotImplementedError

    def choose(self) -> Masks:
        """(H,) bool of each layer, true for heads that stay."""
        return dict(zip(self.layers, top_heads(self.scores(), self.budget)))

    def remark(self, layer: GroupedAttention) -> str:
        """What the log says beside the heads that a layer keeps."""
        return f" ({self.rules.keep})"


class KeepAll(Selector):
    """All heads, for the two stages of training without removal."""

    def choose(self) -> Masks:
        return {layer: torch.ones(layer.heads_held, dtype=torch.bool) for layer in self.layers}
