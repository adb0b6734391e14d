"""Which models a comparison is made of, and where each of them lies."""

from argparse import ArgumentParser
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple, Union

from fairseq_ghat.pruning.importance.registry import IMPORTANCES as METHODS
from fairseq_ghat.pruning.importance.registry import RANKS_UNITS

# What a size is: heads in each attention, or a budget of heads and neurons such as parameters=0.5.
Size = Union[int, str]

# How a start is trained on: as it is, with the group constraint, with a group for each head. Then what is added to the
# names of the rows that begin there.
PLAIN, GCT, DIVERSITY = "plain", "gct", "diversity"
_AFTER = {PLAIN: "", GCT: ", after GCT", DIVERSITY: ", after its regularisation"}
# The method whose own regularisation DIVERSITY is, and the one that the others are tested against.
DISAGREEMENT, BASELINE = "disagreement", "pillars"
# The small model trained from the start, with random units: no method of choosing, but what they all compete with.
FROM_START = "from-start"
# What is cut under a budget of heads and neurons: options of ghat-vote. The first three are by reconstruction.
_BOTH = "both"
UNDER_BUDGET: Dict[str, List[str]] = {
    _BOTH: [],
    "heads": ["--keep-neurons", "all"],
    "neurons": ["--keep-heads", "all"],
    **{way: ["--keep-heads", way, "--keep-neurons", way] for way in RANKS_UNITS if way != "reconstruction"},
}


@dataclass(frozen=True)
class Comparison:
    """What is compared, and how: the options of compare_pruning.py under their names, and what the checkpoint says.

    Attributes:
        kind: "translation" or "language_modeling".
        heads: of an attention layer of the checkpoint, the most.
        fewest_heads: of an attention layer; None where all have as many.
        trained_epochs: of the checkpoint; None where it does not say.
        languages: source and target, None for a language model.
        train: further options of fairseq-train.
    """

    data: str
    checkpoint: str
    out: Path
    kind: str
    heads: int
    methods: Sequence[str]
    fewest_heads: Optional[int] = None
    trained_epochs: Optional[int] = None
    languages: Optional[Tuple[str, str]] = None
    gct_methods: Sequence[str] = ()
    keep: Sequence[int] = (2,)
    seeds: Sequence[int] = (1,)
    refit: Sequence[str] = ("output",)
    budget: Sequence[str] = ()
    vote_budget: str = "layer"
    continue_epochs: int = 0
    epochs: int = 1
    train: Sequence[str] = ()
    from_start_args: Sequence[str] = ()
    vote_args: Sequence[str] = ()
    generate_args: Sequence[str] = ()
    reference: Optional[Path] = None
    lowercase: bool = False
    cpu: bool = False

    @property
    def translates(self) -> bool:
        return self.kind == "translation"

    @property
    def sizes(self) -> Sequence[Size]:
        """What the methods cut the checkpoint to."""
        return self.budget or self.keep

    @property
    def epochs_in_all(self) -> int:
        """Of the checkpoint, of the start and of fine-tuning: FROM_START is trained as long."""
        return (self.trained_epochs or 0) + self.continue_epochs + self.epochs

    @property
    def baseline(self) -> str:
        """The method that the others are tested against."""
        usual = _BOTH if self.budget else BASELINE
        first = next((method for method in self.methods if method != FROM_START), FROM_START)
        return usual if usual in self.methods else first

    @property
    def subset(self) -> str:
        """Split that is scored: --gen-subset of generate_args, which has the same default in both programs."""
        parser = ArgumentParser(add_help=False, allow_abbrev=False)
        parser.add_argument("--gen-subset", default="test")
        return parser.parse_known_args(list(self.generate_args))[0].gen_subset


@dataclass(frozen=True)
class ScoredModel:
    """A model that is scored: its checkpoint, and the files beside it that say how good it is."""

    checkpoint: Path
    folder: Path
    name: str
    translates: bool

    @property
    def output(self) -> Path:
        """Log of fairseq-generate, or what ghat-perplexity --json said."""
        return self.folder / (f"{self.name}.generate.log" if self.translates else f"{self.name}.perplexity.json")

    @property
    def score(self) -> Path:
        return self.folder / f"{self.name}.score.json"


