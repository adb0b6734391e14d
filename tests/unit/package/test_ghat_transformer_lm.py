"""ghat_transformer_lm against fairseq's transformer_lm built from the same options and seed."""

import copy

import pytest
import torch
from fairseq.models.transformer_lm import TransformerLanguageModel, TransformerLanguageModelConfig
from tiny_models import TinyTask, lm_options

from fairseq_ghat.models.ghat_transformer_lm import (
    GHATTransformerLanguageModel,
    ghat_base_lm_architecture,
    ghat_wiki103_lm_architecture,
)
from fairseq_ghat.modules.attention_kernels import FUSED_CAUSAL
from fairseq_ghat.modules.attention_layers import grouped_attentions, remove_heads
from fairseq_ghat.profiling.parameters import attention_weights, non_embedding_parameters

ADAPTIVE = {
    "adaptive_input": True,
    "adaptive_input_cutoff": "10,30",
    "adaptive_softmax_cutoff": "10,30",
    "tie_adaptive_weights": True,
    "tie_adaptive_proj": True,
    "adaptive_input_factor": 4,
    "adaptive_softmax_factor": 4,
}
SHAPES = [
    {},
    {"share_decoder_input_output_embed": True, "decoder_normalize_before": True},
    {"adaptive_softmax_cutoff": "10,30"},
    ADAPTIVE,
]
NAMES = ["plain", "shared", "adaptive softmax", "adaptive input"]


def build(kind, **given):
    args = lm_options(**given)
    torch.manual_seed(7)
    return kind.build_model(copy.deepcopy(args), TinyTask())


def stock_and_ours(**given):
    return [build(kind, **given) for kind in (TransformerLanguageModel, GHATTransformerLanguageModel)]


def tokens():
    blocks = torch.randint(4, 54, (3, 9), generator=torch.Generator().manual_seed(1))
    blocks[1, 6:] = 1  # a block that ends early
    return blocks


def log_probabilities(model, source):
    output = model(src_tokens=source, src_lengths=None)
    if model.decoder.adaptive_softmax is not None:
        return model.decoder.adaptive_softmax.get_log_prob(output[0], None)
    return model.get_normalized_probs(output, log_probs=True)


@pytest.mark.parametrize("shape", SHAPES, ids=NAMES)
@pytest.mark.parametrize("training", [True, False])
def test_grouping_off_equals_stock(shape, training):
    stock, ours = (model.train(training) for model in stock_and_ours(**shape))
    expected, computed = log_probabilities(stock, tokens()), log_probabilities(ours, tokens())
    torch.testing.assert_close(computed, expected, rtol=0, atol=1e-5)
    if training:
        for model in (stock, ours):
            model(src_tokens=tokens(), src_lengths=None)[0].square().sum().backward()
        gradients = {name: p.grad for name, p in stock.named_parameters() if p.grad is not None}
        assert any("q_proj" in name for name in gradients)
        for name, parameter in ours.named_parameters():
            if name in gradients:
                torch.testing.assert_close(parameter.grad, gradients[name], rtol=1e-4, atol=1e-5)


def test_a_forward_pass_that_runs_again_takes_the_same_kernel():
    """Another kernel may draw another dropout of attention weights: gradients would be of another pass."""
    model = build(GHATTransformerLanguageModel, checkpoint_activations=True, attention_dropout=0.1).train()
    attentions = grouped_attentions(model).values()
    loss = model(src_tokens=torch.randint(4, 54, (2, 32)), src_lengths=None)[0].sum()
    kernels = [attention.kernel for attention in attentions]
    for attention in attentions:
        attention.kernel = None
    loss.backward()
    assert [attention.kernel for attention in attentions] == kernels and None not in kernels


def test_blocks_without_padding_need_no_mask_whatever_their_length():
    stock, ours = (model.eval() for model in stock_and_ours(tokens_per_sample=64))
    for length in (48, 40, 60, 40):
        source = torch.randint(4, 54, (2, length), generator=torch.Generator().manual_seed(length))
        with torch.no_grad():
            torch.testing.assert_close(log_probabilities(ours, source), log_probabilities(stock, source))
        kernels = {attention.kernel for attention in grouped_attentions(ours).values()}
        assert kernels == {FUSED_CAUSAL}


