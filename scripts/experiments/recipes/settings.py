"""Reads settings.yaml: what is trained on a data set, by which settings."""

from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

import yaml

from experiments.checks import BadInput

SETTINGS_FILE = Path(__file__).resolve().parents[3] / "examples/settings.yaml"
# Kind of task -> label of the options of its evaluation.
KINDS = {
    "translation": "generation",
    "transcription": "generation",  # of letters into sounds
    "language_modeling": "perplexity",
    "summarization": "generation",
}
# Options of fairseq-train by what they are about, in the order that commands have them: those that every recipe has,
# and those that a system may add.
LABELS = ("architecture", "criterion", "grouping", "vote", "optimizer", "batches", "stopping", "validation")
_OF_SYSTEM = ("architecture", "grouping", "vote")
_OF_RECIPE = tuple(label for label in LABELS if label not in ("grouping", "vote"))
_HEADS = 8  # of fairseq's transformers, unless a recipe says otherwise
_UNITS = {"max-tokens": "tokens-per-update", "batch-size": "sentences-per-update"}  # of a batch, of an update


class Recipe:
    """One system on one data set: the settings of the recipe, then of the system, then of both together.

    Args:
        settings: of read_settings.
        name: of the data set.
        system: its name.

    Raises:
        BadInput: if there is no such set or system.

    Attributes:
        set: name of the data set.
        system: name of the system.
        kind: of KINDS.
        task: fairseq's, of its own models.
        options: label -> options of fairseq-train; grouping and vote are there only for the systems that have them.
        unit: option that says how large a batch is: max-tokens, or batch-size in sentences.
        per_update: how many of these an update has, all GPUs and accumulated batches together.
        average: how many of the best checkpoints are averaged.
        evaluation: options of fairseq-generate, or of ghat-perplexity.
        lowercase: whether the text is lower-cased.
        languages: source and target; None for a language model.
        references: of the test set, in the folder of the data; None for a language model.
    """

    def __init__(self, settings: Dict[str, Any], name: str, system: str):
        for flag, value, allowed in (("SET", name, settings["sets"]), ("--systems", system, settings["systems"])):
            if value not in allowed:
                raise BadInput(f"{flag} {value}: allowed is {', '.join(allowed)}")
        of_set, of_system = settings["sets"][name], settings["systems"][system]
        base = settings["recipes"][of_set["recipe"]]
        labels = [label for label in LABELS if label in of_system or label in _OF_RECIPE]
        self.options = {label: {**base.get(label, {}), **of_system.get(label, {})} for label in labels}
        of_both = {**(of_set.get("ght-ps", {}) if system.startswith("ght-ps") else {}), **of_set.get(system, {})}
        for option, value in of_both.items():
            self.options[self._label(option)][option] = value
        self.unit = next(unit for unit in _UNITS if unit in self.options["batches"])
        self.per_update = self.options["batches"].pop(_UNITS[self.unit])
        self.set, self.system = name, system
        self.kind, self.task, self.average = base["kind"], base["task"], base["average"]
        self.evaluation, self.lowercase = base[KINDS[self.kind]], base.get("lowercase", False)
        pair = tuple(name.rpartition(".")[2].split("-"))
        sides = {"summarization": ("source", "target"), "transcription": ("graphemes", "phonemes")}
        self.languages = {"translation": pair, **sides}.get(self.kind)
        end = "references.jsonl" if self.kind == "summarization" else (self.languages or pair)[-1]
        self.references = self.languages and f"raw/test.{end}"
        architecture = self.options["architecture"]
        heads = min((value for option, value in architecture.items() if "attention-heads" in option), default=_HEADS)
        if self.heads_kept and self.heads_kept >= heads:
            raise BadInput(f"--systems {system}: keeps {self.heads_kept} heads of each attention, {name} has {heads}")

    def _label(self, option: str) -> str:
        """The label of a set's option of a system: where the system has it, else that of what it is about."""
        there = [label for label in _OF_SYSTEM if option in self.options.get(label, {})]
        return there[0] if there else "grouping" if option.startswith("group-") else "vote"

    @property
    def grouped(self) -> bool:
        """Whether it is a model of ours rather than fairseq's own."""
        return "grouping" in self.options

    @property
    def in_subwords(self) -> bool:
        """Whether its text is cut into subwords; the others are of whole words, or of letters and sounds."""
        return self.kind in ("translation", "summarization")

    @property
    def votes(self) -> bool:
        return "vote" in self.options

    @property
    def heads_kept(self) -> Optional[int]:
        """How many heads its vote keeps in each attention; None without a vote, or where that is the vote's to say."""
        vote = self.options.get("vote", {})
        if not vote or "budget" in vote or "max-error" in vote or vote.get("keep-heads") == "all":
            return None
        return vote.get("vote-heads", self.options["grouping"]["head-groups"])


