"""The ways to choose heads, by name, each with where it comes from."""

from dataclasses import dataclass
from typing import Dict, Type

from fairseq_ghat.pruning.importance.base import KeepAll, Selector
from fairseq_ghat.pruning.importance.gates import DifferentiableSubset, LearnedGates, StochasticGates
from fairseq_ghat.pruning.importance.gradients import GradientImportance, IterativeGradientImportance
from fairseq_ghat.pruning.importance.subsets import Disagreement, Reconstruction
from fairseq_ghat.pruning.importance.voting import Pillars, RandomInGroup
from fairseq_ghat.pruning.importance.weights import ProjectionNorm, RandomHeads


@dataclass(frozen=True)
class Selection:
    """One way to choose heads.

    Attributes:
        selector: its class. paper: where it comes from. by: what it looks at, in a few words.
        groups: whether the number of groups is its budget.
        gradients: whether it needs the task's loss.
    """

    selector: Type[Selector]
    paper: str
    by: str
    groups: bool = False
    gradients: bool = False


SELECTIONS: Dict[str, Selection] = {
    "pillars": Selection(Pillars, "Ni et al. 2023, Algorithm 1", "votes of the batches in each group", groups=True),
    "random-in-group": Selection(RandomInGroup, "Ni et al. 2023, Table 3", "chance within each group", groups=True),
    "random": Selection(RandomHeads, "Ni et al. 2023, Table 3", "chance"),
    "l1": Selection(ProjectionNorm, "Li et al. 2017, section 3.1", "L1 norm of the head's projections"),
    "gradient": Selection(
        GradientImportance, "Michel et al. 2019, Eq. 2", "gradient of the loss by the head's gate", gradients=True
    ),
    "gradient-iterative": Selection(
        IterativeGradientImportance,
        "Michel et al. 2019, section 4.2",
        "the same, a tenth of the heads at a time",
        gradients=True,
    ),
    "l0": Selection(
        StochasticGates,
        "Voita et al. 2019, section 5.1",
        "hard-concrete gates, learned with an L0 penalty",
        gradients=True,
    ),
    "subset": Selection(
        DifferentiableSubset, "Li et al. 2021, section 3", "Gumbel top-K gates, learned", gradients=True
    ),
    "reconstruction": Selection(Reconstruction, "He et al. 2017, Eq. 1", "error of the reconstructed attention output"),
    "disagreement": Selection(Disagreement, "Li et al. 2018, section 3.2", "cosines between the heads that stay"),
}

# Ways that learn gates, with a learning rate.
LEARNED_GATES = tuple(name for name, way in SELECTIONS.items() if issubclass(way.selector, LearnedGates))

# What --keep-heads takes: all of the above, and no removal.
KEEP_HEADS = (*SELECTIONS, "all")


def selector_class(keep: str) -> Type[Selector]:
    """The class behind a name of KEEP_HEADS."""
    return KeepAll if keep == "all" else SELECTIONS[keep].selector
