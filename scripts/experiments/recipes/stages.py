"""The commands of a benchmark by stage: data, training with the vote, averaging, removal, evaluation, table, page."""

from argparse import Namespace
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

from experiments.checks import BadInput, check_commands, check_tools, claim
from experiments.commands import Command, arguments_of
from experiments.recipes.settings import Recipe, named_sets
from fairseq_ghat.data.prepared import NAME, PreparedError, read_prepared

STAGES = ("prepare", "train", "average", "slim", "evaluate", "bench", "table", "report")
# How fairseq joins subwords, and undoes tokenization, by --subwords of prepare_data.py.
SUBWORDS = {"sentencepiece": "sentencepiece", "moses-bpe": "subword_nmt"}
# By kind, the packages that its score needs (module: package), and the arguments of ghat-score.
_TO_SCORE = {
    "summarization": {"rouge_score": "rouge-score", "pysbd": "pysbd"},
    "transcription": {"jiwer": "jiwer"},
}
_SCORING = {
    "translation": ("--metric", "bleu"),
    "summarization": ("--metric", "rouge", "--split-sentences"),
    "transcription": ("--metric", "error-rate"),
}


# Options of fairseq-train that tell how many heads stay.
_KEEPING = ("--head-groups", "--vote-heads", "--keep-heads", "--vote-budget", "--budget", "--max-error")


