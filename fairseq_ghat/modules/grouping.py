"""How the heads of a model are grouped, and the options that all grouped models share for it."""

from argparse import ArgumentParser, Namespace
from dataclasses import dataclass
from typing import Any

from fairseq_ghat.core.hidden_units import DISTANCES, check_groups

FEATURES = ("value", "attention", "output")


@dataclass(frozen=True)
class Grouping:
    """How the heads of a model are grouped.

    Attributes:
        groups: C, the number of groups in each attention layer.
        feature: the feature map in use, one of FEATURES.
        distance: of K-means, one of DISTANCES.
    """

    groups: int
    feature: str = "value"
    distance: str = "euclidean"

    @classmethod
    def from_options(cls, options: Any) -> "Grouping":
        """From the options of a model, which hold head_groups, group_feature and group_distance."""
        return cls(options.head_groups, options.group_feature, options.group_distance)


def add_grouping_args(parser: ArgumentParser) -> None:
    """Declares the options of grouping; argparse checks the choices and names the flag."""
    add = parser.add_argument
    add("--head-groups", type=int, metavar="C", help="groups of heads in each attention layer (default: 2)")
    feature_help = "feature map that is grouped: value, attention or output (default: value)"
    add("--group-feature", choices=FEATURES, help=feature_help)
    distance_help = "distance of the K-means that finds the groups; cosine is experimental (default: euclidean)"
    add("--group-distance", choices=DISTANCES, help=distance_help)


def set_defaults(args: Namespace, **defaults: Any) -> None:
    """Fills in options that were not given."""
    for name, value in defaults.items():
        setattr(args, name, getattr(args, name, value))


def set_grouping_defaults(args: Namespace) -> None:
    """Fills in the options of grouping that were not given."""
    set_defaults(args, head_groups=2, group_feature="value", group_distance="euclidean")


def check_grouping_args(args: Namespace) -> None:
    """Refuses options of grouping that a model cannot have.

    Raises:
        ValueError: names the flag, the value and what is allowed.
    """
    for side in ("encoder", "decoder"):
        heads = getattr(args, f"{side}_attention_heads", None)
        if heads is None:  # language models have no encoder
            continue
        try:
            check_groups(args.head_groups, heads)
        except ValueError:
            raise ValueError(
                f"--head-groups {args.head_groups}: allowed is 1 to {heads}, the --{side}-attention-heads"
            ) from None
    for name, allowed in (("feature", FEATURES), ("distance", DISTANCES)):
        value = getattr(args, f"group_{name}")
        if value not in allowed:
            raise ValueError(f"--group-{name} {value}: allowed is one of {', '.join(allowed)}")
