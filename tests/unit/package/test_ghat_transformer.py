"""ghat_transformer with grouping off is fairseq's transformer: same weights, same numbers."""

from argparse import Namespace

import pytest
import torch
from fairseq.dataclass.configs import GenerationConfig
from fairseq.models import ARCH_CONFIG_REGISTRY
from fairseq.sequence_generator import SequenceGenerator
from tiny_models import BASE_SIZE, PAD, TinyTask, build_grouped, build_stock, tiny_args

from fairseq_ghat.models.ghat_transformer import GHATTransformerModel
from fairseq_ghat.modules.attention_layers import is_voted
from fairseq_ghat.modules.grouping import Grouping
from fairseq_ghat.profiling.parameters import non_embedding_parameters

SHAPES = [
    {},
    {"encoder_normalize_before": True, "decoder_normalize_before": True},
    {"share_all_embeddings": False, "encoder_learned_pos": True, "decoder_learned_pos": True},
    {"encoder_embed_dim": 48, "encoder_attention_heads": 4},
    {"activation_fn": "gelu", "layernorm_embedding": True},
]


def pair(**options):
    if "encoder_embed_dim" in options:
        options = {"share_all_embeddings": False, **options}
    stock, ours = build_stock(**options), build_grouped(**options)
    ours.load_state_dict(stock.state_dict(), strict=True)
    return stock, ours


@pytest.mark.parametrize("options", SHAPES, ids=str)
@pytest.mark.parametrize("training", [True, False])
def test_forward_equals_stock(options, training, batch):
    stock, ours = pair(**options)
    expected = stock.train(training)(**batch["net_input"])[0]
    logits = ours.train(training)(**batch["net_input"])[0]
    real = batch["target"].ne(PAD)
    torch.testing.assert_close(logits[real], expected[real], rtol=0, atol=1e-5)


@pytest.mark.parametrize("left_pad_target", [False, True])
def test_gradients_equal_stock(left_pad_target, batch):
    stock, ours = pair()
    if left_pad_target:  # the first queries of the first sentence see padding alone
        for tokens in (batch["target"], batch["net_input"]["prev_output_tokens"]):
            tokens[0] = tokens[0].roll(2)
    for model in (ours, stock):
        logits = model.train()(**batch["net_input"])[0]
        if not logits.isfinite().all() and model is stock:
            pytest.skip("fairseq's own model trains to NaN in this torch")
        assert logits.isfinite().all()
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch["target"].flatten(), ignore_index=PAD).backward()
    expected = dict(stock.named_parameters())
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name].grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("options", SHAPES, ids=str)
def test_incremental_decoding_equals_stock_and_full_forward(options, batch):
    stock, ours = pair(**options)
    previous = batch["net_input"]["prev_output_tokens"][1:]
    src = batch["net_input"]["src_tokens"][1:]
    logits = []
    for model in (stock.eval(), ours.eval()):
        encoder_out = model.encoder(src)
        state, steps = {}, []
        for step in range(1, previous.size(1) + 1):
            steps.append(model.decoder(previous[:, :step], encoder_out=encoder_out, incremental_state=state)[0])
        logits.append(torch.cat(steps, dim=1))
    full = ours(src, None, previous)[0]
    torch.testing.assert_close(logits[1], logits[0], rtol=0, atol=1e-5)
    torch.testing.assert_close(logits[1], full, rtol=0, atol=1e-5)


def beam_search(model, batch):
    generator = SequenceGenerator([model], TinyTask().target_dictionary, beam_size=4, max_len_b=12)
    return generator.generate([model], batch)


def test_beam_search_equals_stock(batch):
    hypotheses = [beam_search(model.eval(), batch) for model in pair()]
    for expected, translations in zip(*hypotheses):
        assert [h["tokens"].tolist() for h in translations] == [h["tokens"].tolist() for h in expected]
        ours, stock = (torch.stack([h["score"] for h in sentence]) for sentence in (translations, expected))
        torch.testing.assert_close(ours, stock)


@pytest.mark.parametrize("option", [None, "print_alignment", "replace_unk"])
def test_decoding_steps_have_attention_where_an_option_uses_it_and_translations_stay_the_same(option, batch):
    stock, ours = pair()
    generation = GenerationConfig(**({option: "hard"} if option else {}))
    hypotheses = []
    for model in (stock.eval(), ours.eval()):
        model.prepare_for_inference_(Namespace(generation=generation))
        hypotheses.append(beam_search(model, batch))
    for expected, translations in zip(*hypotheses):
        assert [h["tokens"].tolist() for h in translations] == [h["tokens"].tolist() for h in expected]
        for theirs, own in zip(expected, translations):
            if option:
                torch.testing.assert_close(own["attention"], theirs["attention"], rtol=1e-5, atol=1e-6)
            else:
                assert theirs["attention"].numel() and not own["attention"].numel()
    whole = [model(**batch["net_input"])[1]["attn"][0] for model in (stock, ours)]  # as alignments are computed
    torch.testing.assert_close(whole[1], whole[0], rtol=1e-5, atol=1e-6)


