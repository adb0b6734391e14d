"""The voting pass: one look at the training set with the model frozen (paper, Algorithm 1)."""

import logging
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Callable, Dict, Iterable, List, Optional

import torch
from torch import Tensor, nn

from fairseq_ghat.core.group_classification import own_group_probability
from fairseq_ghat.core.hidden_units import check_groups
from fairseq_ghat.core.voting import VoteTally, random_heads, random_in_group
from fairseq_ghat.modules.feature_grams import FeatureGrams
from fairseq_ghat.modules.feature_sink import stacks_by_heads, target_padding
from fairseq_ghat.modules.grouped_attention import GroupedAttention, Grouping, grouped_attentions
from fairseq_ghat.modules.output_moments import HeadOutputMoments
from fairseq_ghat.modules.pooled_features import PooledFeatures
from fairseq_ghat.pruning.head_masks import set_head_masks
from fairseq_ghat.pruning.refit import refit_kept_heads

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class VotingRules:
    """How a vote is held.

    Attributes:
        by: "count" or "score" (VoteTally.elect).
        keep: "pillars", the winners; "random-in-group", a random member of each group; "random", any C heads;
            or "all", for the two stages of training without removal.
        refit: "output" to refit the output projections (core/output_refit), or "none".
        seed: of the random choices.
    """

    by: str = "count"
    keep: str = "pillars"
    refit: str = "output"
    seed: int = 1

    @property
    def looks_at_data(self) -> bool:
        """Whether the vote needs a pass over the data at all."""
        return self.keep in ("pillars", "random-in-group") or (self.refit != "none" and self.keep == "random")


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


def vote(
    model: nn.Module,
    batches: Iterable[Dict],
    padding_idx: int,
    to_device: Callable[[Dict], Dict] = lambda sample: sample,
    rules: VotingRules = VotingRules(),
    classifiers: Optional[nn.Module] = None,
    add_up: Callable[[Tensor], None] = lambda tensor: None,
) -> Dict[str, List[int]]:
    """Lets the heads vote over all batches, then masks those that do not stay.

    Args:
        model: with grouped attention, not yet voted on.
        batches: fairseq samples with a net_input; of this worker's share of the data.
        padding_idx: of the decoder input.
        to_device: moves a sample to the model's device.
        rules: how the vote is held.
        classifiers: GroupClassifiers; then p(z | e) is the pattern score (Eq. 4 A), not the cosine.
        add_up: sums a tensor over all workers, in place.

    Returns:
        indexes of the heads that stay, by layer name.

    Raises:
        ValueError: if there is no batch, or if a refit is not possible; nothing is masked then.
    """
    ballot = _Ballot(model, rules, classifiers)
    if rules.looks_at_data:
        with frozen(model):
            for sample in batches:
                if sample:
                    net_input = to_device(sample)["net_input"]
                    ballot.add(net_input, target_padding(net_input, padding_idx))
        for tensor in ballot.sums():
            add_up(tensor)
    return ballot.decide()


class _Ballot:
    """Tallies of all layers of a model, and the moments of their outputs if there will be a refit."""

    def __init__(self, model: nn.Module, rules: VotingRules, classifiers: Optional[nn.Module]):
        self.model, self.rules, self.classifiers = model, rules, classifiers
        self.names = {layer: name for name, layer in grouped_attentions(model).items()}
        self.stacks = stacks_by_heads(self.names)
        self.tallies = [_tally(layers) for layers in self.stacks]
        self.moments = HeadOutputMoments(model) if rules.refit == "output" and rules.keep != "all" else None

    def add(self, net_input: Dict, padding: Optional[Tensor]) -> None:
        """Counts one batch. padding: of the decoder input, see FeatureSink."""
        grams = FeatureGrams(self.model, padding)
        pooled = None if self.classifiers is None else PooledFeatures(self.model, padding)
        if self.moments is not None:
            self.moments.target_padding = padding
        with ExitStack() as stack:
            for sink in (grams, pooled, self.moments):
                if sink is not None:
                    stack.enter_context(sink)
            self.model(**net_input)
        for layers, tally, gram in zip(self.stacks, self.tallies, grams.stacks()):
            scores = None
            if pooled is not None:
                logits = self.classifiers([self.names[layer] for layer in layers], pooled.pooled(layers))
                scores = partial(own_group_probability, logits)
            tally.add(gram, scores)

    def sums(self) -> List[Tensor]:
        """Everything that adds up over workers."""
        moments = [] if self.moments is None else self.moments.moments.values()
        return [tensor for part in (*self.tallies, *moments) for tensor in part.sums()]

    def decide(self) -> Dict[str, List[int]]:
        """Chooses heads in every layer, refits if asked, and sets the masks: all of it or nothing."""
        generator = torch.Generator().manual_seed(self.rules.seed)
        masks = [self._choose(tally, generator) for tally in self.tallies]
        if self.moments is not None:
            kept = {
                layer: mask for layers, of_stack in zip(self.stacks, masks) for layer, mask in zip(layers, of_stack)
            }
            refit_kept_heads(kept, self.moments.moments, self.names)
        elected = {}
        for layers, tally, of_stack in zip(self.stacks, self.tallies, masks):
            set_head_masks(layers, of_stack)
            for layer, mask, votes in zip(layers, of_stack, tally.votes):
                elected[self.names[layer]] = mask.nonzero().flatten().tolist()
                self._announce(self.names[layer], elected[self.names[layer]], layer.heads_held, votes, tally.batches)
        return elected

    def _choose(self, tally: VoteTally, generator: torch.Generator) -> Tensor:
        layers, heads = tally.votes.shape
        if self.rules.keep == "all":
            return torch.ones(layers, heads, dtype=torch.bool)
        if self.rules.keep == "random":
            return random_heads(layers, heads, tally.groups, generator)
        if self.rules.keep == "random-in-group":
            return random_in_group(tally.final_labels(), tally.groups, generator)
        return tally.elect(self.rules.by)

    def _announce(self, name: str, kept: List[int], heads: int, votes: Tensor, batches: Tensor) -> None:
        counted = f"; votes {[int(count) for count in votes]} of {int(batches)} batches" if batches else ""
        how = "" if self.rules.keep == "pillars" else f" ({self.rules.keep})"
        logger.info("vote: %s keeps heads %s of %d%s%s", name, kept, heads, how, counted)


def _tally(layers: List[GroupedAttention]) -> VoteTally:
    grouping: Grouping = layers[0].grouping
    check_groups(grouping.groups, layers[0].heads_computed)
    device = layers[0].head_mask.device
    return VoteTally(len(layers), layers[0].heads_computed, grouping.groups, grouping.distance, device)
