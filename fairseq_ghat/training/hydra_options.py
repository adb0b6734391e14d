"""The options of a model under fairseq-hydra-train, made those that fairseq-train would give it.

fairseq-train gives a model one flat Namespace with the options of all parts of a run. fairseq-hydra-train gives it the
group `model` of a configuration, which may hold groups again: model.encoder.layers is --encoder-layers.
"""

import functools
from argparse import SUPPRESS, ArgumentParser, Namespace
from collections.abc import Mapping
from typing import Any, Callable, Dict, Iterator, Tuple

from fairseq.dataclass.utils import omegaconf_no_object_check
from fairseq.models import (
    ARCH_CONFIG_REGISTRY,
    ARCH_MODEL_REGISTRY,
    MODEL_DATACLASS_REGISTRY,
    register_model_architecture,
)
from omegaconf import OmegaConf, open_dict

from fairseq_ghat.checkpoints.model_options import KEPT_HEADS, arch_of, flat_options

# Parts of a run, beside the model, whose options a model may read.
_PARTS = ("common", "distributed_training", "dataset", "optimization", "checkpoint", "ema", "task")
# Of fairseq's transformer, which its parser leaves out.
_WITHOUT_FLAG = ("decoder_input_dim",)


def register_architecture(model: str, arch: str) -> Callable[[Callable[[Namespace], None]], Callable[[Any], None]]:
    """As fairseq's register_model_architecture; a configuration is left to as_command_line, which fills it in."""

    def registered(fill_in: Callable[[Namespace], None]) -> Callable[[Any], None]:
        @functools.wraps(fill_in)
        def fill_in_flat(args: Any) -> None:
            if not OmegaConf.is_config(args):
                fill_in(args)

        return register_model_architecture(model, arch)(fill_in_flat)

    return registered


def as_command_line(options: Any) -> Any:
    """The options of a model as fairseq-train gives them.

    Args:
        options: a Namespace, which is returned as it is, or the group `model` of a configuration. The configuration
            of a run then holds the Namespace instead, as that of fairseq-train does, so its checkpoints do too.

    Raises:
        ValueError: for an option that the model does not have, a value that is not allowed, or an option that was
            given twice; names it.
    """
    arch = None if isinstance(options, Namespace) else arch_of(options)
    if arch not in ARCH_MODEL_REGISTRY or arch in MODEL_DATACLASS_REGISTRY:
        return options
    if KEPT_HEADS in options:  # of a checkpoint
        return flat_options({"cfg": {"model": options}})
    run, flat = options._get_parent(), Namespace()
    for part in _PARTS:
        if run is not None and run.get(part) is not None:
            vars(flat).update(OmegaConf.to_container(run[part], resolve=True, enum_to_str=True))
    vars(flat).update(_given(options, arch), arch=arch, _name=arch)
    ARCH_CONFIG_REGISTRY[arch](flat)
    if run is not None and run.get("model") is options:
        with open_dict(run), omegaconf_no_object_check():
            run.model = flat
    return flat


class _Parser(ArgumentParser):
    def error(self, message: str) -> None:
        raise ValueError(f"options of the model: {message}")


def _given(options: Any, arch: str) -> Dict[str, Any]:
    """The options of a configuration by flat name, as the model's own parser reads them."""
    parser = _Parser(argument_default=SUPPRESS, allow_abbrev=False, add_help=False)
    ARCH_MODEL_REGISTRY[arch].add_args(parser)
    switches = {action.dest for action in parser._actions if action.nargs == 0}
    known = {action.dest: action.option_strings[0] for action in parser._actions}
    names: Dict[str, str] = {}
    words, direct = [], {}
    for name, flat_name, value in _by_flat_name(options):
        if flat_name not in known and flat_name not in _WITHOUT_FLAG:
            raise ValueError(
                f"model.{name}: {arch} has no such option; allowed are those of fairseq's model of this kind, and what "
                "`ghat-options --list` prints"
            )
        if flat_name in names:
            raise ValueError(f"model.{name} and model.{names[flat_name]} are the same option; give one of them")
        names[flat_name] = name
        if value is None:
            continue
        if flat_name not in known or (flat_name in switches and isinstance(value, bool)):
            direct[flat_name] = value
        else:
            text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
            words.append(f"{known[flat_name]}={text}")
    return {**vars(parser.parse_args(words)), **direct}


def _by_flat_name(options: Any) -> Iterator[Tuple[str, str, Any]]:
    """Name in the configuration, flat name and value of each option."""
    for name, value in OmegaConf.to_container(options, resolve=True, enum_to_str=True).items():
        if isinstance(value, Mapping):
            yield from ((f"{name}.{inner}", f"{name}_{inner}", of) for inner, of in value.items() if inner != "_name")
        elif name not in ("_name", "arch"):
            yield name, name, value
