"""Checkpoints of fairseq's own transformer become grouped ones with the same weights."""

import argparse
import copy

import pytest
import torch
from tiny_models import TinyTask, build_grouped, build_stock, padded_batch, tiny_args

from fairseq_ghat.checkpoints import stock_comparison
from fairseq_ghat.checkpoints.model_options import NotGroupable
from fairseq_ghat.checkpoints.stock_comparison import check_against_fairseq
from fairseq_ghat.checkpoints.stock_conversion import as_grouped_checkpoint, as_stock_checkpoint
from fairseq_ghat.models.ghat_transformer import GHATTransformerModel
from fairseq_ghat.profiling.model_building import build_from_checkpoint


def stock_state(as_args=True, **options):
    args = tiny_args(**options)
    for name in ("head_groups", "group_feature", "group_distance"):
        delattr(args, name)
    args.arch = args._name = "transformer"
    state = {"model": build_stock(**options).state_dict(), "args": None, "cfg": None}
    state.update({"args": args} if as_args else {"cfg": {"model": args}})
    return state


@pytest.mark.parametrize("as_args", [True, False])
def test_grouped_model_computes_what_the_stock_one_does(as_args):
    state = stock_state(as_args)
    grouped = as_grouped_checkpoint(state, head_groups=3)
    options = grouped["args"] if as_args else grouped["cfg"]["model"]
    model = GHATTransformerModel.build_model(copy.deepcopy(options), TinyTask())
    model.load_state_dict(grouped["model"], strict=True)
    batch = padded_batch()
    with torch.no_grad():
        expected = build_stock().eval()(**batch["net_input"])[0]
        torch.testing.assert_close(model.eval()(**batch["net_input"])[0], expected, rtol=1e-5, atol=1e-5)
    assert (options.arch, options.head_groups, options.group_feature) == ("ghat_transformer", 3, "value")
    assert state["args" if as_args else "cfg"] is not grouped["args" if as_args else "cfg"]


def test_the_criterion_of_another_plug_in_stays():
    """A model that kept all heads becomes fairseq's again; what it was trained with need not be known here."""
    state = stock_state(as_args=False)
    task, criterion = {"_name": "translation", "data": "bin"}, {"_name": "of_another_plug_in", "strength": 2}
    state["cfg"].update(task=task, criterion=criterion)
    stock = as_stock_checkpoint(as_grouped_checkpoint(state, head_groups=3))
    assert stock["cfg"]["criterion"] == criterion and stock["cfg"]["task"]["_name"] == "translation"


def test_the_checkpoint_given_is_not_changed():
    state = stock_state()
    before = copy.deepcopy(vars(state["args"]))
    as_grouped_checkpoint(state, head_groups=3)
    assert vars(state["args"]) == before


def test_switches_that_an_old_checkpoint_lacks_are_off():
    """fairseq takes them for true there."""
    assert as_grouped_checkpoint(stock_state())["args"].use_plasma_view is False
    state = stock_state()
    state["args"].use_plasma_view = True
    assert as_grouped_checkpoint(state)["args"].use_plasma_view is True


def test_grouping_of_a_grouped_checkpoint_stays_unless_told_otherwise():
    state = stock_state()
    state["args"].arch = "ghat_transformer"
    state["args"].head_groups, state["args"].group_feature, state["args"].group_distance = 4, "output", "cosine"
    kept = as_grouped_checkpoint(state, head_groups=None, group_feature="attention")["args"]
    assert (kept.head_groups, kept.group_feature, kept.group_distance) == (4, "attention", "cosine")


def test_wrong_grouping_is_refused_by_flag():
    with pytest.raises(ValueError, match="--head-groups 9: allowed is 1 to 8"):
        as_grouped_checkpoint(stock_state(), head_groups=9)


def test_other_models_are_refused_by_name():
    state = {"model": {}, "args": argparse.Namespace(arch="lstm"), "cfg": None}
    with pytest.raises(NotGroupable, match="its model is lstm, allowed are transformer, transformer_lm, "):
        as_grouped_checkpoint(state)


@pytest.mark.parametrize(
    "arch,options,named",
    [
        (
            "transformer",
            {"encoder": {"layers": 1, "moe_experts": 4}, "memory_slots": 3},
            "encoder.moe_experts, mem",
        ),
        ("transformer_lm", {"decoder_layers": 1, "moe_freq": 2}, "moe_freq"),
    ],
)
def test_options_that_fairseq_does_not_know_are_refused_by_name_where_they_are_on(arch, options, named):
    with pytest.raises(NotGroupable, match=f"it uses {named}"):
        as_grouped_checkpoint({"model": {}, "args": None, "cfg": {"model": {"_name": arch, **options}}})
    off = {"_name": arch, "moe_freq": 0, "memory_slots": None}
    as_grouped_checkpoint({"model": {}, "args": None, "cfg": {"model": off}})


def test_character_level_language_models_are_refused():
    state = {"model": {}, "args": None, "cfg": {"model": {"_name": "transformer_lm", "character_embeddings": True}}}
    with pytest.raises(NotGroupable, match="--character-embeddings"):
        as_grouped_checkpoint(state)


def test_a_model_that_computes_otherwise_is_refused_with_the_options_that_differ():
    state = stock_state(encoder_attention_heads=4, decoder_attention_heads=4)
    model = GHATTransformerModel.build_model(tiny_args(encoder_attention_heads=8), TinyTask()).eval()
    model.load_state_dict(state["model"])
    with pytest.raises(NotGroupable, match="may differ: decoder_attention_heads 8 for 4, encoder_att"):
        check_against_fairseq(model, state)


@pytest.mark.parametrize("in_groups", [False, True])
def test_files_of_embeddings_may_be_gone(in_groups):
    """fairseq reads them anew to build a model, although the checkpoint holds their weights."""
    state = stock_state(as_args=not in_groups, share_all_embeddings=False)
    if in_groups:
        sizes = {"embed_dim": 64, "layers": 2, "ffn_embed_dim": 128, "attention_heads": 8, "embed_path": "gone.vec"}
        positions = {"max_source_positions": 64, "max_target_positions": 64}
        state["cfg"] = {"model": {"_name": "transformer", "encoder": sizes, "decoder": sizes, **positions}}
    else:
        state["args"].encoder_embed_path = state["args"].decoder_embed_path = "gone.vec"
    model = build_from_checkpoint(state).eval()
    check_against_fairseq(model, state)


def test_rounding_of_a_sharp_model_is_no_difference(monkeypatch):
    """Six layers of large weights blow up float32's rounding; float64 tells that the models are one."""
    state = stock_state(encoder_layers=6, decoder_layers=6, share_all_embeddings=False)
    torch.manual_seed(1)
    for name, weight in state["model"].items():
        if weight.dim() == 2:
            state["model"][name] = weight + torch.randn_like(weight)
    model, stock = build_from_checkpoint(state).eval(), stock_comparison.fairseq_model(state)
    monkeypatch.setattr(stock_comparison, "TOLERANCE", 5e-6)
    with torch.no_grad():
        outputs = [one(**padded_batch()["net_input"])[0].log_softmax(-1) for one in (model, stock)]
    assert (outputs[0] - outputs[1]).abs().max() > 5e-6
    check_against_fairseq(model, state)
    assert model.decoder.output_projection.weight.dtype == torch.float32


def test_comparison_needs_fairseqs_own_class():
    state = stock_state()
    del state["model"]["decoder.layers.0.fc1.weight"]
    with pytest.raises(NotGroupable, match="fairseq's own class, with which it is compared, cannot be built"):
        check_against_fairseq(build_grouped(), state)
