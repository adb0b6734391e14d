"""Checkpoints of fairseq's own transformer become grouped ones with the same weights."""

import argparse
import copy

import pytest
import torch
from tiny_models import TinyTask, build_stock, padded_batch, tiny_args

from fairseq_ghat.checkpoints.stock_conversion import NotGroupable, as_grouped_checkpoint
from fairseq_ghat.models.ghat_transformer import GHATTransformerModel


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
