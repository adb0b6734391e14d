"""`ghat-average CHECKPOINT... --output OUT`: averages the weights of checkpoints of one model."""

import argparse
import sys
from pathlib import Path

from fairseq_ghat.checkpoints.averaging import average_checkpoints
from fairseq_ghat.checkpoints.files import CheckpointError, write_checkpoint


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(prog="ghat-average", description=__doc__.split("`: ")[1])
    parser.add_argument("checkpoints", nargs="+", metavar="CHECKPOINT", help="checkpoints of one training run")
    parser.add_argument("--output", required=True, metavar="OUT", help="the checkpoint to write")
    args = parser.parse_args(argv)
    if not Path(args.output).resolve().parent.is_dir():
        parser.error(f"--output {args.output}: its folder does not exist")
    try:
        averaged = average_checkpoints(args.checkpoints)
    except CheckpointError as error:
        parser.error(str(error))
    write_checkpoint(averaged, args.output)
    print(f"{args.output}: average of {len(args.checkpoints)} checkpoints")
    return 0


if __name__ == "__main__":
    sys.exit(main())
