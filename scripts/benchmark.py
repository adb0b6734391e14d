"""Benchmarks of the paper, from the raw data to the table and page: every stage one command, shown before it is run.

    bash examples/benchmark.sh iwslt14.de-en                          all stages of transformer, ght and ght-ps
    bash examples/benchmark.sh iwslt14.de-en --systems ght-ps --stages train slim evaluate
    bash examples/benchmark.sh iwslt14.de-en --dry-run                only shows the commands
    bash examples/benchmark.sh wmt14.en-de --gpus 4 --max-tokens 1024 -- --fp16    further options of fairseq-train
    bash examples/benchmark.sh multi30k.de-en --seeds 1 2 3 --jobs 2               runs side by side

benchmark.sh is this program in an environment that it finds or makes. The same command, given again, goes on where it
was stopped.
"""

import argparse
import sys
from pathlib import Path
from typing import List

from experiments.checks import BadInput, check_further, check_least, own_and_further
from experiments.recipes.settings import SETTINGS_FILE, read_settings
from experiments.recipes.stages import STAGES, SUBWORDS, begin, commands, runs_of
from experiments.runner import run_all

# Options of fairseq-train that are set here: seeds and folders of runs, and the checkpoint that says that one ended.
_OWN = ("--user-dir", "--seed", "--save-dir", "--no-save", "--no-last-checkpoints")


def parse(words: List[str]):
    """The arguments, the settings that they name and the parser.

    Raises:
        BadInput: if the settings cannot be used.
    """
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--settings", type=Path, default=SETTINGS_FILE, metavar="FILE", help="default: %(default)s")
    settings = read_settings(first.parse_known_args(words)[0].settings)
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="%(prog)s SET... [OPTION...]",
        parents=[first],
        allow_abbrev=False,  # as the first, which reads --settings
    )
    add = parser.add_argument
    add("sets", metavar="SET", nargs="+", help=f"{', '.join(settings['sets'])}; or a family, such as iwslt14")
    add("--systems", nargs="+", default=["transformer", "ght", "ght-ps"], help="the first is compared with")
    add("--stages", nargs="+", default=list(STAGES), choices=STAGES)
    add("--data", type=Path, default=Path("work/data"), metavar="DIR", help="DIR/SET is prepared data")
    add("--runs", type=Path, default=Path("work/runs"), metavar="DIR", help="DIR/SET/SYSTEM is a run")
    add("--source", metavar="DIR|URL", help="of the raw data, as scripts/prepare_data.py takes it")
    add("--subwords", choices=tuple(SUBWORDS), default="sentencepiece")
    add("--gpus", type=int, metavar="N", help="of this machine (default: 1 if there is one, else 0)")
    add("--max-tokens", type=int, metavar="N", help="in a batch of one GPU; an update keeps its tokens")
    add(
        "--seeds",
        "--seed",
        type=int,
        nargs="+",
        default=[1],
        metavar="N",
        help="each is a run of every system (default: 1)",
    )
    add("--jobs", type=int, default=1, metavar="N", help="runs side by side, on one GPU or the cores (default: 1)")
    add("--dry-run", action="store_true", help="show the commands, run nothing")
    return parser.parse_args(words), settings, parser


def main(argv=None) -> int:
    words, further = own_and_further(argv)
    try:
        args, settings, parser = parse(words)
    except BadInput as error:
        sys.exit(f"error: {error}")
    if args.gpus is None:
        import torch  # slow to start with, so only if it is asked

        args.gpus = int(torch.cuda.is_available())
    try:
        check_least(args, gpus=0, max_tokens=1, seeds=1, jobs=1)
        check_further("--", further, _OWN)
        runs = runs_of(settings, args, further)
        wanted = commands(runs, args)
        if not args.dry_run:
            begin(runs, args, wanted)
    except BadInput as error:
        parser.error(str(error))
    return run_all(wanted, args.dry_run, args.jobs)


if __name__ == "__main__":
    sys.exit(main())
