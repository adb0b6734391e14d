"""The commands of a benchmark, stage by stage: data, training with the vote, averaging, removal, evaluation, table."""

from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

from experiments.recipes.commands import Command, option_arguments
from experiments.recipes.settings import Recipe, SettingsError

# Of all systems at once; the others are run for each system in turn.
FIRST, LAST = ("prepare",), ("bench", "table")
OF_SYSTEM = ("train", "average", "slim", "evaluate")
STAGES = (*FIRST, *OF_SYSTEM, *LAST)
# How fairseq joins subwords, and undoes tokenization, by --subwords of prepare_data.py.
SUBWORDS = {"sentencepiece": "sentencepiece", "moses-bpe": "subword_nmt"}


@dataclass
class Run:
    """One training run: a recipe and where it happens.

    Attributes:
        data: folder that prepare_data.py made.
        folder: of checkpoints, logs and results.
        subwords: of SUBWORDS.
        gpus: 0 for the CPU.
        max_tokens: in a batch of one GPU; None for the recipe's.
        more: further arguments of fairseq-train.
    """

    recipe: Recipe
    data: Path
    folder: Path
    subwords: str = "sentencepiece"
    gpus: int = 1
    max_tokens: Optional[int] = None
    seed: int = 1
    more: Sequence[str] = ()

    @property
    def trained(self) -> Path:
        """What training leaves: the best checkpoint, or the average of the best."""
        return self.folder / ("average.pt" if self.recipe.average > 1 else "checkpoint_best.pt")

    @property
    def final(self) -> Path:
        """The model that is evaluated."""
        return self.folder / "slim.pt" if self.recipe.votes else self.trained

    def batches(self) -> Dict[str, Any]:
        """Batches whose tokens per update are those of the recipe, whatever the number of GPUs.

        Raises:
            SettingsError: if they cannot be, with what would.
        """
        batches = dict(self.recipe.options["batches"])
        if self.max_tokens:
            batches["max-tokens"] = self.max_tokens
        workers = max(self.gpus, 1)
        together = workers * batches["max-tokens"]
        if self.recipe.tokens_per_update % together:
            raise SettingsError(
                f"--gpus {self.gpus} --max-tokens {batches['max-tokens']}: {together} tokens at once do not divide the "
                f"{self.recipe.tokens_per_update} tokens of an update; with {workers} of them, --max-tokens "
                f"{self.recipe.tokens_per_update // workers} or an integer fraction of that does"
            )
        batches["update-freq"] = self.recipe.tokens_per_update // together
        return batches


def prepare(run: Run, args: Namespace) -> Command:
    source = ["--source", args.source] if args.source else []
    subwords = ["--subwords", run.subwords] if run.recipe.kind != "language_modeling" else []
    command = ["python", "scripts/prepare_data.py", run.recipe.set, str(run.data)]
    return Command("data", command, [("", [*source, *subwords])])


def train(run: Run) -> Command:
    recipe, grouped = run.recipe, run.recipe.grouped
    options = {label: dict(of) for label, of in recipe.options.items()}
    if grouped:
        options["architecture"]["arch"] = f"ghat_{options['architecture']['arch']}"
        options["criterion"]["criterion"] = f"group_constrained_{options['criterion']['criterion']}"
    # fairseq's own model too: without the plug-in, torch's safe loading refuses the checkpoint that it goes on from.
    task = {"user-dir": "fairseq_ghat", "task": f"{recipe.task}_v2s" if grouped else recipe.task}
    if recipe.languages:
        task.update(zip(("source-lang", "target-lang"), recipe.languages))
    if options["validation"].get("eval-bleu"):
        options["validation"]["eval-bleu-detok"] = "moses" if run.subwords == "moses-bpe" else "space"
        if run.subwords == "moses-bpe":
            options["validation"]["eval-bleu-detok-args"] = {"target_lang": recipe.languages[1]}
        options["validation"]["eval-bleu-remove-bpe"] = SUBWORDS[run.subwords]
    checkpoints = {"save-dir": run.folder, "no-epoch-checkpoints": True}
    if recipe.average > 1:
        checkpoints["keep-best-checkpoints"] = recipe.average
    machine = {"cpu": True, "num-workers": 0} if run.gpus == 0 else {"distributed-world-size": run.gpus}
    groups = {
        "task": task,
        "architecture": options["architecture"],
        "criterion": options["criterion"],
        "grouping": options.get("grouping", {}),
        "vote": options.get("vote", {}),
        "optimizer": options["optimizer"],
        "batches": run.batches(),
        "stopping": options["stopping"],
        "validation": options["validation"],
        "checkpoints": {**checkpoints, "seed": run.seed},
        "machine": {**machine, "log-format": "simple", "log-interval": 50},
    }
    arguments = [(label, option_arguments(of)) for label, of in groups.items()]
    return Command(
        "train",
        ["fairseq-train", str(run.data / "bin")],
        [*arguments, ("more", list(run.more))],
        log=run.folder / "train.log",
    )


