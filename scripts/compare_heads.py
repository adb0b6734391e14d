"""Ways of choosing attention heads, at equal budgets and with equal fine-tuning, on one data set and one checkpoint.

    python scripts/compare_heads.py data-bin checkpoint_best.pt work/compared \\
        --methods pillars random l1 gradient --keep 2 4 --seeds 1 2 --reference raw/test.en \\
        --generate-args "--remove-bpe sentencepiece" -- \\
        --task translation_v2s --arch ghat_transformer_iwslt_de_en \\
        --criterion group_constrained_label_smoothed_cross_entropy --label-smoothing 0.1 \\
        --optimizer adam --lr 1e-4 --max-tokens 4096

For each method, budget, refit and seed: ghat-vote, the score, --epochs of fairseq-train with the options after --, the
score again. Translations are scored by sacreBLEU, language models by ghat-perplexity. OUT gets table.md, results.json,
heads.png and heads.svg. The same command, given again, goes on where it was stopped; methods, budgets, refits and seeds
may be added.
"""

import argparse
import json
import logging
import shlex
import sys
from pathlib import Path
from typing import List

import torch
from experiments.comparison.inputs import (
    BadInput,
    check_choices,
    check_commands,
    check_fits,
    check_tools,
    read_trained,
    selectable,
    split_of,
)
from experiments.comparison.plan import BASELINE, Comparison
from experiments.comparison.results import as_json, gather
from experiments.comparison.settings import OtherSettings, claim
from experiments.comparison.steps import StepFailed, all_steps, run_all
from experiments.comparison.table import table

from fairseq_ghat.checkpoints.files import CheckpointError, whole_file
from fairseq_ghat.cli.console import quiet_libraries
from fairseq_ghat.core.head_budget import BUDGETS
from fairseq_ghat.pruning.importance.registry import IMPORTANCES
from fairseq_ghat.pruning.options import REFITS


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="%(prog)s DATA CHECKPOINT OUT [OPTION...] -- OPTIONS OF fairseq-train",
    )
    found.add_argument("data", metavar="DATA", help="folder that fairseq-preprocess made")
    found.add_argument("checkpoint", metavar="CHECKPOINT", help="of a transformer or language model with all its heads")
    found.add_argument("out", metavar="OUT", type=Path, help="folder of all that is made")
    found.add_argument("--methods", nargs="+", metavar="M", help=f"default: all of {', '.join(IMPORTANCES)}")
    found.add_argument("--keep", nargs="+", type=int, default=[2], metavar="K", help="heads that stay (default: 2)")
    found.add_argument("--seeds", nargs="+", type=int, default=[1], metavar="S", help="of vote and fine-tuning")
    found.add_argument("--refit", nargs="+", choices=REFITS, default=["output"], help="default: output")
    found.add_argument("--budget", choices=BUDGETS, default="layer", help="K in each attention, or on average")
    found.add_argument("--epochs", type=int, default=1, metavar="E", help="of fine-tuning; 0 for none (default: 1)")
    found.add_argument(
        "--continue-epochs",
        type=int,
        default=0,
        metavar="N",
        help="train the checkpoint on before the vote: plainly, and with the constraint of the methods that have one",
    )
    found.add_argument(
        "--gct-methods", nargs="+", metavar="M", help="methods that also begin after the group constraint"
    )
    found.add_argument("--reference", type=Path, metavar="FILE", help="raw references (default: those of DATA)")
    found.add_argument("--lowercase", action="store_true", help="BLEU without case")
    found.add_argument("--generate-args", type=shlex.split, default=[], help="of fairseq-generate, or ghat-perplexity")
    found.add_argument("--vote-args", type=shlex.split, default=[], help="further options of ghat-vote")
    found.add_argument("--cpu", action="store_true", help="also where there is a GPU")
    found.add_argument("--dry-run", action="store_true", help="show the commands, run nothing")
    return found


def main(argv=None) -> int:
    argv = list(sys.argv[1:] if argv is None else argv)
    further = argv.index("--") if "--" in argv else len(argv)
    command = parser()
    args = command.parse_args(_values_joined(argv[:further]))
    args.train = argv[further + 1 :]
    args.methods = args.methods or selectable(args.budget)
    quiet_libraries(logging.WARNING, sys.stderr)
    try:
        check_choices(args)
        if not args.dry_run:
            check_tools()
        trained = read_trained(args.checkpoint, args.data)
        what = comparison(args, trained)
        check_fits(what, trained)
        steps = all_steps(what)
        check_commands(what, steps)
        if not args.dry_run:
            settings = claim(what)
    except (BadInput, OtherSettings, CheckpointError, ValueError) as error:
        command.error(str(error))
    if args.dry_run:
        print("\n\n".join(step.command.shown() for step in steps))
        return 0
    try:
        run_all(steps)
    except StepFailed as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    report(what, settings)
    return 0


def comparison(args: argparse.Namespace, trained) -> Comparison:
    """What the command line asks for. trained: of read_trained."""
    methods = list(dict.fromkeys(args.methods))
    after_gct = args.gct_methods or [method for method in methods if method == BASELINE]
    return Comparison(
        data=args.data,
        checkpoint=args.checkpoint,
        out=args.out,
        kind=trained.kind,
        heads=max(trained.heads.values()),
        methods=methods,
        languages=trained.languages,
        gct_methods=list(dict.fromkeys(after_gct)) if args.continue_epochs else [],
        keeps=sorted(set(args.keep)),
        seeds=list(dict.fromkeys(args.seeds)),
        refits=list(dict.fromkeys(args.refit)),
        budget=args.budget,
        continue_epochs=args.continue_epochs,
        epochs=args.epochs,
        train=args.train,
        vote=args.vote_args,
        measure=args.generate_args,
        subset=split_of(args.generate_args),
        reference=args.reference,
        lowercase=args.lowercase,
        cpu=args.cpu or not torch.cuda.is_available(),
    )


def _values_joined(argv: List[str]) -> List[str]:
    """--vote-args and --generate-args with their value in one word: argparse takes a lone `--fp16` for an option."""
    found = list(argv)
    for place in reversed(range(len(found) - 1)):
        if found[place] in ("--vote-args", "--generate-args"):
            found[place : place + 2] = [f"{found[place]}={found[place + 1]}"]
    return found


def report(what: Comparison, settings) -> None:
    """Writes table, figures and picture into OUT, each whole or not at all, and prints the table."""
    from experiments.comparison.plot import draw, save  # matplotlib, which a dry run does not need

    results = gather(what)
    shown = table(what, results)
    for name, content in (
        ("results.json", json.dumps(as_json(what, results, settings), indent=1)),
        ("table.md", f"{shown}\n"),
    ):
        with whole_file(what.out / name) as file:
            file.write(content.encode())
    save(draw(what, results), what.out)
    print(f"\n{shown}\n{what.out}: table.md, results.json, heads.png, heads.svg")


if __name__ == "__main__":
    sys.exit(main())