@dataclass
class Run:
    """One training run: a recipe and where it happens.

    Attributes:
        recipe: what is trained.
        data: folder that prepare_data.py made.
        folder: of checkpoints, logs and results.
        subwords: of SUBWORDS.
        gpus: 0 for the CPU.
        max_tokens: in a batch of one GPU; None for the recipe's.
        seed: of the training.
        further: arguments of fairseq-train after those of the recipe.
    """

    recipe: Recipe
    data: Path
    folder: Path
    subwords: str = "sentencepiece"
    gpus: int = 1
    max_tokens: Optional[int] = None
    seed: int = 1
    further: Sequence[str] = ()

    @property
    def name(self) -> str:
        """What progress calls it."""
        return f"{self.recipe.set} {self.folder.name}"

    @property
    def trained(self) -> Path:
        """What training leaves: the best checkpoint, or the average of the best."""
        return self.folder / ("average.pt" if self.recipe.average > 1 else "checkpoint_best.pt")

    @property
    def final(self) -> Path:
        """The model that is evaluated."""
        return self.folder / "slim.pt" if self.recipe.votes else self.trained

    @property
    def votes_after_training(self) -> bool:
        """Whether epochs of training come before the vote, which leave a checkpoint of all heads."""
        words = arguments_of(self.recipe.options.get("vote", {}))
        words += [part for word in self.further for part in word.split("=", 1)]
        epochs = [words[place + 1] for place, word in enumerate(words) if word == "--vote-epoch"]
        return self.recipe.votes and epochs[-1:] != ["1"]  # there is no such option with --vote-tolerance

    @property
    def begun(self) -> bool:
        return any(self.folder.glob("checkpoint*.pt"))

    @property
    def machine(self) -> List[str]:
        return ["--cpu"] if self.gpus == 0 else []

    def batches(self) -> Dict[str, Any]:
        """Batches whose updates are as large as those of the recipe, whatever the number of GPUs.

        Raises:
            BadInput: if they cannot be, with what would.
        """
        batches, unit, wanted = dict(self.recipe.options["batches"]), self.recipe.unit, self.recipe.per_update
        if self.max_tokens:
            if unit != "max-tokens":
                raise BadInput(
                    f"--max-tokens {self.max_tokens}: not with {self.recipe.set}, whose batches have a {unit}"
                )
            batches[unit] = self.max_tokens
        block = batches.get("tokens-per-sample", 0)
        if batches[unit] < block:
            raise BadInput(f"--max-tokens {batches[unit]}: allowed is {block} or more, a block of {self.recipe.set}")
        workers = max(self.gpus, 1)
        if unit == "batch-size" and wanted % workers == 0:
            batches[unit] = min(batches[unit], wanted // workers)
        together = workers * batches[unit]
        if wanted % together:
            raise BadInput(
                f"--gpus {self.gpus} --{unit} {batches[unit]}: {together} at once do not divide the {wanted} of an "
                f"update; with {workers} of them, --{unit} {wanted // workers} or an integer fraction of that does"
            )
        batches["update-freq"] = wanted // together
        return batches

    def check_data(self) -> None:
        """Raises BadInput if the data were prepared for something else."""
        try:
            prepared = read_prepared(self.data)
        except PreparedError as error:
            raise BadInput(str(error)) from error
        subwords = SUBWORDS[self.subwords] if self.recipe.in_subwords else None
        wanted = {"set": self.recipe.set, "until": "bin", "subwords": subwords, "lowercase": self.recipe.lowercase}
        there = {name: getattr(prepared, name) for name in wanted}
        if self.recipe.references:
            wanted["references"], there["references"] = self.recipe.references, prepared.references.get("test")
        for name, value in wanted.items():
            if there[name] != value:
                raise BadInput(
                    f"{self.data / NAME}: {name} is {there[name]}, wanted is {value}; "
                    "give another folder of data (--data)"
                )


def runs_of(settings: Dict[str, Any], args: Namespace, further: Sequence[str]) -> List[Run]:
    """The runs of all sets, seeds and systems, in this order. Raises BadInput for a name that the settings lack."""
    shared = {name: getattr(args, name) for name in ("subwords", "gpus", "max_tokens")}
    runs = []
    for name in named_sets(settings, args.sets):
        for seed in dict.fromkeys(args.seeds):
            for system in dict.fromkeys(args.systems):
                folder = args.runs / name / (system if seed == 1 else f"{system}-seed{seed}")
                recipe = Recipe(settings, name, system)
                runs.append(Run(recipe, args.data / name, folder, seed=seed, further=further, **shared))
    return runs


def commands(runs: Sequence[Run], args: Namespace) -> List[Command]:
    """The commands of the wanted stages, in order; data that is there already is not made again."""
    wanted: List[Command] = []
    of_sets = _by_set(runs)
    for of_set in of_sets:
        if "prepare" in args.stages and (args.dry_run or not (of_set[0].data / NAME).exists()):
            wanted.append(prepare(of_set[0], args.source))
    for run in runs:
        for stage, commands_of in (("train", train), ("average", average), ("slim", slim), ("evaluate", evaluate)):
            if stage in args.stages:
                wanted += [replace(command, chain=run.name) for command in commands_of(run)]
    if "bench" in args.stages:
        wanted += [command for of_set in of_sets for command in bench(of_set)]
    if "table" in args.stages:
        wanted += table(of_sets, measured="bench" in args.stages)
    if "report" in args.stages:
        wanted += [command for of_set in of_sets for command in report(of_set)]
    return wanted


def _by_set(runs: Sequence[Run]) -> List[List[Run]]:
    names = dict.fromkeys(run.recipe.set for run in runs)
    return [[run for run in runs if run.recipe.set == name] for name in names]


def begin(runs: Sequence[Run], args: Namespace, wanted: Sequence[Command]) -> None:
    """Checks all that would fail hours later, then writes what each run is, for the table and for a later start.

    Raises:
        BadInput: for missing packages, options, data or checkpoints, and for a run of other settings.
    """
    first = runs[0]
    kinds = {run.recipe.kind for run in runs}
    packages = {"sacremoses": "sacremoses", "subword_nmt": "subword-nmt"} if first.subwords == "moses-bpe" else {}
    if {"evaluate", "table"} & set(args.stages):
        for kind, needed in _TO_SCORE.items():
            packages.update(needed if kind in kinds else {})
        packages.update({"scipy": "scipy"} if len(args.seeds) > 1 or "transcription" in kinds else {})
    if "report" in args.stages:
        packages.update(sklearn="scikit-learn", matplotlib="matplotlib", jinja2="jinja2")
    check_tools(packages)
    check_commands(wanted)
    for of_set in _by_set(runs):
        data = of_set[0].data
        if (data / NAME).exists():
            of_set[0].check_data()
        elif "prepare" not in args.stages:
            raise BadInput(f"--data {args.data}: there is no {data / NAME}; add the stage prepare")
    if set(args.stages) == {"prepare"}:
        return
    for run in runs:
        if "train" not in args.stages and not run.begun:
            raise BadInput(f"--runs {args.runs}: {run.folder} holds no checkpoint; add the stage train")
    for run in runs:
        record = run.folder / "run.json"
        if "train" in args.stages or not record.exists():
            content = {"set": run.recipe.set, "system": run.recipe.system, "kind": run.recipe.kind, "seed": run.seed}
            claim(record, {**content, "train": train(run)[0].argv}, run.begun, f"--runs {run.folder}")


def prepare(run: Run, source: Optional[str]) -> Command:
    options = ["--source", source] if source else []
    if run.recipe.in_subwords:
        options += ["--subwords", run.subwords]
    program = ["python", "scripts/prepare_data.py", run.recipe.set, str(run.data)]
    return Command("data", program, {"": options}, finish=run.check_data)


def train(run: Run) -> List[Command]:
    recipe, moses = run.recipe, run.subwords == "moses-bpe"
    # fairseq's own model too: without the plug-in, torch's safe loading refuses the checkpoint that it goes on from.
    options = {"task": {"user-dir": "fairseq_ghat", "task": recipe.task}}
    options.update((label, dict(values)) for label, values in recipe.options.items())
    options["batches"] = run.batches()
    if recipe.grouped:
        options["task"]["task"] += "_v2s"
        options["architecture"]["arch"] = f"ghat_{options['architecture']['arch']}"
        options["criterion"]["criterion"] = f"group_constrained_{options['criterion']['criterion']}"
    if recipe.languages:
        options["task"].update(zip(("source-lang", "target-lang"), recipe.languages))
    if options["validation"].get("eval-bleu"):
        options["validation"]["eval-bleu-detok"] = "moses" if moses else "space"
        if moses:
            options["validation"]["eval-bleu-detok-args"] = {"target_lang": recipe.languages[1]}
        options["validation"]["eval-bleu-remove-bpe"] = SUBWORDS[run.subwords]
    options["checkpoints"] = {"save-dir": run.folder, "no-epoch-checkpoints": True}
    if recipe.average > 1:
        options["checkpoints"]["keep-best-checkpoints"] = recipe.average
    options["checkpoints"]["seed"] = run.seed
    options["machine"] = {"cpu": True, "num-workers": 0} if run.gpus == 0 else {}
    options["machine"]["distributed-world-size"] = max(run.gpus, 1)  # fairseq's default is all GPUs, also with --cpu
    options["machine"].update({"log-format": "simple", "log-interval": 50})
    options["more"] = run.further
    program, last = ["fairseq-train", str(run.data / "bin")], run.folder / "checkpoint_last.pt"
    return [Command("train", program, options, log=run.folder / "train.log", results=[last])]


def average(run: Run) -> List[Command]:
    if run.recipe.average == 1:
        return []
    program = ["ghat-average", str(run.folder), "--best", str(run.recipe.average), "--output", str(run.trained)]
    return [Command(f"average of the {run.recipe.average} best checkpoints", program, results=[run.trained])]


def slim(run: Run) -> List[Command]:
    if not run.recipe.votes:
        return []
    return [Command("the slim model", ["ghat-slim", str(run.trained), str(run.final)], results=[run.final])]


def evaluate(run: Run) -> List[Command]:
    """Size and FLOPs, then perplexity, or generation and its scores against raw references."""
    recipe, data, model = run.recipe, str(run.data / "bin"), str(run.final)
    log = run.folder / "generate.log"
    size = _kept("size and FLOPs", ["ghat-stats", model, "--json"], {}, run.folder / "stats.json")
    if recipe.kind == "language_modeling":
        program = ["ghat-perplexity", data, model, "--gen-subset", "valid,test"]
        options = {"window": recipe.evaluation, "": ["--json", *run.machine]}
        return [size, _kept("perplexity", program, options, run.folder / "perplexity.json")]
    generation = {"user-dir": "fairseq_ghat", "path": model, "gen-subset": "test"}
    generation.update(zip(("source-lang", "target-lang"), recipe.languages))
    text = {"remove-bpe": SUBWORDS[run.subwords]} if recipe.in_subwords else {}
    text["required-batch-size-multiple"] = 1  # with its default of 8, fairseq-fixed leaves out the last sentences
    # fairseq-generate reads the data by its own options, not by those of training: long sources are cut here too.
    trained = {**recipe.options["architecture"], **recipe.options["batches"]}
    text.update({name: trained[name] for name in ("truncate-source", "max-source-positions") if name in trained})
    if recipe.in_subwords and run.subwords == "moses-bpe":
        text["tokenizer"] = "moses"
    options = {"model": generation, "search": recipe.evaluation, "text": text}
    options[""] = ["--no-progress-bar", *run.machine]
    without_case = recipe.lowercase and recipe.kind == "translation"  # the other scores have no choice of case
    scoring = [*_SCORING[recipe.kind], *(["--lowercase"] if without_case else []), "--json"]
    score = ["ghat-score", str(run.data / recipe.references), str(log)]
    return [
        size,
        _kept("generation", ["fairseq-generate", data], options, log),
        _kept("score", score, {"": scoring}, run.folder / "score.json"),
    ]


def _kept(stage: str, program: List[str], options: Dict[str, Any], output: Path) -> Command:
    """A command whose output is its result."""
    return Command(stage, program, options, output=output, results=[output])


def bench(runs: Sequence[Run]) -> List[Command]:
    """Speed of all systems, measured by turns; the language models' is in their perplexity."""
    if runs[0].recipe.kind == "language_modeling":
        return []
    program = ["ghat-bench", str(runs[0].data / "bin"), *(str(run.final) for run in runs), "--json"]
    return [Command("speed, by turns", program, {"": runs[0].machine}, output=_bench_file(runs))]


def table(of_sets: Sequence[Sequence[Run]], measured: bool) -> List[Command]:
    """One table of all sets; measured says whether there will be speeds, beside those that are there already."""
    program = ["python", "scripts/results_table.py", *(str(run.folder) for runs in of_sets for run in runs)]
    files = [_bench_file(runs) for runs in of_sets if runs[0].recipe.kind != "language_modeling"]
    benches = [str(file) for file in files if measured or file.is_file()]
    return [Command("table", [*program, "--bench", *benches] if benches else program)]


def report(runs: Sequence[Run]) -> List[Command]:
    """Which heads are alike, before the vote and in the end, and one page about all systems."""
    wanted, data = [], str(runs[0].data / "bin")
    counts = sorted({run.recipe.options["grouping"]["head-groups"] for run in runs if run.recipe.grouped})
    if any(word.split("=")[0] in _KEEPING for word in runs[0].further):
        counts = []  # how many heads stay is not the recipe's to say: as many groups as a model was trained with
    for run in runs:
        kept = run.recipe.heads_kept
        models = {"analysis.json": (run.trained, [count for count in counts if count <= (kept or count)])}
        if run.votes_after_training:
            models["analysis.before.json"] = (run.folder / "before_vote.checkpoint_best.pt", counts)
        for name, (model, groups) in models.items():
            program = ["ghat-analyze", str(model), data]
            options = {"": [*(["--groups", *map(str, groups)] if groups else []), "--json", *run.machine]}
            wanted.append(Command("similarity of heads", program, options, output=run.folder / name))
    page = str(runs[0].folder.with_name("report.html"))
    return [*wanted, Command("page", ["ghat-report", page, *(str(run.folder) for run in runs)])]


def _bench_file(runs: Sequence[Run]) -> Path:
    return runs[0].folder.parent / "bench.json"
