"""Ways of choosing heads and neurons, at equal sizes and with equal fine-tuning, on one data set and one checkpoint.

    python scripts/compare_pruning.py data-bin checkpoint_best.pt work/compared \\
        --methods pillars random l1 gradient --keep 2 4 --seeds 1 2 --reference raw/test.en \\
        --generate-args "--remove-bpe sentencepiece" -- \\
        --task translation_v2s --arch ghat_transformer_iwslt_de_en \\
        --criterion group_constrained_label_smoothed_cross_entropy --label-smoothing 0.1 \\
        --optimizer adam --lr 1e-4 --max-tokens 4096

With --budget parameters=0.5 parameters=0.3 instead of --keep, heads and neurons are cut: both, heads only, neurons
only, and both by the other methods that rank them. For each method, size, refit and seed: ghat-vote, the score,
--epochs of fairseq-train with the options after --, the score again. Among --methods, from-start is the small model
trained from the start, of random heads and neurons, for as many epochs in all. Translations are scored by sacreBLEU,
language models by ghat-perplexity. OUT gets table.md, results.json, pruning.png, pruning.svg and report.html, a page
with more about the models of the first seed. The same command, given again, goes on where it was stopped; methods,
sizes, refits and seeds may be added.
"""

import argparse
import logging
import shlex
import sys
from pathlib import Path
from typing import List, Sequence

from experiments.checks import check_commands, check_tools, own_and_further
from experiments.comparison.commands import commands
from experiments.comparison.inputs import check_shares, check_training, claim_folder, read_comparison
from experiments.comparison.plan import FROM_START, METHODS, UNDER_BUDGET
from experiments.comparison.report import report
from experiments.files import folder_name, refused_by_system
from experiments.runner import run_all

from fairseq_ghat.checkpoints.files import CheckpointError
from fairseq_ghat.cli.console import quiet_libraries
from fairseq_ghat.core.head_budget import BUDGETS as VOTE_BUDGETS
from fairseq_ghat.pruning.options import REFITS


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="%(prog)s DATA CHECKPOINT OUT [OPTION...] -- OPTIONS OF fairseq-train",
    )
    add = parser.add_argument
    add("data", metavar="DATA", help="folder that fairseq-preprocess made")
    add("checkpoint", metavar="CHECKPOINT", help="of a transformer or language model with all its heads")
    add("out", metavar="OUT", type=folder_name, help="folder of all that is made")
    allowed = f"default: all of {', '.join(METHODS)}; with --budget of {', '.join(UNDER_BUDGET)}; further {FROM_START}"
    add("--methods", nargs="+", metavar="M", help=allowed)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--keep", nargs="+", type=int, default=[2], metavar="K", help="heads that stay (default: 2)")
    budget = "of heads and neurons together, as ghat-vote takes them, all of one cost"
    size.add_argument("--budget", nargs="+", default=[], metavar="COST=SHARE", help=budget)
    add("--seeds", nargs="+", type=int, default=[1], metavar="S", help="of vote and fine-tuning")
    add("--refit", nargs="+", choices=REFITS, default=["output"], help="default: output")
    add("--vote-budget", choices=VOTE_BUDGETS, default="layer", help="K in each attention, or on average")
    add("--epochs", type=int, default=1, metavar="E", help="of fine-tuning; 0 for none (default: 1)")
    on = "train the checkpoint on before the vote: plainly, and with the constraint of the methods that have one"
    add("--continue-epochs", type=int, default=0, metavar="N", help=on)
    add("--gct-methods", nargs="+", metavar="M", help="methods that also begin after the group constraint")
    differing = f"of fairseq-train for {FROM_START}, where they are others than after --, such as the learning rate"
    add("--from-start-args", type=shlex.split, default=[], help=differing)
    add("--reference", type=Path, metavar="FILE", help="raw references (default: those of DATA)")
    add("--lowercase", action="store_true", help="BLEU without case")
    add("--generate-args", type=shlex.split, default=[], help="of fairseq-generate, or ghat-perplexity")
    add("--vote-args", type=shlex.split, default=[], help="further options of ghat-vote")
    add("--cpu", action="store_true", help="also where there is a GPU")
    add("--dry-run", action="store_true", help="show the commands, run nothing")
    return parser


def main(argv=None) -> int:
    words, further = own_and_further(argv)
    parser = build_parser()
    args = parser.parse_args(_values_joined(words))
    args.train = further
    quiet_libraries(logging.WARNING, sys.stderr)
    try:
        if not args.dry_run:
            check_tools({"matplotlib": "matplotlib", "jinja2": "jinja2"})
        comparison = read_comparison(args)
        wanted = commands(comparison)
        check_training(comparison)
        check_commands(wanted)
        check_shares(comparison)
        settings = {} if args.dry_run else claim_folder(comparison)
    except (CheckpointError, ValueError) as error:
        parser.error(str(error))
    status = run_all(wanted, args.dry_run)
    if not status and not args.dry_run:
        try:
            report(comparison, settings)
        except OSError as error:
            print(f"error: {refused_by_system(error, args.out)}", file=sys.stderr)
            return 1
    return status


def _values_joined(words: Sequence[str]) -> List[str]:
    """--vote-args and the like with their value in one word: argparse takes a lone `--fp16` for an option."""
    joined = list(words)
    for place in reversed(range(len(joined) - 1)):
        if joined[place] in ("--vote-args", "--generate-args", "--from-start-args"):
            joined[place : place + 2] = [f"{joined[place]}={joined[place + 1]}"]
    return joined


if __name__ == "__main__":
    sys.exit(main())
