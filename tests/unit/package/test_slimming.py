"""Models whose heads were removed compute what masked ones do, with fewer weights, however they come to be."""

import argparse

import pytest
import torch
from tiny_models import BASE_SIZE, TinyTask, build_grouped, build_stock, keep_heads, tiny_args

from fairseq_ghat.models.ghat_transformer import GHATTransformerModel
from fairseq_ghat.modules.attention_layers import grouped_attentions, heads_per_layer, is_voted, remove_heads
from fairseq_ghat.profiling.parameters import attention_weights, non_embedding_parameters
from fairseq_ghat.pruning.slimming import NotSlimmable, kept_heads_in_checkpoint, slim_checkpoint

EMPTIED = [[0, 5], [], [], [3], [], [2, 6]]
UNEVEN = [[0, 5], [7], [1, 2, 3], [0, 1, 2, 3, 4, 5, 6, 7], [4], [2, 6]]


def masked_model(kept=((0, 5),) * 6, **options):
    model = build_grouped(**options)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    for layer, heads in zip(grouped_attentions(model).values(), kept):
        layer.set_head_mask(torch.tensor([head in heads for head in range(8)]), may_be_empty=True)
    return model.eval()


def checkpoint_of(model, kept_heads=None, **options):
    args = tiny_args(arch="ghat_transformer_tiny", kept_heads=kept_heads, **options)
    return {
        "args": None,
        "cfg": {"model": args, "task": {}},
        "model": model.state_dict(),
        "last_optimizer_state": {"state": torch.zeros(1000)},
        "extra_state": {"train_iterator": {"epoch": 3}, "ema": model.state_dict(), "best": 1.0},
        "optimizer_history": [],
    }


def rebuild(state):
    model = GHATTransformerModel.build_model(state["cfg"]["model"], TinyTask())
    model.load_state_dict(state["model"], strict=True)
    return model.eval()


@pytest.mark.parametrize("kept", [((0, 5),) * 6, UNEVEN, EMPTIED], ids=["even", "uneven", "emptied"])
@pytest.mark.parametrize("pre_norm", [False, True])
def test_slim_logits_equal_masked_logits(kept, pre_norm, batch):
    options = {"encoder_normalize_before": pre_norm, "decoder_normalize_before": pre_norm}
    masked = masked_model(kept, **options)
    slim = rebuild(slim_checkpoint(checkpoint_of(masked, **options)).state)
    difference = slim(**batch["net_input"])[0] - masked(**batch["net_input"])[0]
    assert difference.abs().max() <= 1e-5
    assert list(heads_per_layer(slim).values()) == [len(heads) for heads in kept]
    assert is_voted(slim)


def test_three_quarters_of_attention_weights_go_at_2_of_8_heads():
    state = checkpoint_of(masked_model())
    slim = slim_checkpoint(state).state
    before, after = attention_weights(state["model"]), attention_weights(slim["model"])
    assert before == 6 * 4 * 64 * 64
    assert after == before // 4


def test_counts_of_the_papers_table_1():
    """44M -> 30M: 18 attentions lose 6 of 8 heads, biases of queries, keys and values with them."""
    with torch.device("meta"):
        full = GHATTransformerModel.build_model(tiny_args(**BASE_SIZE), TinyTask())
        before = non_embedding_parameters(full.state_dict())
        remove_heads(full, {name: [0, 1] for name in grouped_attentions(full)})
    after = non_embedding_parameters(full.state_dict())
    assert before - after == 18 * (4 * 512 * 384 + 3 * 384)
    assert round(after / 1e6) == 30


def test_no_optimizer_state_and_no_shadow_weights_are_kept():
    slim = slim_checkpoint(checkpoint_of(masked_model())).state
    assert "last_optimizer_state" not in slim
    assert slim["extra_state"] == {"train_iterator": {"epoch": 3}, "best": 1.0}


def test_group_classifiers_are_dropped():
    """They belong to the criterion (Eq. 4 A) and have done their work."""
    state = {**checkpoint_of(masked_model()), "criterion": {"classifiers.weights.a": torch.zeros(2, 4)}}
    assert slim_checkpoint(state).state["criterion"] is None