def read_settings(path: Path = SETTINGS_FILE) -> Dict[str, Any]:
    """The whole file. Raises BadInput if a part is missing or unknown."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadInput(f"{path}: {error}") from error
    if not isinstance(content, dict) or set(content) != {"systems", "sets", "recipes"}:
        raise BadInput(f"{path}: wants systems, sets and recipes, nothing else")
    for part in ("systems", "sets", "recipes"):
        _fill(f"{path}: {part}", content, part)
        for name in content[part]:
            _fill(f"{path}: {part}: {name}", content[part], name)
    for name, options in content["systems"].items():
        for label in options:
            _fill(f"{path}: systems: {name}: {label}", options, label)
        _check_keys(f"{path}: systems: {name}", options, required=(), allowed=_OF_SYSTEM)
    for name, options in content["recipes"].items():
        if options.get("kind") not in KINDS:
            raise BadInput(f"{path}: recipes: {name}: kind is {options.get('kind')}; allowed is {', '.join(KINDS)}")
        required = ("kind", "task", "average", KINDS[options["kind"]], *_OF_RECIPE)
        _check_keys(f"{path}: recipes: {name}", options, required, allowed=(*required, "grouping", "vote", "lowercase"))
        for label in {*LABELS, KINDS[options["kind"]]} & set(options):
            _fill(f"{path}: recipes: {name}: {label}", options, label)
        if not any({unit, per_update} <= set(options["batches"]) for unit, per_update in _UNITS.items()):
            wanted = " or ".join(map(" with ".join, _UNITS.items()))
            raise BadInput(f"{path}: recipes: {name}: batches wants {wanted}")
        sizes = {option: options["batches"].get(option, 1) for pair in _UNITS.items() for option in pair}
        for option, value in {**sizes, "average": options["average"]}.items():
            if type(value) is not int or value < 1:
                raise BadInput(f"{path}: recipes: {name}: {option} is {value!r}; allowed is a whole number from 1")
    for name, options in content["sets"].items():
        _check_keys(f"{path}: sets: {name}", options, required=("recipe",), allowed=("recipe", *content["systems"]))
        for system in set(options) - {"recipe"}:
            _fill(f"{path}: sets: {name}: {system}", options, system)
        if options["recipe"] not in content["recipes"]:
            raise BadInput(f"{path}: sets: {name}: there is no recipe {options['recipe']}")
    return content


def named_sets(settings: Dict[str, Any], names: Sequence[str]) -> List[str]:
    """The sets that are named, each or by their family (iwslt14: all its pairs). Raises BadInput for another name."""
    known = settings["sets"]
    members = {name: [one for one in known if name in (one, one.partition(".")[0])] for name in names}
    for name, of_name in members.items():
        if not of_name:
            families = [
                family for family in dict.fromkeys(one.partition(".")[0] for one in known) if family not in known
            ]
            raise BadInput(f"SET {name}: allowed is {', '.join([*known, *families])}")
    return list(dict.fromkeys(one for of_name in members.values() for one in of_name))


def _fill(where: str, parent: Dict[str, Any], name: str) -> None:
    """Makes of nothing no options. Raises BadInput for what is neither."""
    if parent[name] is None:
        parent[name] = {}
    if not isinstance(parent[name], dict):
        raise BadInput(f"{where} is {parent[name]!r}; allowed are options and their values")


def _check_keys(where: str, options: Dict[str, Any], required, allowed) -> None:
    missing, unknown = set(required) - set(options), set(options) - set(allowed)
    if missing or unknown:
        wrong = f"lacks {', '.join(sorted(missing))}" if missing else f"has {', '.join(sorted(unknown))}"
        raise BadInput(f"{where} {wrong}; allowed is {', '.join(allowed)}")
