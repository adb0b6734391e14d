"""Options of the vote, and the combinations that cannot work."""

from dataclasses import dataclass, field
from typing import Mapping, Optional

from fairseq.dataclass import ChoiceEnum
from omegaconf import II
from torch import nn

from fairseq_ghat.core.head_budget import HeadBudget
from fairseq_ghat.modules.feed_forward import feed_forwards
from fairseq_ghat.modules.grouped_attention import GroupedAttention
from fairseq_ghat.pruning.importance.base import way_of_heads
from fairseq_ghat.pruning.importance.registry import KEEP_HEADS, LEARNED_GATES
from fairseq_ghat.pruning.model_budget import check_model_budget, over_model, removes_neurons
from fairseq_ghat.pruning.neurons import neurons_to_keep
from fairseq_ghat.pruning.options import VoteOptions

CONSTRAIN_STAGES = ("1", "2", "both")


@dataclass
class VotingToStayConfig(VoteOptions):
    """When to vote, beside how, for dataclasses of tasks to inherit.

    The fields from max_epoch on are not flags of ours: fairseq fills them from its own flags.
    """

    vote_epoch: Optional[int] = field(
        default=None,
        metadata={
            "help": "vote at the beginning of this epoch: the epochs before it train with the group constraint, "
            "this and later ones fine-tune the heads that stay (default: never); with --vote-tolerance, the "
            "earliest epoch to vote at"
        },
    )
    vote_tolerance: Optional[float] = field(
        default=None,
        metadata={
            "help": "experimental: vote once the hidden units have converged: when the normalised Gram matrices of no "
            "layer changed by more than this, relatively, from one epoch to the next (default: see --vote-epoch)"
        },
    )
    constrain_stage: ChoiceEnum(CONSTRAIN_STAGES) = field(
        default="1",
        metadata={"help": "apply the group constraint before the vote (1), or experimentally after it (2) or in both"},
    )
    max_epoch: int = II("optimization.max_epoch")
    train_subset: str = II("dataset.train_subset")
    max_tokens: Optional[int] = II("dataset.max_tokens")
    batch_size: Optional[int] = II("dataset.batch_size")
    required_batch_size_multiple: int = II("dataset.required_batch_size_multiple")
    num_workers: int = II("dataset.num_workers")
    save_dir: str = II("checkpoint.save_dir")
    no_save: bool = II("checkpoint.no_save")
    log_format: Optional[str] = II("common.log_format")
    log_interval: int = II("common.log_interval")
    no_progress_bar: bool = II("common.no_progress_bar")
    seed: int = II("common.seed")
    store_ema: bool = II("ema.store_ema")
    ema_fp32: bool = II("ema.ema_fp32")
    ema_seed_model: Optional[str] = II("ema.ema_seed_model")
    ddp_backend: str = II("distributed_training.ddp_backend")
    ddp_comm_hook: str = II("distributed_training.ddp_comm_hook")
    zero_sharding: str = II("distributed_training.zero_sharding")
    use_bmuf: bool = II("optimization.use_bmuf")
    quantization_config_path: Optional[str] = II("common.quantization_config_path")


def votes(cfg: VotingToStayConfig) -> bool:
    """Whether a vote is planned."""
    return cfg.vote_epoch is not None or cfg.vote_tolerance is not None


def choice_by_gradients(cfg: VotingToStayConfig) -> Optional[str]:
    """The flag, with its value, by which a vote that is planned takes gradients of the task's loss; None without."""
    choices = [("--keep-heads", way_of_heads(cfg))] if votes(cfg) else []
    if votes(cfg) and removes_neurons(cfg):
        choices.append(("--keep-neurons", str(cfg.keep_neurons)))
    return next((f"{flag} {way}" for flag, way in choices if KEEP_HEADS[way].uses_loss), None)


