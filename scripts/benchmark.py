"""Benchmarks of the paper, from the raw data to the table: every stage one command, shown before it is run.

    bash examples/benchmark.sh iwslt14.de-en                          all stages of transformer, ght and ght-ps
    bash examples/benchmark.sh iwslt14.de-en --systems ght-ps --stages train slim evaluate
    bash examples/benchmark.sh iwslt14.de-en --dry-run                only shows the commands
    bash examples/benchmark.sh wmt14.en-de --gpus 4 --max-tokens 1024 -- --fp16    further options of fairseq-train

benchmark.sh is this program in an environment that it finds or makes. Settings are those of settings.yaml. The same
command, given again, goes on where it was stopped.
"""

import argparse
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any, Dict, List

from experiments.recipes import stages
from experiments.recipes.commands import Command, CommandFailed
from experiments.recipes.settings import SettingsError, read_settings, recipe, sets_of
from experiments.recipes.stages import Run


def parser(settings: Dict[str, Any]) -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, usage="%(prog)s SET [OPTION...]"
    )
    found.add_argument("set", metavar="SET", help=", ".join(sets_of(settings)))
    found.add_argument(
        "--systems", nargs="+", default=["transformer", "ght", "ght-ps"], help="the first is compared with"
    )
    found.add_argument("--stages", nargs="+", default=list(stages.STAGES), choices=stages.STAGES)
    found.add_argument("--data", type=Path, default=Path("work/data"), metavar="DIR", help="DIR/SET is prepared data")
    found.add_argument("--runs", type=Path, default=Path("work/runs"), metavar="DIR", help="DIR/SET/SYSTEM is a run")
    found.add_argument("--source", metavar="DIR|URL", help="of the raw data, as scripts/prepare_data.py takes it")
    found.add_argument("--subwords", choices=("sentencepiece", "moses-bpe"), default="sentencepiece")
    found.add_argument("--gpus", type=int, metavar="N", help="of this machine (default: 1 if there is one, else 0)")
    found.add_argument("--max-tokens", type=int, metavar="N", help="in a batch of one GPU; an update keeps its tokens")
    found.add_argument("--seed", type=int, default=1)
    found.add_argument("--dry-run", action="store_true", help="show the commands, run nothing")
    return found


