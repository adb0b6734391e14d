"""Which models a comparison is made of, and where each of them lies."""

from dataclasses import dataclass
from pathlib import Path
from typing import List, Optional, Sequence, Tuple

# How a start is trained on, and what is added to the names of the rows that begin there.
PLAIN, GCT, DIVERSITY = "plain", "gct", "diversity"
AFTER = {PLAIN: "", GCT: ", after GCT", DIVERSITY: ", after its regularisation"}
# The method whose own regularisation DIVERSITY is, and the one that the others are tested against.
DISAGREEMENT, BASELINE = "disagreement", "pillars"


@dataclass(frozen=True)
class Comparison:
    """What is compared, and how.

    Attributes:
        data, checkpoint: as fairseq takes them. out: folder of everything that is made.
        kind: "translation" or "language_modeling". languages: source and target, None for a language model.
        heads: of each attention layer of the checkpoint, before any is removed.
        methods: ways of choosing heads. gct_methods: those that also begin after the group constraint.
        keeps: heads that stay in each attention (on average over the model under the budget "model").
        continue_epochs: that every start is trained on from the checkpoint. epochs: of fine-tuning after the vote.
        train, vote, measure: further arguments of fairseq-train, ghat-vote, and fairseq-generate or ghat-perplexity.
        subset: split that is scored. reference: raw text; None for the references of the data.
    """

    data: str
    checkpoint: str
    out: Path
    kind: str
    heads: int
    methods: Sequence[str]
    languages: Optional[Tuple[str, str]] = None
    gct_methods: Sequence[str] = ()
    keeps: Sequence[int] = (2,)
    seeds: Sequence[int] = (1,)
    refits: Sequence[str] = ("output",)
    budget: str = "layer"
    continue_epochs: int = 0
    epochs: int = 1
    train: Sequence[str] = ()
    vote: Sequence[str] = ()
    measure: Sequence[str] = ()
    subset: str = "test"
    reference: Optional[Path] = None
    lowercase: bool = False
    cpu: bool = False

    @property
    def translates(self) -> bool:
        return self.kind == "translation"

    @property
    def baseline(self) -> str:
        """The method that the others are tested against."""
        return BASELINE if BASELINE in self.methods else self.methods[0]


@dataclass(frozen=True)
class Measured:
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
        kind: PLAIN, GCT or DIVERSITY. groups: of the constraint it is trained on with; None for PLAIN.
        folder: of its training, and of its score.
        model: its checkpoint; the one that was given, if nothing is trained on.
    """

    kind: str
    groups: Optional[int]
    folder: Path
    model: Measured

    @property
    def title(self) -> str:
        """Its row's name in the table."""
        said = {GCT: f", after GCT of {self.groups} groups", DIVERSITY: ", after disagreement regularisation"}
        return "all heads" + said.get(self.kind, "")


@dataclass(frozen=True)
class Pruned:
    """One vote: a method from one start, a budget, a refit and a seed."""

    method: str
    start: Start
    keep: int
    refit: str
    seed: int
    folder: Path
    voted: Measured
    tuned: Measured

    @property
    def title(self) -> str:
        """Its row's name in the table."""
        return self.method + AFTER[self.start.kind]

    @property
    def described(self) -> str:
        """What a step says it is about."""
        return f"{self.title}, {self.keep} heads, refit {self.refit}, seed {self.seed}"


def starts(what: Comparison) -> List[Start]:
    """The starts: the plain one; with epochs trained on, also those of the two constraints that are asked for."""
    found = [_start(what, PLAIN, None)]
    if what.continue_epochs:
        if what.gct_methods:
            found += [_start(what, GCT, keep) for keep in what.keeps]
        if DISAGREEMENT in what.methods:
            found.append(_start(what, DIVERSITY, what.heads))
    return found


def pruned(what: Comparison) -> List[Pruned]:
    """All votes, seed by seed: once the first seed is through, every row has a figure."""
    of_kind = {(start.kind, start.groups): start for start in starts(what)}
    plain = of_kind[PLAIN, None]
    found = []
    for seed in what.seeds:
        for keep in what.keeps:
            for refit in what.refits:
                found += [_pruned(what, method, plain, keep, refit, seed) for method in what.methods]
                if (GCT, keep) in of_kind:
                    after = of_kind[GCT, keep]
                    found += [_pruned(what, method, after, keep, refit, seed) for method in what.gct_methods]
                if (DIVERSITY, what.heads) in of_kind:
                    found.append(_pruned(what, DISAGREEMENT, of_kind[DIVERSITY, what.heads], keep, refit, seed))
    return found


def _start(what: Comparison, kind: str, groups: Optional[int]) -> Start:
    folder = what.out / "starts" / (f"{kind}-{groups}" if kind == GCT else kind)
    trained = folder / "checkpoint_last.pt" if what.continue_epochs else Path(what.checkpoint)
    return Start(kind, groups, folder, Measured(trained, folder, "all-heads", what.translates))


def _pruned(what: Comparison, method: str, start: Start, keep: int, refit: str, seed: int) -> Pruned:
    row = method if start.kind == PLAIN else f"{method}-after-{start.kind}"
    folder = what.out / f"keep-{keep}" / f"refit-{refit}" / row / f"seed-{seed}"
    voted = Measured(folder / "voted.pt", folder, "voted", what.translates)
    tuned = Measured(folder / "tuned" / "checkpoint_last.pt", folder, "tuned", what.translates)
    return Pruned(method, start, keep, refit, seed, folder, voted, tuned)
