"""Heads, neurons, parameters and FLOPs of a model."""

from typing import Any, Dict

from fairseq.models import BaseFairseqModel

from fairseq_ghat.modules.attention_layers import heads_per_layer
from fairseq_ghat.modules.feed_forward import neurons_per_layer
from fairseq_ghat.profiling.parameters import attention_weights, non_embedding_parameters


def measure_model(model: BaseFairseqModel, length: int) -> Dict[str, Any]:
    """Figures of a model, as ghat-stats --json prints them: parameters it holds, FLOPs of the heads that stay.

    Args:
        model: with grouped attention.
        length: tokens a side, for FLOPs.

    Raises:
        ModuleNotFoundError: if fvcore is not installed.
    """
    from fairseq_ghat.profiling.flops import count_flops  # only this needs fvcore

    weights = model.state_dict()
    flops = count_flops(model, length)
    return {
        "heads": heads_per_layer(model),
        "neurons": neurons_per_layer(model),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "parameters_without_embeddings": non_embedding_parameters(weights),
        "attention_weights": attention_weights(weights),
        "length": length,
        "flops": flops.total,
        "flops_without_output_layer": flops.without_output_layer,
    }
