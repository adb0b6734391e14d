"""Parameter counts on hand-made state dicts; heads in checkpoints of ours and of stock fairseq."""

import torch
from tiny_models import build_grouped, build_stock, tiny_args

from fairseq_ghat.modules.attention_layers import grouped_attentions
from fairseq_ghat.modules.removable_layers import removable_layers
from fairseq_ghat.profiling.parameters import (
    attention_weights,
    describe_counts,
    heads_in_checkpoint,
    non_embedding_parameters,
    unit_parameters,
)
from fairseq_ghat.pruning.costs import linear_savings, parameters_of_unit

STATE = {
    "encoder.version": torch.zeros(1),
    "encoder.embed_tokens.weight": torch.zeros(100, 8),
    "encoder.embed_positions._float_tensor": torch.zeros(1),
    "encoder.layers.0.self_attn.q_proj.weight": torch.zeros(8, 8),
    "encoder.layers.0.self_attn.q_proj.bias": torch.zeros(8),
    "encoder.layers.0.self_attn.head_mask": torch.ones(2),
    "encoder.layers.0.in_proj_weight": torch.zeros(24, 8),
    "encoder.layers.0.fc1_weight": torch.zeros(16, 8),
    "encoder.layers.0.fc1.weight": torch.zeros(16, 8),
    "decoder.layers.0.encoder_attn.out_proj.weight": torch.zeros(8, 4),
    "decoder.embed_positions.weight": torch.zeros(50, 8),
    "decoder.output_projection.weight": torch.zeros(100, 8),
}


def test_embeddings_masks_and_fused_copies_are_not_counted():
    assert non_embedding_parameters(STATE) == 64 + 8 + 128 + 32


def test_attention_weights_are_projection_matrices_only():
    assert attention_weights(STATE) == 64 + 32


def test_parameters_of_units_are_those_that_a_budget_is_a_share_of():
    model = build_grouped()
    whole = linear_savings(parameters_of_unit, removable_layers(model).values()).whole
    assert unit_parameters(model.state_dict()) == whole == unit_parameters(build_stock().state_dict())


def test_layers_that_differ_are_counted_apart():
    assert describe_counts([8, 8, 8]) == "3 x 8"
    assert describe_counts([2, 3, 2]) == "2 x 2, 1 x 3"


def test_grouped_model_tells_by_its_masks_stock_by_its_options():
    args = tiny_args(encoder_attention_heads=4, decoder_attention_heads=8)
    stock = heads_in_checkpoint({"model": build_stock(**vars(args)).state_dict(), "cfg": None, "args": args})
    model = build_grouped(**vars(args))
    grouped = heads_in_checkpoint({"model": model.state_dict(), "cfg": None, "args": args})
    assert stock == grouped == {name: layer.num_heads for name, layer in grouped_attentions(model).items()}
    assert set(stock.values()) == {4, 8}


def test_heads_voted_out_are_not_computed():
    model = build_grouped()
    name, layer = next(iter(grouped_attentions(model).items()))
    layer.set_head_mask(torch.arange(layer.num_heads) == 0)
    counts = heads_in_checkpoint({"model": model.state_dict(), "args": tiny_args()})
    assert counts.pop(name) == 1 and set(counts.values()) == {layer.num_heads}
