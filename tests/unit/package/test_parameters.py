"""Parameter counts on hand-made state dicts."""

import torch

from fairseq_ghat.profiling.parameters import attention_weights, non_embedding_parameters

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
