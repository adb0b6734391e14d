"""Options of the vote: one dataclass, whose fields are the flags of the same names."""

from dataclasses import dataclass, field
from typing import Optional

from fairseq.dataclass import ChoiceEnum

from fairseq_ghat.core.head_budget import BUDGETS
from fairseq_ghat.core.voting import VOTE_BY
from fairseq_ghat.pruning.importance.registry import KEEP_HEADS, RANKS_UNITS

REFITS = ("none", "bias", "output")


@dataclass
class VoteOptions:
    """How the heads that stay are chosen, for options of tasks to inherit."""

    vote_by: ChoiceEnum(VOTE_BY) = field(  # type: ignore[valid-type]
        default="count",
        metadata={"help": "decide by the number of votes, or experimentally by the sum of pattern scores"},
    )
    keep_heads: Optional[ChoiceEnum(list(KEEP_HEADS))] = field(  # type: ignore[valid-type]
        default=None,
        metadata={
            "help": "heads that stay: pillars, the winner of each group; by another way of choosing; or all of them; "
            "whatever is random follows --seed (default: pillars, with --budget or --max-error reconstruction)"
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
        metadata={
            "help": "experimental, with --vote-budget model, --budget or --max-error: an attention may lose all its "
            "heads, then its sublayer is gone"
        },
    )
    ffn_neurons: Optional[str] = field(
        default=None,
        metadata={
            "help": "neurons that stay in each feed-forward layer, a number or a share such as 0.5; with --keep-heads "
            "all nothing else is removed (default: all)"
        },
    )
    keep_neurons: ChoiceEnum([*RANKS_UNITS, "all"]) = field(  # type: ignore[valid-type]
        default="reconstruction",
        metadata={"help": "way of choosing the neurons that stay; all: --budget and --max-error are over heads alone"},
    )
    ffn_per_layer: bool = field(
        default=False,
        metadata={"help": "with --budget or --max-error: layers of a side may keep other numbers of neurons"},
    )
    budget: Optional[str] = field(
        default=None,
        metadata={
            "help": "share of the parameters or FLOPs of attention and feed-forward layers that stays, such as "
            "parameters=0.6, or of the time that translation takes, such as latency=0.7: heads and neurons go where "
            "that costs the outputs least (default: numbers are given)"
        },
    )
    latency_table: Optional[str] = field(
        default=None,
        metadata={"help": "with --budget latency=SHARE: the file that ghat-bench --latency-table wrote"},
    )
    max_error: Optional[float] = field(
        default=None,
        metadata={
            "help": "instead of numbers: each layer keeps the fewest heads or neurons whose output differs by no more "
            "than this share of its variance from that of all"
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