def average(run: Run) -> List[Command]:
    if run.recipe.average == 1:
        return []
    command = ["ghat-average", str(run.folder), "--best", str(run.recipe.average), "--output", str(run.trained)]
    return [Command(f"average of the {run.recipe.average} best checkpoints", command)]


def slim(run: Run) -> List[Command]:
    if not run.recipe.votes:
        return []
    return [Command("heads removed for real", ["ghat-slim", str(run.trained), str(run.final)])]


def evaluate(run: Run) -> List[Command]:
    """Size and FLOPs, then perplexity, or generation and its scores against raw references."""
    commands = [Command("size and FLOPs", ["ghat-stats", str(run.final), "--json"], output=run.folder / "stats.json")]
    machine = [("", ["--cpu"] if run.gpus == 0 else [])]
    if run.recipe.kind == "language_modeling":
        command = ["ghat-perplexity", str(run.data / "bin"), str(run.final), "--gen-subset", "valid,test"]
        options = [("window", option_arguments(run.recipe.evaluation)), ("", ["--json"]), *machine]
        return [*commands, Command("perplexity", command, options, output=run.folder / "perplexity.json")]
    log = run.folder / "generate.log"
    source, target = run.recipe.languages
    # --required-batch-size-multiple 1: with its default of 8, fairseq-fixed leaves out the last sentences.
    text = {"remove-bpe": SUBWORDS[run.subwords], "required-batch-size-multiple": 1}
    # fairseq-generate reads the data by its own options, not by those of training: long sources are cut here too.
    trained = {**run.recipe.options["architecture"], **run.recipe.options["batches"]}
    text.update({name: trained[name] for name in ("truncate-source", "max-source-positions") if name in trained})
    if run.subwords == "moses-bpe":
        text["tokenizer"] = "moses"
    generation = {"user-dir": "fairseq_ghat", "path": run.final, "gen-subset": "test"}
    generation.update({"source-lang": source, "target-lang": target})
    options = [
        ("model", option_arguments(generation)),
        ("search", option_arguments(run.recipe.evaluation)),
        ("text", option_arguments(text)),
        ("", ["--no-progress-bar", *machine[0][1]]),
    ]
    commands.append(Command("generation", ["fairseq-generate", str(run.data / "bin")], options, output=log))
    metric = "bleu" if run.recipe.kind == "translation" else "rouge"
    scoring = ["--metric", metric, *(["--lowercase"] if run.recipe.lowercase else []), "--json"]
    score = ["ghat-score", str(run.data / run.recipe.references), str(log)]
    return [*commands, Command("score", score, [("", scoring)], output=run.folder / "score.json")]


def bench(runs: List[Run], folder: Path) -> List[Command]:
    """Speed of all systems, measured by turns; the language models' is in their perplexity."""
    if runs[0].recipe.kind == "language_modeling":
        return []
    command = ["ghat-bench", str(runs[0].data / "bin"), *(str(run.final) for run in runs), "--json"]
    options = [("", ["--cpu"] if runs[0].gpus == 0 else [])]
    return [Command("speed, by turns", command, options, output=folder / "bench.json")]


def table(runs: List[Run], folder: Path) -> Command:
    command = ["python", "scripts/results_table.py", *(str(run.folder) for run in runs)]
    command += ["--bench", str(folder / "bench.json")] if runs[0].recipe.kind != "language_modeling" else []
    return Command("table", command, output=None)