@dataclass(frozen=True)
class Start:
    """A model with all heads that heads are chosen from.

    Attributes:
        kind: PLAIN, GCT or DIVERSITY.
        groups: of the constraint it is trained on with; None for PLAIN.
        model: in the folder of its training; the checkpoint that was given, if nothing is trained on.
    """

    kind: str
    groups: Optional[int]
    model: ScoredModel

    @property
    def title(self) -> str:
        """Name of its row in the table."""
        after = {GCT: f", after GCT of {self.groups} groups", DIVERSITY: ", after disagreement regularisation"}
        return "all heads" + after.get(self.kind, "")


@dataclass(frozen=True)
class Vote:
    """One choice of what stays: a method from one start, a size, a refit and a seed.

    Attributes:
        voted: what ghat-vote made; None for FROM_START, which has no refit either, and whose tuned one is trained.
    """

    method: str
    start: Start
    size: Size
    refit: str
    seed: int
    voted: Optional[ScoredModel]
    tuned: ScoredModel

    @property
    def cut(self) -> ScoredModel:
        """The first model that has no more than what stays."""
        return self.voted or self.tuned

    @property
    def title(self) -> str:
        """Name of its row in the table."""
        return self.method + _AFTER[self.start.kind]

    @property
    def described(self) -> str:
        """What its commands are for."""
        size = self.size if isinstance(self.size, str) else f"{self.size} heads"
        refit = f"refit {self.refit}, " if self.refit else ""
        return f"{self.title}, {size}, {refit}seed {self.seed}"

    @property
    def paper(self) -> str:
        """Where the method comes from."""
        if self.method == FROM_START:
            return "Ni et al. 2023, Table 3"
        return METHODS.get(self.method, METHODS["reconstruction"]).paper


def selectable(vote_budget: str) -> List[str]:
    """Methods that can keep to a budget: those that keep one head of each group know none over the whole model."""
    return [name for name, method in METHODS.items() if vote_budget == "layer" or not method.one_per_group]


def starts(comparison: Comparison) -> List[Start]:
    """The starts: the plain one; with epochs trained on, also those of the two constraints that are asked for."""
    kinds: List[Tuple[str, Optional[int]]] = [(PLAIN, None)]
    if comparison.continue_epochs and comparison.gct_methods:
        kinds += [(GCT, keep) for keep in comparison.keep]
    if comparison.continue_epochs and DISAGREEMENT in comparison.methods:
        kinds.append((DIVERSITY, comparison.heads))
    made = []
    for kind, groups in kinds:
        folder = comparison.out / "starts" / (f"{kind}-{groups}" if kind == GCT else kind)
        trained = folder / "checkpoint_last.pt" if comparison.continue_epochs else Path(comparison.checkpoint)
        made.append(Start(kind, groups, ScoredModel(trained, folder, "all-heads", comparison.translates)))
    return made


def votes(comparison: Comparison) -> List[Vote]:
    """All votes, seed by seed: once the first seed is through, every row has a figure. FROM_START is last."""
    choosing = [method for method in comparison.methods if method != FROM_START]
    methods = {PLAIN: choosing, GCT: comparison.gct_methods, DIVERSITY: [DISAGREEMENT]}
    origins = starts(comparison)
    chosen = [
        _vote(comparison, method, start, size, refit, seed)
        for seed in comparison.seeds
        for size in comparison.sizes
        for refit in comparison.refit
        for start in origins
        if start.kind != GCT or start.groups == size
        for method in methods[start.kind]
    ]
    if FROM_START in comparison.methods:
        of_start = [(seed, size) for seed in comparison.seeds for size in comparison.sizes]
        chosen += [_from_start(comparison, origins[0], size, seed) for seed, size in of_start]
    return chosen


def _vote(comparison: Comparison, method: str, start: Start, size: Size, refit: str, seed: int) -> Vote:
    row = method if start.kind == PLAIN else f"{method}-after-{start.kind}"
    folder = comparison.out / f"keep-{size}" / f"refit-{refit}" / row / f"seed-{seed}"
    voted = ScoredModel(folder / "voted.pt", folder, "voted", comparison.translates)
    tuned = ScoredModel(folder / "tuned" / "checkpoint_last.pt", folder, "tuned", comparison.translates)
    return Vote(method, start, size, refit, seed, voted, tuned)


def _from_start(comparison: Comparison, start: Start, size: Size, seed: int) -> Vote:
    folder = comparison.out / f"keep-{size}" / FROM_START / f"seed-{seed}"
    trained = ScoredModel(folder / "trained" / "checkpoint_last.pt", folder, "trained", comparison.translates)
    return Vote(FROM_START, start, size, "", seed, None, trained)
