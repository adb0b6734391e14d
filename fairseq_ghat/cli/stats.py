"""`ghat-stats CHECKPOINT...`: heads, neurons, parameters, FLOPs and file size of models, pruned or not."""

import argparse
import json
import os
from typing import Any, Dict

from fairseq_ghat.checkpoints.files import CheckpointError, read_checkpoint
from fairseq_ghat.checkpoints.model_options import NotGroupable
from fairseq_ghat.cli.console import check_minimum, quiet_libraries, table_of_records
from fairseq_ghat.profiling.model_building import build_arch, build_from_checkpoint
from fairseq_ghat.profiling.model_size import measure_model
from fairseq_ghat.profiling.parameters import describe_counts


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ghat-stats", description=__doc__.split("`: ")[1])
    add = parser.add_argument
    add("checkpoints", metavar="CHECKPOINT", nargs="*", help="of fairseq's transformer or language model, or of ours")
    add("--arch", help="a model without a checkpoint: one of our archs")
    add("--vocab", type=int, metavar="N", help="of --arch: types on each side, special ones included")
    add("--keep", type=int, metavar="C", help="of --arch: heads that stay in each attention layer")
    add("--length", type=int, default=30, metavar="N", help="tokens a side for FLOPs (default: 30)")
    add("--json", action="store_true", help="print the figures as JSON instead of a table")
    return parser


def main(argv=None) -> int:
    parser = build_parser()
    args = parser.parse_args(argv)
    quiet_libraries()
    if bool(args.checkpoints) == bool(args.arch):
        parser.error("give either CHECKPOINT... or --arch")
    if bool(args.arch) != (args.vocab is not None) or (args.keep is not None and not args.arch):
        parser.error("--arch needs --vocab; --vocab and --keep are for --arch")
    check_minimum(parser, args, length=1, keep=1)
    try:
        import fvcore  # noqa: F401  only this command needs it
    except ImportError:
        parser.error("FLOPs are counted by fvcore, which is not installed: pip install fvcore")
    try:
        if args.arch:
            kept = "all heads" if args.keep is None else f"{args.keep} heads"
            figures = {
                f"{args.arch}, {kept}": measure_model(build_arch(args.arch, args.vocab, args.keep or 0), args.length)
            }
        else:
            figures = {}
            for path, state in [(path, read_checkpoint(path)) for path in args.checkpoints]:
                try:
                    model = build_from_checkpoint(state)
                except NotGroupable as error:
                    parser.error(f"CHECKPOINT {path}: {error}")
                figures[path] = {**measure_model(model, args.length), "file_bytes": os.path.getsize(path)}
    except (CheckpointError, ValueError) as error:
        parser.error(str(error))
    print(json.dumps(figures, indent=1) if args.json else _table(figures, args.length))
    return 0


def _table(figures: Dict[str, Dict[str, Any]], length: int) -> str:
    records, uneven = [], []
    for name, model in figures.items():
        heads = model["heads"]
        records.append(
            {
                "model": name,
                "attentions x heads": describe_counts(heads.values()),
                "feed-forwards x neurons": describe_counts(model["neurons"].values()),
                "parameters": f"{model['parameters']:,}",
                "without embeddings": f"{model['parameters_without_embeddings']:,}",
                "attention weights": f"{model['attention_weights']:,}",
                f"FLOPs at length {length}": f"{model['flops'] / 1e6:,.1f}M",
                "without output layer": f"{model['flops_without_output_layer'] / 1e6:,.1f}M",
                "file, MB": f"{model['file_bytes'] / 1e6:.1f}" if "file_bytes" in model else "",
            }
        )
        for counts in (heads, model["neurons"]):
            if len(set(counts.values())) > 1:
                uneven.append(f"{name}: {', '.join(f'{layer} {count}' for layer, count in counts.items())}")
    return "\n".join([table_of_records(records), *uneven])
