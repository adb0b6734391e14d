"""`ghat-options`: options of fairseq-train, those to train a checkpoint's model on, grouped, or all that are ours."""

import argparse
import shlex
from argparse import Namespace
from pathlib import Path
from typing import Any, List, Mapping

from fairseq.models import ARCH_CONFIG_REGISTRY, ARCH_MODEL_REGISTRY

from fairseq_ghat.checkpoints.files import CheckpointError, read_checkpoint
from fairseq_ghat.checkpoints.model_options import NotGroupable, model_options
from fairseq_ghat.checkpoints.stock_conversion import as_grouped_checkpoint
from fairseq_ghat.cli.option_list import as_markdown, as_text


def training_options(state: Mapping[str, Any]) -> List[str]:
    """Words of fairseq-train's command line that build the model of a checkpoint, grouped, without default options.

    Raises:
        NotGroupable: if it holds another model than a grouped one or fairseq's own transformer or language model.
    """
    options = vars(model_options(as_grouped_checkpoint(state)))
    defaults, parser = Namespace(), argparse.ArgumentParser(add_help=False, conflict_handler="resolve")
    ARCH_CONFIG_REGISTRY[options["arch"]](defaults)
    ARCH_MODEL_REGISTRY[options["arch"]].add_args(parser)
    words = ["--arch", options["arch"]]
    # The flags, not the arch's defaults: positions have a flag and no default there, other options follow from others.
    for name, default in {**vars(parser.parse_args([])), **vars(defaults)}.items():
        value, flag = options.get(name, default), f"--{name.replace('_', '-')}"
        if value == default or value is None or flag not in parser._option_string_actions:
            continue
        words += [flag] if value is True else [flag, str(value)]
    return words


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(prog="ghat-options", description=__doc__.split("`: ")[1])
    of_models = "of fairseq's transformer or language model, or of ours"
    parser.add_argument("checkpoint", metavar="CHECKPOINT", type=Path, nargs="?", help=of_models)
    parser.add_argument("--list", action="store_true", help="instead: all options that this package adds")
    parser.add_argument("--markdown", action="store_true", help="with --list: as a page, which is docs/options.md")
    args = parser.parse_args(argv)
    if args.list == (args.checkpoint is not None):
        parser.error("give CHECKPOINT or --list" + ", not both" * args.list)
    if args.markdown and not args.list:
        parser.error("--markdown: only with --list")
    if args.list:
        print(as_markdown() if args.markdown else as_text(), end="")
        return 0
    try:
        print(shlex.join(training_options(read_checkpoint(args.checkpoint))))
    except (CheckpointError, NotGroupable) as error:
        parser.error(f"CHECKPOINT {args.checkpoint}: {error}")
    return 0
