"""`ghat-slim CHECKPOINT OUT`: a voted checkpoint without optimizer state, and without heads that were voted out."""

import argparse
import os

from fairseq_ghat.checkpoints.files import CheckpointError, read_checkpoint
from fairseq_ghat.cli.console import IS_STOCK, check_out, write_out
from fairseq_ghat.profiling.parameters import attention_weights, describe_counts, non_embedding_parameters
from fairseq_ghat.pruning.slimming import NotSlimmable, slim_checkpoint


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(prog="ghat-slim", description=__doc__.split("`: ")[1])
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="a checkpoint saved after the vote")
    parser.add_argument("out", metavar="OUT", help="the slim checkpoint to write; every fairseq command loads it")
    args = parser.parse_args(argv)

    source, out = args.checkpoint, args.out
    check_out(parser, out, {"CHECKPOINT": [source]})
    try:
        state = read_checkpoint(source)
        slimmed = slim_checkpoint(state)
    except CheckpointError as error:
        parser.error(str(error))
    except NotSlimmable as error:
        parser.error(f"CHECKPOINT {source}: {error}")
    write_out(parser, slimmed.state, out)

    print(f"{source} -> {out}{IS_STOCK if slimmed.is_stock else ''}")
    before, after = (describe_counts(heads.values()) for heads in (slimmed.heads_before, slimmed.heads_after))
    print(f"  heads per attention    {before} -> {after}")
    counts = {"attention weights": attention_weights, "parameters without embeddings": non_embedding_parameters}
    for quantity, count in counts.items():
        before, after = (count(checkpoint["model"]) for checkpoint in (state, slimmed.state))
        print(f"  {quantity}    {before:,} -> {after:,} ({_change(before, after)})")
    before, after = (os.path.getsize(path) for path in (source, out))
    print(f"  file size, MB    {before / 1e6:.1f} -> {after / 1e6:.1f} ({_change(before, after)})")
    return 0


def _change(before: int, after: int) -> str:
    return f"{100 * (after - before) / before:+.1f} %"
