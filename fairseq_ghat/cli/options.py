"""`ghat-options CHECKPOINT`: options of fairseq-train with which to train the model of a checkpoint on, grouped."""

import argparse
import shlex
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any, List, Mapping

from fairseq.models import ARCH_CONFIG_REGISTRY, ARCH_MODEL_REGISTRY

from fairseq_ghat.checkpoints.files import CheckpointError, read_checkpoint
from fairseq_ghat.checkpoints.model_options import model_options
from fairseq_ghat.checkpoints.stock_conversion import NotGroupable, as_grouped_checkpoint


def training_options(state: Mapping[str, Any]) -> List[str]:
    """Words of the command line.

    Raises:
        NotGroupable: if the checkpoint holds another model.
    """
    found = vars(model_options(as_grouped_checkpoint(state)))
    defaults, flags = Namespace(), argparse.ArgumentParser(add_help=False, conflict_handler="resolve")
    ARCH_CONFIG_REGISTRY[found["arch"]](defaults)
    ARCH_MODEL_REGISTRY[found["arch"]].add_args(flags)
    words = ["--arch", found["arch"]]
    # The flags, not the arch's defaults: positions have a flag and no default there, other options follow from others.
    for name, default in {**vars(flags.parse_args([])), **vars(defaults)}.items():
        value = found.get(name, default)
        if value == default or value is None or f"--{name.replace('_', '-')}" not in flags._option_string_actions:
            continue
        words.append(f"--{name.replace('_', '-')}")
        if value is not True:
            words.append(str(value))
    return words


def main(argv=None) -> int:
    command = argparse.ArgumentParser(prog="ghat-options", description=__doc__.split("`: ")[1])
    command.add_argument(
        "checkpoint", metavar="CHECKPOINT", type=Path, help="of fairseq's transformer or language model, or of ours"
    )
    args = command.parse_args(argv)
    try:
        print(shlex.join(training_options(read_checkpoint(args.checkpoint))))
    except (CheckpointError, NotGroupable) as error:
        command.error(f"CHECKPOINT {args.checkpoint}: {error}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
