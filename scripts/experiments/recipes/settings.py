"""Reads settings.yaml: what is trained on a data set, by which settings."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import yaml

SETTINGS = Path(__file__).resolve().parents[3] / "examples/settings.yaml"
KINDS = ("translation", "language_modeling", "summarization")
# Options of fairseq-train, by what they are about.
LABELS = ("architecture", "criterion", "optimizer", "batches", "stopping", "validation")
_OF_SYSTEM = ("architecture", "grouping", "vote")
_VOTE = ("vote-epoch", "vote-tolerance", "vote-by", "keep-heads", "refit")
_EVALUATION = {"translation": "generation", "summarization": "generation", "language_modeling": "perplexity"}


class SettingsError(ValueError):
    """Settings that cannot be used; the message names the file or flag, the value found and what is allowed."""


@dataclass
class Recipe:
    """One system on one data set.

    Attributes:
        set, system: their names.
        kind: of KINDS.
        task: fairseq's, of its own models.
        options: label -> options of fairseq-train; grouping and vote are there only for the systems that have them.
        tokens_per_update: all GPUs and accumulated batches together.
        average: how many of the best checkpoints are averaged.
        evaluation: options of fairseq-generate, or of ghat-perplexity.
        lowercase: the text is lower-cased.
        references: of the test set, in the folder of the data; None for a language model.
    """

    set: str
    system: str
    kind: str
    task: str
    options: Dict[str, Dict[str, Any]]
    tokens_per_update: int
    average: int
    evaluation: Dict[str, Any]
    lowercase: bool
    references: Optional[str]

    @property
    def languages(self) -> Optional[Tuple[str, str]]:
        """Source and target; None for a language model."""
        pair = tuple(self.set.rpartition(".")[2].split("-"))
        return {"translation": pair, "summarization": ("source", "target"), "language_modeling": None}[self.kind]

    @property
    def grouped(self) -> bool:
        """Whether it is a model of ours rather than fairseq's own."""
        return "grouping" in self.options

    @property
    def votes(self) -> bool:
        return "vote" in self.options


def read_settings(path: Path = SETTINGS) -> Dict[str, Any]:
    """The whole file. Raises SettingsError if a part is missing or unknown."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise SettingsError(f"{path}: {error}") from error
    if not isinstance(content, dict) or set(content) != {"systems", "sets", "recipes"}:
        raise SettingsError(f"{path}: wants systems, sets and recipes, nothing else")
    for name, system in content["systems"].items():
        _check_keys(path, f"systems: {name}", system, required=(), allowed=_OF_SYSTEM)
    for name, recipe in content["recipes"].items():
        if recipe.get("kind") not in KINDS:
            raise SettingsError(f"{path}: recipes: {name}: kind is {recipe.get('kind')}; allowed is {', '.join(KINDS)}")
        required = ("kind", "task", "average", _EVALUATION[recipe["kind"]], *LABELS)
        _check_keys(path, f"recipes: {name}", recipe, required, allowed=(*required, "lowercase", "references"))
    for name, of in content["sets"].items():
        _check_keys(path, f"sets: {name}", of, required=("recipe",), allowed=("recipe", *content["systems"]))
        if of["recipe"] not in content["recipes"]:
            raise SettingsError(f"{path}: sets: {name}: there is no recipe {of['recipe']}")
    return content


def _check_keys(path: Path, where: str, found: Dict[str, Any], required, allowed) -> None:
    missing, unknown = set(required) - set(found), set(found) - set(allowed)
    if missing or unknown:
        what = f"lacks {', '.join(sorted(missing))}" if missing else f"has {', '.join(sorted(unknown))}"
        raise SettingsError(f"{path}: {where} {what}; allowed is {', '.join(allowed)}")


def sets_of(settings: Dict[str, Any], kind: Optional[str] = None) -> List[str]:
    """Names of the data sets, all or of one kind."""
    recipes = settings["recipes"]
    return [name for name, of in settings["sets"].items() if kind in (None, recipes[of["recipe"]]["kind"])]


def recipe(settings: Dict[str, Any], name: str, system: str) -> Recipe:
    """The settings of one system on one data set: of the recipe, then of the system, then of both.

    Raises:
        SettingsError: if there is no such set or system.
    """
    for what, value, allowed in (("SET", name, settings["sets"]), ("--systems", system, settings["systems"])):
        if value not in allowed:
            raise SettingsError(f"{what} {value}: allowed is {', '.join(allowed)}")
    of_set = settings["sets"][name]
    base = settings["recipes"][of_set["recipe"]]
    options = {label: dict(base[label]) for label in LABELS}
    for label, more in settings["systems"][system].items():
        options.setdefault(label, {}).update(more)
    of_both = of_set.get("ght-ps" if system == "ght-ps-lite" else system, {})
    for option, value in of_both.items():
        options["vote" if option in _VOTE else "grouping"][option] = value
    found = Recipe(
        set=name,
        system=system,
        kind=base["kind"],
        task=base["task"],
        options=options,
        tokens_per_update=options["batches"].pop("tokens-per-update"),
        average=base["average"],
        evaluation=dict(base[_EVALUATION[base["kind"]]]),
        lowercase=base.get("lowercase", False),
        references=base.get("references"),
    )
    if found.references is None and found.languages:
        found.references = f"raw/test.{found.languages[1]}"
    return found
