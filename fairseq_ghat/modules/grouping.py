"""Options of grouping that all grouped models share."""

from fairseq_ghat.core.hidden_units import DISTANCES, check_groups
from fairseq_ghat.modules.feature_collectors import FEATURES


def add_grouping_args(parser) -> None:
    """Declares the options of grouping; argparse checks the choices and names the flag."""
    parser.add_argument(
        "--head-groups", type=int, metavar="C", help="groups of heads in each attention layer (default: 2)"
    )
    parser.add_argument(
        "--group-feature",
        choices=FEATURES,
        help="feature map that is grouped: value, attention or output (default: value)",
    )
    parser.add_argument(
        "--group-distance",
        choices=DISTANCES,
        help="distance of the K-means that finds the groups (default: euclidean)",
    )


def set_grouping_defaults(args) -> None:
    """Fills in the options of grouping that were not given."""
    args.head_groups = getattr(args, "head_groups", 2)
    args.group_feature = getattr(args, "group_feature", "value")
    args.group_distance = getattr(args, "group_distance", "euclidean")


def check_grouping_args(args) -> None:
    """Raises ValueError naming the flag, the value found and what is allowed."""
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
    for flag, value, allowed in (
        ("--group-feature", args.group_feature, FEATURES),
        ("--group-distance", args.group_distance, DISTANCES),
    ):
        if value not in allowed:
            raise ValueError(f"{flag} {value}: allowed is one of {', '.join(allowed)}")
