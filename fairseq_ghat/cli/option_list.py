"""What this package adds to fairseq-train's options, read off what it registers."""

import inspect
import re
import textwrap
from argparse import Action, ArgumentParser, Namespace
from dataclasses import dataclass
from typing import Any, Dict, List

from fairseq.criterions import CRITERION_REGISTRY
from fairseq.models import ARCH_CONFIG_REGISTRY, ARCH_MODEL_INV_REGISTRY, MODEL_REGISTRY
from fairseq.tasks import TASK_REGISTRY

from fairseq_ghat.pruning.importance.registry import IMPORTANCES

_INTRODUCTION = (
    "What fairseq_ghat adds to the options of fairseq-train. All of it needs --user-dir, whose folder "
    "`python -m fairseq_ghat` prints. Options of fairseq's own are not listed."
)
_KINDS = (
    ("Tasks: --task", TASK_REGISTRY),
    ("Criteria: --criterion", CRITERION_REGISTRY),
    ("Models: --arch", MODEL_REGISTRY),
)
_TYPES = {int: "a whole number", float: "a number"}


@dataclass(frozen=True)
class Option:
    """A flag, and in words what it means, what it takes and what it is if it is not given."""

    flag: str
    meaning: str
    values: str


@dataclass
class Section:
    """Names that are registered, with a sentence each, and the options that all of them have."""

    title: str
    names: Dict[str, str]
    options: List[Option]


def sections() -> List[Section]:
    """The tasks, criteria and models of this package, each kind together as far as the options are the same."""
    listed: List[Section] = []
    for title, registry in _KINDS:
        for name, registered in registry.items():
            if not _is_ours(registered):
                continue
            archs = ARCH_MODEL_INV_REGISTRY[name] if registry is MODEL_REGISTRY else []
            names = {arch: _summary(ARCH_CONFIG_REGISTRY[arch]) for arch in archs} or {name: _summary(registered)}
            options = _own_options(registered, _defaults_of_arch(name) if archs else {})
            same = [section for section in listed if section.title == title and section.options == options]
            if same:
                same[0].names.update(names)
            else:
                listed.append(Section(title, names, options))
    ways = {name: f"{way.summary} ({way.paper})" for name, way in IMPORTANCES.items()}
    return [*listed, Section("What the ways of --keep-heads and --keep-neurons look at", ways, [])]


def as_text() -> str:
    """The sections for a terminal."""
    lines = _wrapped(_INTRODUCTION)
    for section in sections():
        lines += ["", section.title]
        for name, summary in section.names.items():
            lines += _wrapped(f"{name}: {summary}", "  ", "    ")
        for option in section.options:
            lines += ["", f"  {option.flag}", *_wrapped(option.meaning, "    "), *_wrapped(option.values, "    ")]
    return "\n".join(lines) + "\n"


def as_markdown() -> str:
    """The sections as docs/options.md."""
    lines = ["# Options", "", *_wrapped(f"{_INTRODUCTION} This page is what `ghat-options --list` prints.")]
    for section in sections():
        lines += ["", f"## {_with_code(section.title)}", ""]
        for name, summary in section.names.items():
            lines += _wrapped(f"- `{name}`: {_with_code(summary)}", "", "  ")
        for option in section.options:
            lines += ["", f"### `{option.flag}`", ""]
            lines += [*_wrapped(_with_code(option.meaning)), "", *_wrapped(_with_code(option.values))]
    return "\n".join(lines) + "\n"


def _wrapped(text: str, indent: str = "", further: str = "") -> List[str]:
    return textwrap.wrap(text, 100, initial_indent=indent, subsequent_indent=further or indent, break_on_hyphens=False)


def _with_code(text: str) -> str:
    return re.sub(r"--[a-z][\w-]*", r"`\g<0>`", text)


def _is_ours(registered: type) -> bool:
    return registered.__module__.split(".")[0] == __name__.split(".")[0]


def _summary(described: Any) -> str:
    """The first paragraph of its docstring, in one line."""
    return " ".join(inspect.getdoc(described).split("\n\n")[0].split())


def _declared(registered: Any) -> Dict[str, Action]:
    """The options that a class declares, by flag."""
    parser = ArgumentParser(add_help=False, allow_abbrev=False)
    registered.add_args(parser)
    return {action.option_strings[0]: action for action in parser._actions if action.option_strings}


def _defaults_of_arch(arch: str) -> Dict[str, Any]:
    filled = Namespace()
    ARCH_CONFIG_REGISTRY[arch](filled)
    return vars(filled)


def _own_options(registered: type, defaults: Dict[str, Any]) -> List[Option]:
    """Options of a class that the class of fairseq's which it extends has not."""
    base = next(kind for kind in registered.__mro__ if not _is_ours(kind))
    stock, listed = _declared(base), []
    for flag, action in _declared(registered).items():
        if flag in stock:
            continue
        default = defaults.get(action.dest, action.default)
        # Where the code has no value, the help says what happens.
        told = re.search(r"\s*\(default: ([^)]*)\)", action.help)
        if default is None or default is False:
            default = told.group(1) if told else "off"
        meaning = action.help.replace(told.group(), "") if told else action.help
        if re.match(r"\w+", meaning).group() not in (action.choices or ()):
            meaning = meaning[0].upper() + meaning[1:]
        listed.append(Option(flag, f"{meaning}.", f"{_takes(action)}. Default: {default}."))
    return listed


def _takes(action: Action) -> str:
    if action.choices:
        return f"Takes one of {', '.join(map(str, action.choices))}"
    return "A switch" if action.nargs == 0 else f"Takes {_TYPES.get(action.type, 'a value')}"
