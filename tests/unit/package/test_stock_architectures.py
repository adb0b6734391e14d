"""Property: any architecture of fairseq's transformer or language model, in each form that fairseq has saved options
in, becomes a grouped model that computes the same; and what a vote masks there computes what a slim model does."""

import copy
import random
from argparse import Namespace

import pytest
import torch
from fairseq import models
from fairseq.models.transformer_lm import TransformerLanguageModelConfig
from omegaconf import OmegaConf

from fairseq_ghat.checkpoints.dictionary_task import DictionaryTask
from fairseq_ghat.checkpoints.files import read_checkpoint, write_checkpoint
from fairseq_ghat.checkpoints.model_options import DEFAULTS, KEPT_HEADS, flat_options, model_options
from fairseq_ghat.checkpoints.stock_comparison import check_against_fairseq
from fairseq_ghat.checkpoints.stock_conversion import as_grouped_checkpoint
from fairseq_ghat.models.ghat_transformer import ghat_base_architecture
from fairseq_ghat.modules.attention_layers import grouped_attentions, remove_heads
from fairseq_ghat.profiling.model_building import build_from_checkpoint

FORMS = ("namespace", "flat", "nested")
DRAWS = 60
VOCABULARY = 24
# Options that fairseq-train adds to those of the model, in one Namespace with them.
TRAINING = {
    arch: {"task": task, "criterion": "cross_entropy", "lr": [0.1], "seed": 1, "max_tokens": 100}
    for arch, task in (("transformer", "translation"), ("transformer_lm", "language_modeling"))
}


def drawn_transformer(draw):
    """Options, by flat name, of a transformer that fairseq can build."""
    same_width = draw.random() < 0.5
    tied = draw.choice(["all", "decoder", "merged", "none"]) if same_width else draw.choice(["decoder", "none"])
    options = {
        "activation_fn": draw.choice(["relu", "gelu", "gelu_accurate", "tanh", "linear"]),
        "share_all_embeddings": tied == "all",
        "merge_src_tgt_embed": tied == "merged",
        "share_decoder_input_output_embed": tied != "none",
        "max_source_positions": 32,
        "max_target_positions": 32,
        "no_decoder_final_norm": draw.random() < 0.3,
    }
    for name in ("layernorm_embedding", "no_scale_embedding", "no_token_positional_embeddings"):
        options[name] = draw.random() < 0.4
    width = draw.choice([16, 24])
    for side in ("encoder", "decoder"):
        options[f"{side}_embed_dim"] = width if same_width else draw.choice([16, 24, 32])
        options[f"{side}_ffn_embed_dim"] = draw.choice([8, 20, 48])
        options[f"{side}_layers"] = draw.choice([1, 2])
        options[f"{side}_attention_heads"] = draw.choice([2, 4, 8])
        options[f"{side}_normalize_before"] = draw.random() < 0.5
        options[f"{side}_learned_pos"] = draw.random() < 0.4
    options["decoder_input_dim"] = options["decoder_output_dim"] = options["decoder_embed_dim"]
    if tied == "none" and draw.random() < 0.4:
        options["decoder_output_dim"] = 12
    if options["encoder_embed_dim"] == options["decoder_embed_dim"]:
        options["cross_self_attention"] = draw.random() < 0.4
        options["no_cross_attention"] = draw.random() < (0.8 if options["cross_self_attention"] else 0.2)
    if "merge_src_tgt_embed" not in DEFAULTS:  # fairseq 0.12.2
        del options["merge_src_tgt_embed"]
    return options


def drawn_language_model(draw):
    """Options of a language model that fairseq can build."""
    width = draw.choice([16, 24, 32])
    options = {
        "activation_fn": draw.choice(["relu", "gelu", "tanh"]),
        "decoder_embed_dim": width,
        "decoder_input_dim": width,
        "decoder_output_dim": width,
        "decoder_ffn_embed_dim": draw.choice([8, 20, 48]),
        "decoder_layers": draw.choice([1, 2, 3]),
        "decoder_attention_heads": draw.choice([2, 4, 8]),
        "decoder_learned_pos": draw.random() < 0.4,
        "decoder_normalize_before": draw.random() < 0.5,
        "add_bos_token": False,
        "tokens_per_sample": 32,
        "max_target_positions": 32,
        "tpu": False,
    }
    for name in ("layernorm_embedding", "no_scale_embedding", "no_token_positional_embeddings", "scale_fc"):
        options[name] = draw.random() < 0.3
    for name in ("scale_attn", "scale_heads", "scale_resids", "no_decoder_final_norm"):
        options[name] = draw.random() < 0.2
    embeddings = draw.choice(["adaptive", "adaptive and tied", "adaptive softmax", "tied", "none"])
    if "adaptive" in embeddings:
        options["adaptive_softmax_cutoff"] = "8,16"
    if embeddings in ("adaptive", "adaptive and tied"):
        options.update(adaptive_input=True, adaptive_input_cutoff="8,16", adaptive_input_factor=2)
        options["adaptive_softmax_factor"] = 2
        options["tie_adaptive_weights"] = options["tie_adaptive_proj"] = embeddings == "adaptive and tied"
    options["share_decoder_input_output_embed"] = embeddings == "tied"
    return options


