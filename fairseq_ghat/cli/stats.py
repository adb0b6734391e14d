"""`ghat-stats CHECKPOINT...`: heads, parameters, FLOPs and file size of models, pruned or not."""

import argparse
import json
import logging
import os
import sys
from typing import Any, Dict

from fairseq_ghat.checkpoints.files import CheckpointError, read_checkpoint
from fairseq_ghat.checkpoints.stock_conversion import NotGroupable
from fairseq_ghat.cli.console import markdown_table, quiet_libraries
from fairseq_ghat.modules.grouped_attention import heads_per_layer
from fairseq_ghat.profiling.parameters import attention_weights, describe_heads, non_embedding_parameters
from fairseq_ghat.profiling.without_data import build_arch, build_from_checkpoint


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(prog="ghat-stats", description=__doc__.split("`: ")[1])
    found.add_argument(
        "checkpoints", metavar="CHECKPOINT", nargs="*", help="of fairseq's transformer or language model, or of ours"
    )
    found.add_argument("--arch", help="a model without a checkpoint: one of our archs")
    found.add_argument("--vocab", type=int, metavar="N", help="of --arch: types on each side, special ones included")
    found.add_argument("--keep", type=int, metavar="C", help="of --arch: heads that stay in each attention layer")
    found.add_argument("--length", type=int, default=30, metavar="N", help="tokens a side for FLOPs (default: 30)")
    found.add_argument("--json", action="store_true", help="print the figures as JSON instead of a table")
    return found


def main(argv=None) -> int:
    command = parser()
    args = command.parse_args(argv)
    quiet_libraries(logging.WARNING, sys.stderr)
    if bool(args.checkpoints) == bool(args.arch):
        command.error("give either CHECKPOINT... or --arch")
    if bool(args.arch) != (args.vocab is not None) or (args.keep is not None and not args.arch):
        command.error("--arch needs --vocab; --vocab and --keep are for --arch")
    if args.length < 1:
        command.error(f"--length {args.length}: allowed is 1 or more")
    if args.keep is not None and args.keep < 1:
        command.error(f"--keep {args.keep}: allowed is 1 or more")
    try:
        import fvcore  # noqa: F401  only this command needs it
    except ImportError:
        command.error("FLOPs are counted by fvcore, which is not installed: pip install fvcore")
    try:
        if args.arch:
            kept = "all heads" if args.keep is None else f"{args.keep} heads"
            found = {f"{args.arch}, {kept}": stats(build_arch(args.arch, args.vocab, args.keep or 0), args.length)}
        else:
            states = {path: read_checkpoint(path) for path in args.checkpoints}
            found = {path: _of_checkpoint(path, state, args.length) for path, state in states.items()}
    except (CheckpointError, NotGroupable, ValueError) as error:
        command.error(str(error))
    print(json.dumps(found, indent=1) if args.json else _table(found, args.length))
    return 0


def _of_checkpoint(path: str, state: Dict[str, Any], length: int) -> Dict[str, Any]:
    try:
        model = build_from_checkpoint(state)
    except NotGroupable as error:
        raise NotGroupable(f"CHECKPOINT {path}: {error}") from error
    return {**stats(model, length), "file_bytes": os.path.getsize(path)}


def stats(model, length: int) -> Dict[str, Any]:
    """Heads of each attention layer, parameters (all that differ, without embeddings, attention weights), FLOPs.

    Parameters are those held, masked heads included; FLOPs are those of the heads that are computed.
    """
    from fairseq_ghat.profiling.flops import count_flops

    weights = model.state_dict()
    flops = count_flops(model, length)
    return {
        "heads": heads_per_layer(model),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "parameters_without_embeddings": non_embedding_parameters(weights),
        "attention_weights": attention_weights(weights),
        "flops": flops.total,
        "flops_without_output_layer": flops.without_output_layer,
    }


def _table(found: Dict[str, Dict[str, Any]], length: int) -> str:
    titles = ["model", "attentions x heads", "parameters", "without embeddings", "attention weights"]
    titles += [f"FLOPs at length {length}", "without output layer", "file, MB"]
    rows = [
        [
            name,
            describe_heads(figures["heads"].values()),
            *(f"{figures[what]:,}" for what in ("parameters", "parameters_without_embeddings", "attention_weights")),
            *(f"{figures[what] / 1e6:,.1f}M" for what in ("flops", "flops_without_output_layer")),
            f"{figures['file_bytes'] / 1e6:.1f}" if "file_bytes" in figures else "",
        ]
        for name, figures in found.items()
    ]
    differing = [
        f"{name}: {', '.join(f'{layer} {count}' for layer, count in figures['heads'].items())}"
        for name, figures in found.items()
        if len(set(figures["heads"].values())) > 1
    ]
    return "\n".join([markdown_table(titles, rows), *differing])


if __name__ == "__main__":
    sys.exit(main())
