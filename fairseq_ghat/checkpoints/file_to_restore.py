"""Which checkpoint fairseq-train will load: fairseq itself is asked, before it builds the model."""

import logging
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from fairseq import checkpoint_utils
from fairseq.dataclass.configs import CheckpointConfig
from fairseq.file_io import PathManager

from fairseq_ghat.checkpoints.files import CheckpointError


@dataclass
class FileToRestore:
    """A checkpoint that fairseq-train will load.

    Attributes:
        path: as fairseq names it.
        keeps_best: whether the best score and patience go on, rather than starting afresh.
        keeps_position: whether the run goes on at the batch where the checkpoint was saved.
    """

    path: str
    keeps_best: bool
    keeps_position: bool


class _Asked(Exception):
    """Ends fairseq's function once it has said which file it wants."""

    def __init__(self, file: FileToRestore):
        super().__init__()
        self.file = file


class _ListeningTrainer:
    """Stands for the trainer of fairseq's load_checkpoint, which hands it the file to load."""

    def __init__(self, cfg: CheckpointConfig):
        self.cfg = cfg
        self.checkpoint_suffix = cfg.checkpoint_suffix or ""  # as the trainer's, without FSDP

    def load_checkpoint(self, filename: str, reset_optimizer: bool, *args: Any, reset_meters: bool, **kwargs: Any):
        starts_afresh = self.cfg.reset_dataloader or filename == self.cfg.finetune_from_model
        raise _Asked(FileToRestore(filename, not (reset_optimizer or reset_meters), not starts_afresh))


def file_to_restore(args: Namespace) -> Optional[FileToRestore]:
    """The file fairseq-train will load by its own rules, given the flat command line, or None.

    Raises:
        CheckpointError: if a file that was named does not exist; names the flag.
        ValueError: fairseq's own, for options that do not go together.
    """
    if getattr(args, "save_dir", None) is None or getattr(args, "restore_file", None) is None:
        return None
    cfg = CheckpointConfig.from_namespace(args)
    file = _ask_fairseq(cfg)
    if PathManager.isfile(file.path):
        return file
    if cfg.restore_file != CheckpointConfig.restore_file:
        aside = Path(file.path).with_name(f"before_vote.{Path(file.path).name}")
        hint = f"; the vote of this run set it aside: give {aside}" if aside.is_file() else ""
        raise CheckpointError(f"--restore-file {file.path}: no such file{hint}")
    if file.path == getattr(cfg, "continue_once", None):
        raise CheckpointError(f"--continue-once {file.path}: no such file")
    return None


def _ask_fairseq(cfg: CheckpointConfig) -> FileToRestore:
    fairseq_logger = logging.getLogger(checkpoint_utils.__name__)
    fairseq_logger.disabled = True  # it will say the same when it loads the file
    try:
        checkpoint_utils.load_checkpoint(cfg, _ListeningTrainer(cfg))
    except _Asked as asked:
        return asked.file
    except ValueError as error:
        if "does not exist" in str(error):
            raise CheckpointError(f"--finetune-from-model {cfg.finetune_from_model}: no such file") from error
        raise
    finally:
        fairseq_logger.disabled = False
    raise AssertionError("fairseq's load_checkpoint did not ask its trainer to load a file")
