"""Group classifiers and the pooled features they read, against slow versions without padding."""

import pytest
import torch
from tiny_models import PAD, build_grouped, features_of, padded_batch

from fairseq_ghat.modules.attention_layers import grouped_attentions, record_features
from fairseq_ghat.modules.group_classifiers import GroupClassifiers
from fairseq_ghat.modules.head_features import pool_heads


def test_pooling_leaves_padding_out():
    features = torch.randn(2, 3, 5, 4, generator=torch.Generator().manual_seed(0))
    padding = torch.tensor([[0, 0, 0, 1, 1], [0, 0, 0, 0, 0]]).bool()
    rows = torch.cat([features[0, :, :3], features[1]], dim=1)  # (H, 8 positions, D)
    mean = rows.mean(1)
    expected = (mean - mean.mean(-1, keepdim=True)) / (mean.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(pool_heads(features, padding), expected)


@pytest.mark.parametrize("feature", ["value", "output"])
def test_more_padding_changes_nothing(feature):
    model, batch, wider = build_grouped(group_feature=feature).eval(), padded_batch(), padded_batch()
    wider["net_input"]["src_tokens"] = torch.nn.functional.pad(batch["net_input"]["src_tokens"], (5, 0), value=PAD)
    records = [features_of(model, sample, pooled=True) for sample in (batch, wider)]
    narrow, wide = (torch.stack(features.pooled(features.layers)) for features in records)
    torch.testing.assert_close(narrow, wide, rtol=1e-4, atol=1e-4)


def test_logits_are_one_linear_map_per_layer_shared_by_its_heads():
    classifiers = GroupClassifiers({"a.b": 4, "c.d": 6}, groups=3)
    generator = torch.Generator().manual_seed(1)
    for parameter in classifiers.parameters():
        parameter.data.copy_(torch.randn(parameter.shape, generator=generator))
    pooled = [torch.randn(5, 4, generator=generator), torch.randn(5, 6, generator=generator)]
    logits = classifiers(["a.b", "c.d"], pooled)
    assert logits.shape == (2, 5, 3)
    for layer, (name, features) in enumerate(zip(("a_b", "c_d"), pooled)):
        for head in range(5):
            expected = classifiers.weights[name] @ features[head] + classifiers.biases[name]
            torch.testing.assert_close(logits[layer, head], expected)


def test_starts_undecided_and_takes_no_random_numbers():
    state = torch.get_rng_state()
    classifiers = GroupClassifiers({"a": 4}, groups=2)
    assert torch.equal(state, torch.get_rng_state())
    assert classifiers(["a"], [torch.randn(8, 4)]).abs().max() == 0


def test_classifiers_read_every_attention_of_a_model():
    model, batch = build_grouped(decoder_attention_heads=4).eval(), padded_batch()
    attentions = grouped_attentions(model)
    classifiers = GroupClassifiers({name: layer.head_dim for name, layer in attentions.items()}, groups=2)
    with record_features(model, pooled=True) as features:
        model(**batch["net_input"])
    decoder = [name for name in attentions if name.startswith("decoder")]
    logits = classifiers(decoder, features.pooled([attentions[name] for name in decoder]))
    assert logits.shape == (4, 4, 2)
