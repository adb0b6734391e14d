"""`ghat-average CHECKPOINT... --output OUT`: averages the weights of checkpoints of one model."""

import argparse
import sys
from pathlib import Path

from fairseq_ghat.checkpoints.averaging import average_checkpoints
from fairseq_ghat.checkpoints.best_of_run import best_checkpoints
from fairseq_ghat.checkpoints.files import CheckpointError
from fairseq_ghat.cli.console import check_minimum, check_out, write_out


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(prog="ghat-average", description=__doc__.split("`: ")[1])
    add = parser.add_argument
    add("checkpoints", nargs="+", metavar="CHECKPOINT", help="checkpoints of one training run; with --best its folder")
    add("--best", type=int, metavar="N", help="the N best that fairseq-train --keep-best-checkpoints N left there")
    add("--output", required=True, metavar="OUT", help="the checkpoint to write")
    args = parser.parse_args(argv)
    if args.best is not None:
        check_minimum(parser, args, best=1)
        if len(args.checkpoints) != 1 or not Path(args.checkpoints[0]).is_dir():
            parser.error(f"--best wants the folder of one run, not {' '.join(args.checkpoints)}")
    try:
        paths = args.checkpoints
        if args.best is not None:
            paths = [str(path) for path in best_checkpoints(Path(paths[0]), args.best)]
            if len(paths) < args.best:
                print(f"warning: fairseq kept {len(paths)} best checkpoints, not {args.best}", file=sys.stderr)
        check_out(parser, args.output, {"CHECKPOINT": paths}, "--output")
        averaged = average_checkpoints(paths)
    except CheckpointError as error:
        parser.error(str(error))
    write_out(parser, averaged, args.output, "--output")
    print(f"{args.output}: average of {len(paths)} checkpoints: {' '.join(paths)}")
    return 0
