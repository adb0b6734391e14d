"""Best validation score and patience, which fairseq keeps as attributes of its functions and in a scheduler."""

import gc
import logging
import sys
from pathlib import Path
from typing import Any, Dict, Iterator

import torch
from fairseq import checkpoint_utils
from torch.optim.lr_scheduler import ReduceLROnPlateau

logger = logging.getLogger(__name__)

_PATIENCE = ("best", "num_runs")


def restart_best_score() -> None:
    """Forgets best score and patience, which compare with the unpruned model (facebookresearch/fairseq#1302)."""
    if hasattr(checkpoint_utils.save_checkpoint, "best"):
        del checkpoint_utils.save_checkpoint.best
    for function in _early_stopping():
        for attribute in _PATIENCE:
            if hasattr(function, attribute):
                delattr(function, attribute)


def restart_plateau(optimizer: Any) -> None:
    """Lets --lr-scheduler reduce_lr_on_plateau forget its best loss too; it would lower the rate epoch by epoch.

    fairseq hands a task no scheduler, so that of the optimizer, one of fairseq's, is looked for among all objects.
    """
    for scheduler in gc.get_objects():
        if type(scheduler) is ReduceLROnPlateau and scheduler.optimizer is optimizer.optimizer:
            scheduler._reset()


def patience_state() -> Dict[str, float]:
    """Patience so far, for a checkpoint: fairseq itself counts anew after a restart."""
    for function in _early_stopping():
        return {name: getattr(function, name) for name in _PATIENCE if hasattr(function, name)}
    return {}


def restore_patience(state: Dict[str, float]) -> None:
    """Patience as patience_state gave it."""
    for function in _early_stopping():
        for name in _PATIENCE:
            if name in state:
                setattr(function, name, state[name])


def _early_stopping() -> Iterator:
    """fairseq-train's should_stop_early, wherever it was started from."""
    for module in ("fairseq_cli.train", "__main__"):
        function = getattr(sys.modules.get(module), "should_stop_early", None)
        if function is not None:
            yield function


def set_aside_best_checkpoints(save_dir: str) -> None:
    """Renames the best checkpoints of the unpruned model to before_vote.*, where they neither compete with
    later ones under --keep-best-checkpoints nor are overwritten; to before_vote.2.* where a vote has done so before."""
    if torch.distributed.is_initialized() and torch.distributed.get_rank() != 0:
        return
    for pattern in ("checkpoint_best*.pt", "checkpoint.best_*.pt"):
        for path in Path(save_dir).glob(pattern):
            aside, number = path.with_name(f"before_vote.{path.name}"), 1
            while aside.exists():
                number += 1
                aside = path.with_name(f"before_vote.{number}.{path.name}")
            path.rename(aside)
            logger.info("vote: %s is now %s", path, aside.name)