@pytest.mark.parametrize("shape", SHAPES, ids=NAMES)
def test_incremental_generation_equals_stock(shape):
    models, source = [(model.eval(), {}) for model in stock_and_ours(**shape)], tokens()[:, :6]
    with torch.no_grad():
        for length in range(1, 7):
            expected, computed = (
                model.decoder(source[:, :length], incremental_state=state)[0] for model, state in models
            )
            torch.testing.assert_close(computed, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES, ids=NAMES)
def test_stock_checkpoint_loads_as_it_is(shape):
    stock, ours = (model.eval() for model in stock_and_ours(**shape))
    with torch.no_grad():
        for parameter in stock.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3)) * 0.1)
        ours.load_state_dict(stock.state_dict(), strict=True)
        expected, computed = log_probabilities(stock, tokens()), log_probabilities(ours, tokens())
        torch.testing.assert_close(computed, expected, rtol=0, atol=1e-5)


def test_embeddings_that_are_tied_stay_tied():
    for shape, names in (
        ({"share_decoder_input_output_embed": True}, ("embed_tokens.weight", "output_projection.weight")),
        (ADAPTIVE, ("embed_tokens.embeddings.0.0.weight", "adaptive_softmax.head.word_proj.weight")),
    ):
        parameters = dict(build(GHATTransformerLanguageModel, **shape).decoder.named_parameters(remove_duplicate=False))
        assert parameters[names[0]] is parameters[names[1]]


def test_columns_of_the_papers_table_6():
    """201M parameters without embeddings with 16 heads, 167M with 8 of them."""
    with torch.device("meta"):
        args = lm_options(ghat_wiki103_lm_architecture)
        task = TinyTask()
        for word in range(300):
            task.target_dictionary.add_symbol(f"v{word}")
        args.adaptive_input_cutoff = args.adaptive_softmax_cutoff = "100,200"
        full = GHATTransformerLanguageModel.build_model(args, task)
        layers = grouped_attentions(full)
        assert len(layers) == 16 and {layer.num_heads for layer in layers.values()} == {16}
        before = non_embedding_parameters(full.state_dict())
        weights = attention_weights(full.state_dict())
        remove_heads(full, {name: list(range(8)) for name in layers})
        after = non_embedding_parameters(full.state_dict())
        assert attention_weights(full.state_dict()) * 2 == weights
    # By hand, a layer: attention 4 (1024^2 + 1024), feed-forward 2 * 1024 * 4096 + 4096 + 1024, norms 2 * 2 * 1024.
    assert before == 16 * (4 * (1024**2 + 1024) + 2 * 1024 * 4096 + 5120 + 4096)
    assert before - after == 16 * (4 * 512 * 1024 + 3 * 512)
    assert (before // 10**6, after // 10**6) == (201, 167)


def test_fairseq_2612_wiki103_has_the_papers_sixteen_heads_unless_told_otherwise():
    """facebookresearch/fairseq#2612: fairseq's own arch has 8."""
    assert lm_options(ghat_wiki103_lm_architecture).decoder_attention_heads == 16
    assert lm_options(ghat_wiki103_lm_architecture, decoder_attention_heads=8).decoder_attention_heads == 8
    args = lm_options(ghat_wiki103_lm_architecture)
    assert (args.decoder_layers, args.decoder_embed_dim, args.decoder_ffn_embed_dim) == (16, 1024, 4096)
    assert args.adaptive_input and args.tie_adaptive_weights


@pytest.mark.parametrize(
    "given,message",
    [
        ({"head_groups": 9}, "--head-groups 9: allowed is 1 to 8, the --decoder-attention-heads"),
        ({"group_feature": "key"}, "--group-feature key: allowed is one of"),
        ({"character_embeddings": True}, "--character-embeddings: not with ghat_transformer_lm"),
    ],
)
def test_options_that_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        build(GHATTransformerLanguageModel, **given)


def test_base_arch_is_fairseqs_transformer_lm():
    """Its defaults are those of fairseq's configuration of the model."""
    args = lm_options(ghat_base_lm_architecture, dropout=0.1)
    for name, value in vars(TransformerLanguageModelConfig()).items():
        assert str(value).startswith("${") or getattr(args, name) == value, name


def test_architectures_fill_in_the_grouping():
    args = lm_options(ghat_base_lm_architecture)
    assert (args.head_groups, args.group_feature, args.group_distance) == (2, "value", "euclidean")