def main(argv=None) -> int:
    argv = list(sys.argv[1:] if argv is None else argv)
    further = argv.index("--") if "--" in argv else len(argv)
    try:
        settings = read_settings()
    except SettingsError as error:
        sys.exit(f"error: {error}")
    command = parser(settings)
    args = command.parse_args(argv[:further])
    if args.gpus is None:
        args.gpus = _gpus()
    for flag in ("gpus", "max_tokens", "seed"):
        least = 0 if flag == "gpus" else 1
        if getattr(args, flag) is not None and getattr(args, flag) < least:
            command.error(f"--{flag.replace('_', '-')} {getattr(args, flag)}: allowed is {least} or more")
    try:
        runs = [_run(settings, args, system, argv[further + 1 :]) for system in args.systems]
        wanted = _commands(runs, args)
        if not args.dry_run:
            _check_tools(runs[0], args)
            _check_folders(runs, args)
    except SettingsError as error:
        command.error(str(error))
    if args.dry_run:
        print("\n\n".join(one.shown() for one in wanted))
        return 0
    for run in runs:
        if not (_trained(run) and (run.folder / "run.json").exists()):
            _record(run)
    try:
        for one in wanted:
            one.run()
            if one.stage == "data":
                _check_data(runs[0])
    except (CommandFailed, SettingsError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _gpus() -> int:
    import torch

    return int(torch.cuda.is_available())


def _run(settings: Dict[str, Any], args, system: str, more: List[str]) -> Run:
    folder = args.runs / args.set / (system if args.seed == 1 else f"{system}-seed{args.seed}")
    return Run(
        recipe=recipe(settings, args.set, system),
        data=args.data / args.set,
        folder=folder,
        subwords=args.subwords,
        gpus=args.gpus,
        max_tokens=args.max_tokens,
        seed=args.seed,
        more=more,
    )


def _commands(runs: List[Run], args) -> List[Command]:
    """The commands of the wanted stages, in order; data that is there already is not made again."""
    found: List[Command] = []
    if "prepare" in args.stages and (args.dry_run or not (runs[0].data / "prepared.json").exists()):
        found.append(stages.prepare(runs[0], args))
    for run in runs:
        for stage, commands in (
            ("train", lambda run: [stages.train(run)]),
            ("average", stages.average),
            ("slim", stages.slim),
            ("evaluate", stages.evaluate),
        ):
            if stage in args.stages:
                found += commands(run)
    folder = args.runs / args.set
    if "bench" in args.stages:
        found += stages.bench(runs, folder)
    if "table" in args.stages:
        found.append(stages.table(runs, folder))
    return found


def _check_tools(run: Run, args) -> None:
    """Refuses to begin what would fail for want of a package hours later, or in another folder than it takes."""
    if not Path("scripts/prepare_data.py").is_file() or not Path("fairseq_ghat").is_dir():
        raise SettingsError(f"{Path.cwd()}: is not the root of the repository; start it there")
    needed = {"sacremoses": "sacremoses", "subword_nmt": "subword-nmt"} if run.subwords == "moses-bpe" else {}
    if run.recipe.kind == "summarization" and {"evaluate", "table"} & set(args.stages):
        needed["rouge_score"] = "rouge-score"
    missing = [package for module, package in needed.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise SettingsError(f"SET {run.recipe.set}: needs more packages: pip install {' '.join(missing)}")


def _check_folders(runs: List[Run], args) -> None:
    """Refuses to go on from other settings than those that are there, before any work."""
    if (runs[0].data / "prepared.json").exists():
        _check_data(runs[0])
    elif "prepare" not in args.stages:
        raise SettingsError(f"--data {args.data}: there is no {runs[0].data / 'prepared.json'}; add the stage prepare")
    for run in runs:
        record = run.folder / "run.json"
        if _trained(run) and record.exists() and "train" in args.stages:
            before, now = json.loads(record.read_text())["train"], stages.train(run).argv
            differing = [one for one in (*before, *now) if (one in before) != (one in now)]
            if before != now:
                raise SettingsError(
                    f"--runs {args.runs}: {run.folder} is a run of other settings "
                    f"({' '.join(differing) or 'their order'}); give another folder, or delete it"
                )
        elif "train" not in args.stages and not _trained(run):
            raise SettingsError(f"--runs {args.runs}: {run.folder} holds no checkpoint; add the stage train")


def _trained(run: Run) -> bool:
    return any(run.folder.glob("checkpoint*.pt"))


def _check_data(run: Run) -> None:
    """Raises SettingsError if the data were prepared for something else."""
    from fairseq_ghat.data.prepared import PreparedError, read_prepared  # imports fairseq

    try:
        prepared = read_prepared(run.data)
    except PreparedError as error:
        raise SettingsError(str(error)) from error
    subwords = stages.SUBWORDS[run.subwords] if run.recipe.kind != "language_modeling" else None
    wanted = {"set": run.recipe.set, "until": "bin", "subwords": subwords, "lowercase": run.recipe.lowercase}
    for what, value in wanted.items():
        if getattr(prepared, what) != value:
            raise SettingsError(
                f"{run.data / 'prepared.json'}: {what} is {getattr(prepared, what)}, wanted is {value}; "
                "give another folder of data (--data)"
            )


def _record(run: Run) -> None:
    """What a run is, for the table and for a later start."""
    run.folder.mkdir(parents=True, exist_ok=True)
    content = {"set": run.recipe.set, "system": run.recipe.system, "kind": run.recipe.kind, "seed": run.seed}
    content["train"] = stages.train(run).argv
    record = run.folder / "run.json"
    beside = record.with_name("run.json.part")
    beside.write_text(json.dumps(content, indent=1))
    beside.replace(record)


if __name__ == "__main__":
    sys.exit(main())