def check_schedule(cfg: VotingToStayConfig) -> None:
    """Refuses what cannot work, before anything is built.

    Raises:
        ValueError: names the flag, the value found and what is allowed.
    """
    last = cfg.max_epoch if isinstance(cfg.max_epoch, int) and cfg.max_epoch > 0 else None
    if cfg.vote_epoch is not None and (cfg.vote_epoch < 1 or (last is not None and cfg.vote_epoch > last)):
        allowed = f"1 to --max-epoch {last}" if last else "1 or later"
        raise ValueError(f"--vote-epoch {cfg.vote_epoch}: allowed is {allowed}")
    if cfg.vote_tolerance is not None:
        if not 0 < cfg.vote_tolerance < float("inf"):
            raise ValueError(f"--vote-tolerance {cfg.vote_tolerance}: allowed is a number > 0")
        if last is not None and last < 3:
            raise ValueError(
                f"--vote-tolerance {cfg.vote_tolerance}: two epochs must be compared first, so the earliest vote is at "
                f"the beginning of epoch 3; allowed is --max-epoch 3 or more, found {last}"
            )
    if not votes(cfg):
        for flag, value, default in (
            ("--keep-heads", cfg.keep_heads, None),
            ("--vote-by", str(cfg.vote_by), "count"),
            ("--refit", str(cfg.refit), "output"),
            ("--keep-neurons", str(cfg.keep_neurons), "reconstruction"),
            ("--constrain-stage", str(cfg.constrain_stage), "1"),
            ("--vote-heads", cfg.vote_heads, None),
            ("--vote-budget", str(cfg.vote_budget), "layer"),
            ("--ffn-neurons", cfg.ffn_neurons, None),
            ("--budget", cfg.budget, None),
            ("--max-error", cfg.max_error, None),
            ("--latency-table", cfg.latency_table, None),
            ("--select-batches", cfg.select_batches, None),
            ("--gate-lr", cfg.gate_lr, None),
        ):
            if value != default:
                raise ValueError(
                    f"{flag} {value}: allowed only with --vote-epoch or --vote-tolerance, there is no vote"
                )
    check_vote_options(cfg)
    if cfg.ddp_backend == "fully_sharded":
        raise ValueError(
            "--ddp-backend fully_sharded: not with grouped attention, whose heads lie across the shards of a weight; "
            "allowed is pytorch_ddp (c10d), legacy_ddp (no_c10d) or slowmo"
        )
    if not votes(cfg):
        return
    later = "vote after training with ghat-vote"
    if cfg.store_ema and cfg.ema_fp32:
        raise ValueError(
            "--ema-fp32: not with a vote, which cannot reach the float32 copy of the shadow model to remove heads; "
            f"leave it out, or {later}"
        )
    if cfg.ddp_backend == "slowmo":
        raise ValueError(
            "--ddp-backend slowmo: not with a vote, which removes parameters that SlowMo keeps copies of; allowed is "
            f"pytorch_ddp (c10d) or legacy_ddp (no_c10d), or {later}"
        )
    if cfg.quantization_config_path is not None:
        raise ValueError(
            f"--quantization-config-path {cfg.quantization_config_path}: not with a vote, which cannot remove heads "
            "from weights that are quantized; vote first, then quantize with --finetune-from-model"
        )
    for flag, used in (("--use-bmuf", cfg.use_bmuf), ("--zero-sharding os", cfg.zero_sharding == "os")):
        if used:
            raise ValueError(f"{flag}: not with a vote, which cannot cut what it keeps of the parameters; {later}")


