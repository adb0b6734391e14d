"""The ways of choosing heads, by the names that --keep-heads takes."""

from typing import Dict, Type

from fairseq_ghat.pruning.importance.base import AllHeads, Importance
from fairseq_ghat.pruning.importance.disagreement import Disagreement
from fairseq_ghat.pruning.importance.fisher import FisherInformation
from fairseq_ghat.pruning.importance.flap import Fluctuation
from fairseq_ghat.pruning.importance.gates import DifferentiableSubset, LearnedGates, StochasticGates
from fairseq_ghat.pruning.importance.gradients import GradientImportance, IterativeGradientImportance
from fairseq_ghat.pruning.importance.reconstruction import Reconstruction
from fairseq_ghat.pruning.importance.voting import Pillars, RandomInGroup
from fairseq_ghat.pruning.importance.weights import ProjectionNorm, RandomUnits

IMPORTANCES: Dict[str, Type[Importance]] = {
    "pillars": Pillars,
    "random-in-group": RandomInGroup,
    "random": RandomUnits,
    "l1": ProjectionNorm,
    "gradient": GradientImportance,
    "gradient-iterative": IterativeGradientImportance,
    "l0": StochasticGates,
    "subset": DifferentiableSubset,
    "reconstruction": Reconstruction,
    "disagreement": Disagreement,
    "flap": Fluctuation,
    "fisher": FisherInformation,
}

# Ways that learn gates, with a learning rate.
LEARNED_GATES = tuple(name for name, kind in IMPORTANCES.items() if issubclass(kind, LearnedGates))

# Ways that rank the units of any layer, neurons too.
RANKS_UNITS = tuple(name for name, kind in IMPORTANCES.items() if kind.ranks_units)

# What --keep-heads takes: all of the above, and no removal.
KEEP_HEADS: Dict[str, Type[Importance]] = {**IMPORTANCES, "all": AllHeads}
