"""The command line of fairseq-train that a checkpoint comes from."""

import shlex
from argparse import ArgumentParser, Namespace
from typing import Any, Dict, Mapping

from fairseq import options
from fairseq.models import ARCH_CONFIG_REGISTRY, ARCH_MODEL_REGISTRY

from fairseq_ghat.checkpoints.model_options import arch_of, model_options, options_by_name

# What is chosen among the parts that fairseq registers, each of which brings options of its own.
_CHOICES = ("task", "arch", "criterion", "optimizer", "lr_scheduler")


def train_command(state: Mapping[str, Any]) -> str:
    """The command line, without options that have fairseq's default.

    Args:
        state: a checkpoint.

    Raises:
        ValueError: if the installed fairseq does not know what was chosen, as the task.
    """
    given = all_options(state)
    choices = {name: given[name] for name in _CHOICES if given.get(name)}
    words = [str(given.get("data") or "DATA")]
    for name, value in choices.items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    parser = options.get_training_parser()
    parser.error = _refuse  # argparse would end the process
    defaults = vars(options.parse_args_and_arch(parser, input_args=words))
    defaults = {**_defaults_of_arch(given["arch"]), **defaults}
    if given.get("user_dir"):
        words += ["--user-dir", given["user_dir"]]
    for name, flag in _flags(parser).items():
        value = given.get(name)
        chosen = name in ("user_dir", *_CHOICES)
        if chosen or value is None or value is False or value == defaults.get(name):
            continue
        words += [flag] if value is True else [flag, _text(value)]
    return f"fairseq-train {shlex.join(words)}"


def all_options(state: Mapping[str, Any]) -> Dict[str, Any]:
    """All options of a checkpoint's training by name. Those of the model go last, as fairseq reads them."""
    flat: Dict[str, Any] = {}
    config = options_by_name(state["cfg"]) if state.get("cfg") else {}
    for name, part in config.items():
        by_name = options_by_name(part) if name != "model" and isinstance(part, (Mapping, Namespace)) else {}
        flat.update(by_name)
        if name in _CHOICES and by_name.get("_name"):
            flat[name] = by_name["_name"]
    of_model = options_by_name(model_options(state))
    flat.update({name: value for name, value in of_model.items() if name not in _CHOICES or isinstance(value, str)})
    return {**flat, "arch": arch_of(of_model)}


def _defaults_of_arch(arch: str) -> Dict[str, Any]:
    """Defaults of a model whose options fairseq reads from a configuration, and leaves out of its parser."""
    config = getattr(ARCH_MODEL_REGISTRY.get(arch), "__dataclass", None)
    defaults = Namespace(**(vars(config()) if config else {}))
    if config and arch in ARCH_CONFIG_REGISTRY:
        ARCH_CONFIG_REGISTRY[arch](defaults)
    return vars(defaults)


def _flags(parser: ArgumentParser) -> Dict[str, str]:
    """The longest flag of each option, by the option's name."""
    return {action.dest: max(action.option_strings, key=len) for action in parser._actions if action.option_strings}


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _refuse(message: str) -> None:
    raise ValueError(message)