def in_groups(options):
    """Options by the names that fairseq-hydra-train takes: encoder.layers, decoder.embed_dim."""
    nested = {"encoder": {}, "decoder": {}}
    for name, value in options.items():
        side, _, rest = name.partition("_")
        if side in nested:
            nested[side][rest] = value
        else:
            nested[name] = value
    return nested


def built_by_fairseq(given):
    """fairseq's own model, with keys and queries so large that attention matters."""
    model = models.build_model(given, DictionaryTask(VOCABULARY, VOCABULARY)).eval()
    for name, weight in model.named_parameters():
        weight.add_(0.1 * torch.randn_like(weight))
        if "q_proj" in name or "k_proj" in name:
            weight.mul_(3.0)
    for module in model.modules():
        if hasattr(module, "can_use_fastpath"):
            module.can_use_fastpath = False
    return model


def stock_checkpoint(path, arch, options, form):
    """fairseq's own model, and its checkpoint as fairseq saves it in that form, read again from a file."""
    flat = Namespace(arch=arch, _name=arch, **TRAINING[arch], **copy.deepcopy(options))
    if arch == "transformer_lm":  # has a configuration, and no groups
        given = OmegaConf.merge(TransformerLanguageModelConfig(), {"_name": arch, **options})
    else:
        given = OmegaConf.create({"_name": arch, **in_groups(options)}) if form == "nested" else flat
    model = built_by_fairseq(given)
    saved = given if isinstance(given, Namespace) else OmegaConf.to_container(given, enum_to_str=True)
    kept = {"args": flat, "cfg": None} if form == "namespace" else {"args": None, "cfg": {"model": saved}}
    write_checkpoint({"model": model.state_dict(), **kept}, path)
    return model, read_checkpoint(path)


def grouped_model(state):
    grouped = as_grouped_checkpoint(state)
    model = models.build_model(copy.deepcopy(model_options(grouped)), DictionaryTask(VOCABULARY, VOCABULARY)).eval()
    model.load_state_dict(grouped["model"], strict=True)
    return model


def log_probabilities(model):
    generator = torch.Generator().manual_seed(5)
    source, target = torch.randint(4, VOCABULARY, (2, 3, 6), generator=generator)
    target[1, 4:] = 1  # padding
    if hasattr(model, "encoder"):
        source[2, 3:] = 1
        output = model(source, source.ne(1).sum(1), target)
    else:
        output = model(target)
    return model.get_normalized_probs(output, log_probs=True)[target.ne(1)]


@torch.no_grad()
def test_our_own_model_is_read_from_groups_too():
    """fairseq-hydra-train once saved it so, with the arch's flat names beside the groups, which overrule them."""
    groups = in_groups({**drawn_transformer(random.Random(1)), "head_groups": 2})
    torch.manual_seed(0)
    model = built_by_fairseq(OmegaConf.create({"_name": "ghat_transformer", **groups}))
    arch = Namespace()
    ghat_base_architecture(arch)
    saved = {**vars(arch), **groups, "_name": "ghat_transformer", KEPT_HEADS: None}
    assert saved["encoder_embed_dim"] == 512 and saved["encoder"]["embed_dim"] < 512
    state = {"model": model.state_dict(), "args": None, "cfg": {"model": saved}}
    for again in (
        build_from_checkpoint(state),
        models.build_model(OmegaConf.create(saved), DictionaryTask(VOCABULARY, VOCABULARY)),
    ):
        again.load_state_dict(model.state_dict())
        torch.testing.assert_close(log_probabilities(again.eval()), log_probabilities(model), rtol=0, atol=0)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("number", range(DRAWS))
@torch.no_grad()
def test_drawn_architectures_compute_the_same_in_every_form(tmp_path, number, form):
    draw = random.Random(number)
    arch = "transformer_lm" if number % 4 == 0 else "transformer"
    options = drawn_language_model(draw) if arch == "transformer_lm" else drawn_transformer(draw)
    torch.manual_seed(number)
    stock, state = stock_checkpoint(tmp_path / "stock.pt", arch, options, form)
    expected = log_probabilities(stock)
    model = grouped_model(state)
    torch.testing.assert_close(log_probabilities(model), expected, rtol=0, atol=1e-4)
    check_against_fairseq(model, state)
    read = vars(flat_options(state))
    assert {name: read[name] for name in options if "scale_" not in name} == {
        name: value for name, value in options.items() if "scale_" not in name
    }

    kept = {}
    for name, layer in grouped_attentions(model).items():
        kept[name] = sorted(draw.sample(range(layer.heads_held), layer.heads_held // 2))
    slim = copy.deepcopy(model)
    for name, layer in grouped_attentions(model).items():
        layer.set_head_mask(torch.tensor([head in kept[name] for head in range(layer.heads_held)]))
    remove_heads(slim, kept)
    voted = log_probabilities(model)
    torch.testing.assert_close(log_probabilities(slim), voted, rtol=0, atol=1e-5)
    assert (voted - expected).abs().max() > 1e-3  # so that a head that was left out would show
