"""The options of the model in a checkpoint, among them the record of the heads that a slim model holds."""

from argparse import Namespace
from typing import Any, Dict, List, Mapping

# Option that names, for every attention layer of a slim model, the indexes of its heads among those it was made with.
KEPT_HEADS = "kept_heads"

KeptHeads = Dict[str, List[int]]


def model_options(state: Mapping[str, Any]) -> Any:
    """The model's options in a checkpoint, to read or to change: of the new form (cfg) or of the old one (args)."""
    if state.get("cfg") is not None:
        return state["cfg"]["model"]
    return state.get("args")


def options_by_name(options: Any) -> Dict[str, Any]:
    """Options of either kind, a Namespace or a configuration, as a dictionary."""
    return dict(vars(options)) if isinstance(options, Namespace) else dict(options)


def for_inference(state: Mapping[str, Any]) -> Dict[str, Any]:
    """The checkpoint without optimizer state and shadow (EMA) weights, which no longer fit once heads are gone."""
    lean = {key: value for key, value in state.items() if key != "last_optimizer_state"}
    lean["extra_state"] = {k: v for k, v in state.get("extra_state", {}).items() if not k.startswith("ema")}
    return lean