def check_vote_options(cfg: VotingToStayConfig) -> None:
    """Refuses options of choosing that are out of range or do not go together.

    Raises:
        ValueError: names the flag, the value found and what is allowed.
    """
    keep, over = way_of_heads(cfg), str(cfg.vote_budget)
    for flag, value, allowed in (
        ("--select-batches", cfg.select_batches, "1 or more"),
        ("--gate-lr", cfg.gate_lr, "a number > 0"),
    ):
        if value is not None and not value > 0:
            raise ValueError(f"{flag} {value}: allowed is {allowed}")
    if cfg.gate_lr is not None and keep not in LEARNED_GATES:
        raise ValueError(f"--gate-lr {cfg.gate_lr}: allowed only with --keep-heads {' or '.join(LEARNED_GATES)}")
    if keep == "all" and cfg.vote_heads is not None:
        raise ValueError(f"--vote-heads {cfg.vote_heads}: not with --keep-heads all, which keeps every head")
    if keep != "pillars" and str(cfg.vote_by) != "count":
        raise ValueError(f"--vote-by {cfg.vote_by}: not with --keep-heads {keep}, which counts no votes")
    check_model_budget(cfg)
    if not removes_neurons(cfg) and not over_model(cfg) and str(cfg.keep_neurons) != "reconstruction":
        raise ValueError(
            f"--keep-neurons {cfg.keep_neurons}: allowed only with --ffn-neurons, --budget or --max-error, no neuron "
            "goes"
        )
    if cfg.remove_sublayers and over != "model" and not over_model(cfg):
        raise ValueError("--remove-sublayers: allowed only with --vote-budget model, --budget or --max-error")
    if over == "model" and (keep == "all" or KEEP_HEADS[keep].one_per_group):
        raise ValueError(
            f"--vote-budget model: not with --keep-heads {keep}, which keeps the same number in every attention"
        )


def check_removable(cfg: VotingToStayConfig, attentions: Mapping[str, GroupedAttention], groups: int) -> None:
    """Refuses a vote that could remove no head, or none of some layer.

    Args:
        cfg: options of the task.
        attentions: attention layers of the model, by name.
        groups: C.

    Raises:
        ValueError: names the flag, the value found and what is allowed.
    """
    keep = way_of_heads(cfg)
    if not votes(cfg) or keep == "all":
        return
    if over_model(cfg):
        if str(cfg.constrain_stage) != "1":
            raise ValueError(
                f"--constrain-stage {cfg.constrain_stage}: allowed is 1 with --budget or --max-error, which may leave "
                "an attention fewer heads than groups"
            )
        return
    sizes = [layer.num_heads for layer in attentions.values()]
    if KEEP_HEADS[keep].one_per_group:
        if groups >= min(sizes):
            raise ValueError(
                f"--head-groups {groups} with a vote: one head stays in each group, "
                f"so a vote removes none of {min(sizes)} heads; allowed is 1 to {min(sizes) - 1}"
            )
        if cfg.vote_heads not in (None, groups):
            raise ValueError(
                f"--vote-heads {cfg.vote_heads}: --keep-heads {keep} keeps one head of each group; allowed is "
                f"{groups}, the --head-groups"
            )
        return
    heads = groups if cfg.vote_heads is None else cfg.vote_heads
    if str(cfg.constrain_stage) != "1" and (str(cfg.vote_budget) == "model" or heads < groups):
        raise ValueError(
            f"--constrain-stage {cfg.constrain_stage}: the heads that stay must still form --head-groups {groups} "
            f"groups; allowed is 1, or --vote-heads {groups} or more in every attention"
        )
    try:
        HeadBudget(heads, str(cfg.vote_budget), cfg.remove_sublayers).check(sizes)
    except ValueError as error:
        raise ValueError(f"--vote-heads {heads}: {error}") from None


def check_neurons(cfg: VotingToStayConfig, model: nn.Module) -> None:
    """Refuses a vote that could remove no neuron of some feed-forward layer, though it is asked to.

    Args:
        cfg: options of the task.
        model: that was not voted on yet.

    Raises:
        ValueError: names the flag, the value found and what is allowed.
    """
    if not removes_neurons(cfg):
        return
    for layer in feed_forwards(model).values():
        if getattr(layer.holder, "ffn_layernorm", None) is not None:
            raise ValueError("--scale-fc: no neurons can be removed, since its layer norm is over all of them")
        if cfg.ffn_neurons is not None:
            neurons_to_keep(cfg.ffn_neurons, layer.units)


def is_due(cfg: VotingToStayConfig, epoch: int, change: Optional[float]) -> bool:
    """Whether to vote at the beginning of this epoch.

    Args:
        cfg: options of the task.
        epoch: that begins, 1-based.
        change: relative change of the hidden units over the last two epochs; None if not known yet.
    """
    if not votes(cfg) or epoch < (cfg.vote_epoch or 1):
        return False
    return cfg.vote_tolerance is None or (change is not None and change < cfg.vote_tolerance)
