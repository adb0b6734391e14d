"""Feature Gram matrices collected from a model against features recomputed by hand from its inputs."""

import pytest
import torch
from explicit_features import record_inputs, slow_features
from tiny_models import PAD, build_grouped, build_stock, features_of, padded_batch

from fairseq_ghat.modules.attention_layers import grouped_attentions, record_features


@pytest.mark.parametrize("feature", ["value", "attention", "output"])
@pytest.mark.parametrize("training", [True, False])
def test_grams_of_all_layers_equal_features_without_padding(feature, training, batch):
    model = build_grouped(group_feature=feature).train(training)
    calls = record_inputs(model)
    features = features_of(model, batch)
    (stack,) = features.stacks()
    names = {attention: name for name, attention in grouped_attentions(model).items()}
    assert [names[layer] for layer in features.layer_stacks()[0]] == list(grouped_attentions(model))
    assert stack.shape == (6, 8, 8)  # 2 encoder self, 2 decoder self, 2 decoder cross
    for gram, layer in zip(stack, features.layer_stacks()[0]):
        features = slow_features(layer, calls[names[layer]], feature, batch)
        torch.testing.assert_close(gram, features @ features.T, rtol=1e-4, atol=1e-4)


def test_more_padding_changes_nothing():
    batch, wider = padded_batch(), padded_batch()
    for name, more in (("src_tokens", (4, 0)), ("prev_output_tokens", (0, 3))):
        wider["net_input"][name] = torch.nn.functional.pad(batch["net_input"][name], more, value=PAD)
    for feature in ("value", "attention", "output"):
        model = build_grouped(group_feature=feature).eval()
        stacks = [features_of(model, sample).stacks()[0] for sample in (batch, wider)]
        torch.testing.assert_close(stacks[0], stacks[1], rtol=1e-4, atol=1e-4)


def test_collecting_does_not_change_the_output_and_ends_with_the_context(batch):
    model = build_grouped(group_feature="output").eval()
    plain = model(**batch["net_input"])[0]
    with record_features(model) as features:
        collected = model(**batch["net_input"])[0]
    count = len(features.layer_stacks()[0])
    model(**batch["net_input"])
    torch.testing.assert_close(collected, plain)
    assert all(a.recorder is None for a in grouped_attentions(model).values())
    assert len(features.layer_stacks()[0]) == count == 6


def test_layers_with_other_head_counts_come_in_their_own_stack(batch):
    model = build_grouped(decoder_attention_heads=4)
    with record_features(model) as features:
        model(**batch["net_input"])
    assert sorted(stack.shape for stack in features.stacks()) == [(2, 8, 8), (4, 4, 4)]
    heads = [gram.size(-1) for stack in features.stacks() for gram in stack]
    assert heads == [layer.num_heads for layers in features.layer_stacks() for layer in layers]


def test_model_without_grouped_attention_is_refused():
    with pytest.raises(RuntimeError, match="TransformerModel has no grouped attention.*ghat_transformer"):
        record_features(build_stock())
