"""Options of the vote: one dataclass, whose fields are the flags of the same names."""

from dataclasses import dataclass, field
from typing import Optional

from fairseq.dataclass import ChoiceEnum

from fairseq_ghat.core.head_budget import BUDGETS
from fairseq_ghat.core.voting import VOTE_BY
from fairseq_ghat.pruning.importance.registry import KEEP_HEADS

REFITS = ("none", "bias", "output")


@dataclass
class VoteOptions:
    """How the heads that stay are chosen, for options of tasks to inherit."""

    vote_by: ChoiceEnum(VOTE_BY) = field(  # type: ignore[valid-type]
        default="count", metadata={"help": "decide by the number of votes, or by the sum of pattern scores"}
    )
    keep_heads: ChoiceEnum(list(KEEP_HEADS)) = field(  # type: ignore[valid-type]
        default="pillars",
        metadata={
            "help": "heads that stay: pillars, the winner of each group; by another way of choosing; or all of them; "
            "whatever is random follows --seed"
        },
    )
    vote_heads: Optional[int] = field(
        default=None,
        metadata={"help": "heads that stay in each attention (default: as many as --head-groups)"},
    )
    vote_budget: ChoiceEnum(BUDGETS) = field(  # type: ignore[valid-type]
        default="layer",
        metadata={
            "help": "layer: so many heads stay in every attention; model: so many on average, wherever they are worth "
            "most, and at least one in each"
        },
    )
    remove_sublayers: bool = field(
        default=False,
        metadata={"help": "with --vote-budget model: an attention may lose all its heads, then its sublayer is gone"},
    )
    ffn_neurons: Optional[str] = field(
        default=None,
        metadata={
            "help": "neurons that stay in each feed-forward layer, a number or a share such as 0.5; with --keep-heads "
            "all nothing else is removed (default: all)"
        },
    )
    select_batches: Optional[int] = field(
        default=None,
        metadata={
            "help": "batches that the vote looks at, chosen at random; for learned gates (l0, subset) their updates "
            "(default: all of the training set once)"
        },
    )
    gate_lr: Optional[float] = field(
        default=None, metadata={"help": "learning rate of learned gates (default: 0.1 for l0, 0.2 for subset)"}
    )
    refit: ChoiceEnum(REFITS) = field(  # type: ignore[valid-type]
        default="output",
        metadata={
            "help": "output: at the vote, fit the projection behind what stays by least squares, so "
            "that it reproduces the output of all of them; bias: its bias takes the mean of what is removed; none: the "
            "paper's plain removal"
        },
    )
    seed: int = 1
