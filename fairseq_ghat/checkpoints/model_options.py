"""The options of the model in a checkpoint, among them the record of the heads that a slim model holds.

fairseq has kept them in three forms: one flat argparse.Namespace of all options in `args`; a flat Namespace or
configuration in `cfg.model`; and, from fairseq-hydra-train, a `cfg.model` with groups (encoder.attention_heads).
"""

import copy
from argparse import Namespace
from dataclasses import fields, is_dataclass
from typing import Any, Dict, List, Mapping, Optional, Set

from fairseq.models import ARCH_CONFIG_REGISTRY, ARCH_MODEL_REGISTRY
from fairseq.models.transformer import TransformerConfig, TransformerModel
from fairseq.models.transformer_lm import TransformerLanguageModel, TransformerLanguageModelConfig
from omegaconf import OmegaConf

# Option that names, for every attention layer of a slim model, the indexes of its heads among those it was made with.
KEPT_HEADS = "kept_heads"
# Our arch with the weights of each of fairseq's models.
GROUPED_ARCHS = {TransformerModel: "ghat_transformer", TransformerLanguageModel: "ghat_transformer_lm"}
# Switches whose default in fairseq is another option's: it takes those that an old checkpoint lacks for true.
SWITCHES = ("use_plasma_view", "tpu", "add_bos_token")
# Of language models; of a transformer, its layers read them where its options are a Namespace.
_SCALES = ("scale_fc", "scale_attn", "scale_heads", "scale_resids")

KeptHeads = Dict[str, List[int]]


class NotGroupable(ValueError):
    """The checkpoint is of a model that cannot have grouped attention; the message says why."""


def model_options(state: Mapping[str, Any]) -> Any:
    """The model's options in a checkpoint, to read or to change. Those in args go first, as fairseq reads them."""
    if state.get("args") is not None:
        return state["args"]
    return state["cfg"]["model"]


def compute_once(options: Any) -> None:
    """Turns off --checkpoint-activations: gates, masks and counts of FLOPs do not reach a forward pass that runs again.

    --offload-activations goes too, since fairseq turns the one on with the other.
    """
    options.checkpoint_activations = options.offload_activations = False


def options_by_name(options: Any) -> Dict[str, Any]:
    """Options of any kind, a Namespace or a configuration, as a dictionary."""
    if OmegaConf.is_config(options):
        return OmegaConf.to_container(options, resolve=True, enum_to_str=True)
    return dict(vars(options)) if isinstance(options, Namespace) else dict(options)


def arch_of(options: Mapping[str, Any]) -> Optional[str]:
    """The name of the model's architecture, given its options by name."""
    return options.get("arch") or options.get("_name")


def is_stock(state: Mapping[str, Any]) -> bool:
    """Whether a checkpoint holds fairseq's own transformer or language model."""
    return ARCH_MODEL_REGISTRY.get(arch_of(options_by_name(model_options(state)))) in GROUPED_ARCHS


def flat_options(state: Mapping[str, Any]) -> Namespace:
    """A copy of the options of a model in one form: flat, as on the command line.

    Raises:
        NotGroupable: if fairseq's own model has an option that the installed fairseq does not know; names it.
    """
    options = model_options(state)
    given = copy.deepcopy(options_by_name(options))
    model, flat = ARCH_MODEL_REGISTRY.get(arch_of(given)), Namespace(**given)
    groups = {name: given[name] for name in _GROUPS if isinstance(given.get(name), Mapping)}
    if model in GROUPED_ARCHS and not isinstance(options, Namespace):  # a Namespace has the options of all parts
        _refuse_unknown(given, groups, language_model=model is TransformerLanguageModel)
    if model is TransformerLanguageModel:
        # fairseq builds it from a configuration, of which these options never reach the layers.
        vars(flat).update({name: False for name in _SCALES if hasattr(flat, name)})
    if model is TransformerModel or (groups and issubclass(model or object, TransformerModel)):
        # In fairseq's order: what the arch fills in is overruled by a group.
        ARCH_CONFIG_REGISTRY[arch_of(given)](flat)
        # As a configuration where there are groups: of a Namespace fairseq would let flat names overrule them.
        mapped = by_flat_name(OmegaConf.create(vars(flat)) if groups else flat)
        for name in groups:
            delattr(flat, name)
        for name, value in mapped.items():
            if hasattr(flat, name) or value != DEFAULTS[name]:
                setattr(flat, name, value)
    return flat


def _refuse_unknown(given: Mapping[str, Any], groups: Mapping[str, Any], language_model: bool) -> None:
    """Raises NotGroupable if an option is in use that fairseq's model does not have: it might change what it computes.

    An option that is off (None, False, 0 or empty) changes nothing.
    """
    known = _field_names(TransformerLanguageModelConfig) if language_model else {*DEFAULTS, *groups}
    unknown = [name for name, value in given.items() if value and name not in {*known, "arch", "_name"}]
    for group, options in ({} if language_model else groups).items():
        known = _field_names(_GROUPS[group])
        unknown += [f"{group}.{name}" for name, value in options.items() if value and name not in {*known, "_name"}]
    if unknown:
        raise NotGroupable(f"it uses {', '.join(sorted(unknown))}, which fairseq's model of that name does not have")


def by_flat_name(config: Any) -> Dict[str, Any]:
    """A built transformer's configuration by the names of the command line: encoder_layers, dropout."""
    config = TransformerConfig.from_namespace(config)
    flat: Dict[str, Any] = {}
    for name in _field_names(config):
        value = getattr(config, name)
        if is_dataclass(value):
            flat.update({f"{name}_{inner}": getattr(value, inner) for inner in _field_names(value)})
        else:
            flat[name] = OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
    return flat


def _field_names(config: Any) -> Set[str]:
    return {field.name for field in fields(config)} - {"_name"}


# What fairseq's transformer has without options: its groups, and the default of each flat name.
_EMPTY = TransformerConfig.from_namespace(Namespace())
_GROUPS = {name: getattr(_EMPTY, name) for name in _field_names(_EMPTY) if is_dataclass(getattr(_EMPTY, name))}
DEFAULTS = by_flat_name(_EMPTY)


def for_inference(state: Mapping[str, Any]) -> Dict[str, Any]:
    """The checkpoint without optimizer state and shadow (EMA) weights, which no longer fit once heads are gone."""
    lean = {key: value for key, value in state.items() if key != "last_optimizer_state"}
    lean["extra_state"] = {k: v for k, v in state.get("extra_state", {}).items() if not k.startswith("ema")}
    return lean
