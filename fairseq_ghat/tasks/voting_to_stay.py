"""Voting-to-Stay in a fairseq task: when to vote, what restarts afterwards, what the log says."""

import logging
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

import torch
from fairseq import checkpoint_utils, utils
from fairseq.logging import progress_bar
from omegaconf import II

from fairseq_ghat.modules.grouped_attention import grouped_attentions
from fairseq_ghat.pruning.head_masks import heads_per_layer, is_voted
from fairseq_ghat.pruning.voting_pass import vote

logger = logging.getLogger(__name__)


@dataclass
class VotingToStayConfig:
    """Options of the vote, for dataclasses of tasks to inherit.

    The fields after the first are not flags of ours: fairseq fills them from its own flags.
    """

    vote_epoch: Optional[int] = field(
        default=None,
        metadata={
            "help": "vote at the beginning of this epoch: the epochs before it train with the group constraint, "
            "this and later ones fine-tune the heads that stay (default: never)"
        },
    )
    max_epoch: int = II("optimization.max_epoch")
    max_tokens: Optional[int] = II("dataset.max_tokens")
    batch_size: Optional[int] = II("dataset.batch_size")
    required_batch_size_multiple: int = II("dataset.required_batch_size_multiple")
    num_workers: int = II("dataset.num_workers")
    save_dir: str = II("checkpoint.save_dir")
    log_format: Optional[str] = II("common.log_format")
    log_interval: int = II("common.log_interval")
    no_progress_bar: bool = II("common.no_progress_bar")


class VotingToStayMixin:
    """Adds the vote to a fairseq task through its epoch hooks; the model's head masks are the only state."""

    @classmethod
    def setup_task(cls, cfg, **kwargs):
        """As fairseq's.

        Raises:
            ValueError: if --vote-epoch is below 1 or beyond --max-epoch.
        """
        check_vote_epoch(cfg)
        return super().setup_task(cfg, **kwargs)

    def build_model(self, cfg, from_checkpoint=False):
        """As fairseq's.

        Raises:
            ValueError: if the arch has no grouped attention, or a vote could remove no head.
        """
        model = super().build_model(cfg, from_checkpoint)
        attentions = grouped_attentions(model)
        if not attentions:
            arch = getattr(cfg, "arch", None) or getattr(cfg, "_name", type(model).__name__)
            raise ValueError(
                f"--arch {arch} has no grouped attention, which --task {type(self).__name__} needs: "
                "use one that starts with ghat_transformer"
            )
        groups = next(iter(attentions.values())).grouping.groups
        fewest = min(attention.num_heads for attention in attentions.values())
        if self.cfg.vote_epoch is not None and groups >= fewest:
            raise ValueError(
                f"--vote-epoch {self.cfg.vote_epoch} with --head-groups {groups}: one head stays in each group, "
                f"so a vote removes none of {fewest} heads; allowed is --head-groups 1 to {fewest - 1}"
            )
        return model

    def begin_epoch(self, epoch, model):
        """fairseq calls this before every epoch; votes when it is time."""
        super().begin_epoch(epoch, model)
        if self.cfg.vote_epoch is None or epoch < self.cfg.vote_epoch or is_voted(model):
            return
        logger.info("vote: begins before epoch %d, model frozen", epoch)
        device = next(model.parameters()).device
        vote(
            model,
            self._voting_batches(epoch, model),
            self.target_dictionary.pad(),
            utils.move_to_cuda if device.type == "cuda" else lambda sample: sample,
        )
        restart_best_score()
        set_aside_best_checkpoints(self.cfg.save_dir)
        logger.info("vote: done; constraint off, best score and patience restarted; %s", _stage(model))

    def _voting_batches(self, epoch, model):
        """The training set once, in the batches of training, behind a progress bar."""
        cfg = self.cfg
        iterator = self.get_batch_iterator(
            dataset=self.dataset(cfg.train_subset),
            max_tokens=cfg.max_tokens,
            max_sentences=cfg.batch_size,
            max_positions=utils.resolve_max_positions(self.max_positions(), model.max_positions(), cfg.max_tokens),
            ignore_invalid_inputs=True,
            required_batch_size_multiple=cfg.required_batch_size_multiple,
            num_workers=cfg.num_workers,
            epoch=epoch,
            # The iterator of the trainer must not be touched: its position is part of the checkpoint.
            disable_iterator_cache=True,
        ).next_epoch_itr(shuffle=False)
        progress = progress_bar.progress_bar(
            iterator,
            log_format=cfg.log_format,
            log_interval=cfg.log_interval,
            epoch=epoch,
            prefix="vote",
            default_log_format="simple" if cfg.no_progress_bar else "tqdm",
        )
        for seen, batch in enumerate(progress, start=1):
            yield batch
            progress.log({"batches": seen}, tag="vote", step=seen)

    def post_validate(self, model, stats, agg):
        """fairseq calls this with the validation statistics; adds the stage and the heads to the log line."""
        if hasattr(super(), "post_validate"):
            super().post_validate(model, stats, agg)
        stats["stage"] = "voted" if is_voted(model) else "grouped"
        stats["heads"] = ",".join(str(count) for count in heads_per_layer(model).values())


def check_vote_epoch(cfg) -> None:
    """Raises ValueError unless --vote-epoch is unset or from 1 to --max-epoch (0 = no limit)."""
    if cfg.vote_epoch is None:
        return
    last = cfg.max_epoch if isinstance(cfg.max_epoch, int) and cfg.max_epoch > 0 else None
    if cfg.vote_epoch < 1 or (last is not None and cfg.vote_epoch > last):
        allowed = f"1 to --max-epoch {last}" if last else "1 or later"
        raise ValueError(f"--vote-epoch {cfg.vote_epoch}: allowed is {allowed}")


def restart_best_score() -> None:
    """Forgets fairseq's best validation score and patience, which compare with the unpruned model.

    fairseq keeps both as attributes of the functions that use them (facebookresearch/fairseq#1302).
    """
    if hasattr(checkpoint_utils.save_checkpoint, "best"):
        del checkpoint_utils.save_checkpoint.best
    for module in ("fairseq_cli.train", "__main__"):
        should_stop_early = getattr(sys.modules.get(module), "should_stop_early", None)
        for attribute in ("best", "num_runs"):
            if hasattr(should_stop_early, attribute):
                delattr(should_stop_early, attribute)


def set_aside_best_checkpoints(save_dir: str) -> None:
    """Renames the best checkpoints of the unpruned model to before_vote.*, where they neither compete with
    later ones under --keep-best-checkpoints nor are overwritten."""
    if torch.distributed.is_initialized() and torch.distributed.get_rank() != 0:
        return
    for pattern in ("checkpoint_best*.pt", "checkpoint.best_*.pt"):
        for path in Path(save_dir).glob(pattern):
            path.replace(path.with_name(f"before_vote.{path.name}"))
            logger.info("vote: %s is now before_vote.%s", path, path.name)


def _stage(model) -> str:
    return "heads per attention: " + ", ".join(f"{name} {count}" for name, count in heads_per_layer(model).items())