@pytest.mark.parametrize("recorded", [False, True])
def test_vote_that_kept_all_heads_leaves_nothing_to_remove(recorded):
    model = keep_heads(build_grouped(), range(8))
    record = {name: list(range(8)) for name in grouped_attentions(model)} if recorded else None
    with pytest.raises(NotSlimmable, match="its vote kept all heads"):
        slim_checkpoint(checkpoint_of(model, record))


def test_the_given_checkpoint_is_not_changed():
    state = checkpoint_of(masked_model())
    keys, shapes = set(state), {k: v.shape for k, v in state["model"].items()}
    slim_checkpoint(state)
    assert set(state) == keys and state["cfg"]["model"].kept_heads is None
    assert {k: v.shape for k, v in state["model"].items()} == shapes


def test_heads_keep_their_first_numbers_through_a_second_cut(batch):
    first = slim_checkpoint(checkpoint_of(masked_model([[1, 4, 6]] * 6))).state
    model = keep_heads(rebuild(first), [1, 2])
    again = slim_checkpoint({**first, "model": model.state_dict()})
    assert again.state["cfg"]["model"].kept_heads["encoder.layers.0.self_attn"] == [4, 6]
    slim = rebuild(again.state)
    torch.testing.assert_close(slim(**batch["net_input"])[0], model(**batch["net_input"])[0], rtol=0, atol=1e-5)


def test_old_checkpoints_with_args_are_slimmed_too(batch):
    masked = masked_model()
    state = checkpoint_of(masked)
    state["args"], state["cfg"] = state["cfg"]["model"], None
    slim = slim_checkpoint(state).state
    model = GHATTransformerModel.build_model(slim["args"], TinyTask())
    model.load_state_dict(slim["model"])
    torch.testing.assert_close(model.eval()(**batch["net_input"])[0], masked(**batch["net_input"])[0])


def test_unvoted_checkpoint_is_refused():
    with pytest.raises(NotSlimmable, match="never voted on"):
        slim_checkpoint(checkpoint_of(build_grouped()))


@pytest.mark.parametrize("kept", [UNEVEN, EMPTIED], ids=["uneven", "emptied"])
def test_checkpoint_without_the_heads_loses_its_optimizer_state_alone(kept):
    """As a vote in training leaves it."""
    slim = slim_checkpoint(checkpoint_of(masked_model(kept))).state
    again = slim_checkpoint({**slim, "last_optimizer_state": {"state": torch.zeros(1000)}})
    assert "last_optimizer_state" not in again.state and again.heads_before == again.heads_after
    assert list(kept_heads_in_checkpoint(again.state).values()) == kept
    assert all(torch.equal(weight, again.state["model"][name]) for name, weight in slim["model"].items())


def test_stock_checkpoint_is_refused():
    state = checkpoint_of(build_stock())
    del state["cfg"]["model"].kept_heads
    with pytest.raises(NotSlimmable, match="no model of fairseq_ghat"):
        slim_checkpoint(state)


@pytest.mark.parametrize(
    "kept,message",
    [
        ({"encoder.layers.9.self_attn": [0]}, "no attention layer encoder.layers.9.self_attn"),
        ({"encoder.layers.0.self_attn": [0, 8]}, r"encoder.layers.0.self_attn keeps heads \[0, 8\].*0..7"),
        ({"encoder.layers.0.self_attn": [3, 1]}, r"keeps heads \[3, 1\].*increasing"),
    ],
)
def test_transformers_4490_record_that_does_not_fit_is_refused_by_layer(kept, message):
    with pytest.raises(ValueError, match=message):
        remove_heads(build_grouped(), kept)


def test_transformers_4490_mismatch_names_layer_and_head_counts(caplog):
    slim = slim_checkpoint(checkpoint_of(masked_model())).state
    with pytest.raises(RuntimeError):
        build_grouped().load_state_dict(slim["model"])
    assert "encoder.layers.0.self_attn: the model expects 8 heads" in caplog.text
    assert "the checkpoint holds 2" in caplog.text


def test_config_without_record_of_heads_builds_the_full_model():
    model = GHATTransformerModel.build_model(argparse.Namespace(**vars(tiny_args())), TinyTask())
    assert set(heads_per_layer(model).values()) == {8}