def test_decoder_layers_compute_no_weights_that_the_decoder_does_not_hand_out(batch):
    ours = build_grouped().eval()
    asked = []
    for layer in ours.decoder.layers:
        layer.encoder_attn.register_forward_pre_hook(
            lambda _, args, kwargs: asked.append(kwargs["need_weights"]), with_kwargs=True
        )
    attention = ours(**batch["net_input"])[1]["attn"][0]
    assert asked == [False, True] and attention.shape == (3, 6, 7)


def test_same_seed_gives_the_weights_of_stock():
    stock, ours = (dict(build().named_parameters()) for build in (build_stock, build_grouped))
    assert all(torch.equal(stock[name], parameter) for name, parameter in ours.items())


def test_stock_checkpoint_of_fairseq_0_12_2_loads_without_its_fused_copies(batch):
    stock, ours = build_stock().eval(), build_grouped().eval()
    state = dict(stock.state_dict())
    attention = "encoder.layers.0.self_attn."
    state["encoder.layers.0.in_proj_weight"] = torch.cat([state[f"{attention}{p}_proj.weight"] for p in "qkv"])
    state["encoder.layers.0.in_proj_bias"] = torch.cat([state[f"{attention}{p}_proj.bias"] for p in "qkv"])
    state["encoder.layers.0.fc1_weight"] = state["encoder.layers.0.fc1.weight"]
    ours.load_state_dict(state, strict=True)
    torch.testing.assert_close(ours(**batch["net_input"])[0], stock(**batch["net_input"])[0])


def test_no_parameter_is_held_twice():
    names = [name for name, _ in build_grouped().named_parameters()]
    assert not [name for name in names if name.startswith("encoder.layers") and "in_proj" in name]
    assert all(not layer.can_use_fastpath for layer in build_grouped().encoder.layers)


def test_fresh_model_is_not_voted():
    model = build_grouped()
    assert not is_voted(model)
    assert model.grouping == Grouping(2, "value", "euclidean")


ARCHS = {  # layers, width, feed-forward, heads
    "ghat_transformer": (6, 512, 2048, 8),
    "ghat_transformer_iwslt_de_en": (6, 512, 2048, 8),
    "ghat_transformer_wmt_en_de": (6, 512, 2048, 8),
    "ghat_transformer_wmt_en_de_big": (6, 1024, 4096, 16),
    "ghat_transformer_lite": (6, 512, 1024, 8),
}


@pytest.mark.parametrize("arch", ARCHS)
def test_archs_have_the_papers_shape(arch):
    args = Namespace()
    ARCH_CONFIG_REGISTRY[arch](args)
    for side in ("encoder", "decoder"):
        parts = ("layers", "embed_dim", "ffn_embed_dim", "attention_heads")
        assert tuple(getattr(args, f"{side}_{part}") for part in parts) == ARCHS[arch]
    assert args.encoder_normalize_before is args.decoder_normalize_before is False


def test_base_size_has_44_million_parameters_without_embeddings():
    """Paper, Table 1; by hand 6 x 3.152M + 6 x 4.204M = 44.1M."""
    with torch.device("meta"):
        model = GHATTransformerModel.build_model(tiny_args(**BASE_SIZE), TinyTask())
    per_attention = 4 * (512 * 512 + 512)
    feed_forward = 2 * 512 * 2048 + 512 + 2048
    encoder, decoder = per_attention + feed_forward + 4 * 512, 2 * per_attention + feed_forward + 6 * 512
    assert non_embedding_parameters(model.state_dict()) == 6 * (encoder + decoder) == 44_138_496


@pytest.mark.parametrize(
    "options,message",
    [
        ({"head_groups": 0}, "--head-groups 0: allowed is 1 to 8"),
        ({"head_groups": 9}, "--head-groups 9: allowed is 1 to 8"),
        ({"head_groups": 5, "decoder_attention_heads": 4}, "allowed is 1 to 4, the --decoder-attention-heads"),
        ({"group_feature": "key"}, "--group-feature key: allowed is one of value, attention, output"),
        ({"group_distance": "city"}, "--group-distance city: allowed is one of euclidean, cosine"),
    ],
)
def test_wrong_grouping_is_refused_by_flag(options, message):
    with pytest.raises(ValueError, match=message):
        build_grouped(**options)
