"""Grouped attention against fairseq's own, and masked against removed heads."""

from contextlib import nullcontext
from functools import partial

import pytest
import torch
from fairseq.modules import MultiheadAttention
from tiny_models import half_products

from fairseq_ghat.modules import attention_kernels
from fairseq_ghat.modules.attention_layers import grouped_attentions, record_features
from fairseq_ghat.modules.grouped_attention import GroupedAttention
from fairseq_ghat.modules.grouping import Grouping
from fairseq_ghat.profiling.peak_memory import peak_bytes

E, HEADS = 32, 4
KINDS = {"self": {"self_attention": True}, "cross": {"encoder_decoder_attention": True}}


def make(kind, heads=HEADS):
    torch.manual_seed(0)
    stock = MultiheadAttention(E, heads, **KINDS[kind])
    ours = GroupedAttention(E, heads, **KINDS[kind])
    for p in stock.parameters():
        torch.nn.init.normal_(p, std=0.3)
    ours.load_state_dict(stock.state_dict())
    return stock.eval(), ours.eval()


def inputs(kind, batch=3, queries=5, keys=6):
    query = torch.randn(queries, batch, E)
    key = query if kind == "self" else torch.randn(keys, batch, E)
    padding = torch.zeros(batch, key.size(0), dtype=torch.bool)
    padding[0, :2] = True
    return query, key, padding


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("need_weights", [False, True])
@pytest.mark.parametrize("batch", [3, 40])
def test_equals_stock_attention(kind, padded, need_weights, batch):
    stock, ours = make(kind)
    query, key, padding = inputs(kind, batch)
    padding = padding if padded else None
    static = kind == "cross"  # the way fairseq's decoder layer calls it
    expected, weights = stock(query, key, key, padding, need_weights=need_weights, static_kv=static)
    output, our_weights = ours(query, key, key, padding, need_weights=need_weights, static_kv=static)
    torch.testing.assert_close(output, expected, rtol=1e-5, atol=1e-5)
    if need_weights:
        torch.testing.assert_close(our_weights, weights, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("batch,queries,keys,plain", [(3, 5, 6, False), (40, 5, 6, True), (400, 1, 5, False)])
def test_short_sentences_of_a_large_batch_take_plain_products_and_give_the_same(
    batch, queries, keys, plain, monkeypatch
):
    _, ours = make("cross")
    query, key, padding = inputs("cross", batch, queries, keys)
    outputs, kernels = [], []
    for choice in (attention_kernels._two_products_are_faster, lambda q, k: True, lambda q, k: False):
        monkeypatch.setattr(attention_kernels, "_two_products_are_faster", choice)
        outputs.append(ours(query, key, key, padding, need_weights=False, static_kv=True)[0])
        kernels.append(ours.kernel == attention_kernels.PRODUCTS)
    assert kernels == [plain, True, False]
    for output in outputs[1:]:
        torch.testing.assert_close(output, outputs[0], rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(not half_products(), reason="this torch has no half precision on a CPU")
@pytest.mark.parametrize("need_weights", [True, False])
def test_a_boolean_mask_forbids_where_it_is_true(need_weights):
    stock, ours = make("self")
    query, _, _ = inputs("self")
    future = torch.ones(5, 5).triu(1).bool()
    expected, output = (
        layer(query, query, query, need_weights=need_weights, attn_mask=future)[0] for layer in (stock, ours)
    )
    torch.testing.assert_close(output, expected, rtol=1e-5, atol=1e-6)


def test_scores_of_float16_do_not_overflow():
    _, ours = make("self")
    query = 35 * torch.ones(4, 2, E)
    torch.nn.init.constant_(ours.q_proj.weight, 0.1)
    torch.nn.init.constant_(ours.k_proj.weight, 0.1)
    head = (ours.q_proj(query) * ours.k_proj(query)).sum(-1) / HEADS
    assert 65504 < head.max() < 65504 * ours.head_dim**0.5  # too large for float16, but not once scaled
    exact = ours(query, query, query)[0]
    half = ours.half()(query.half(), query.half(), query.half())[0]
    torch.testing.assert_close(half.float(), exact, rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("feature", ["value", "attention", "output"])
def test_features_handed_out_share_the_memory_that_autograd_keeps_anyway(feature):
    query = inputs("self", 40)[0].requires_grad_()
    kept = []
    for groups in (False, True):
        attention = GroupedAttention(E, HEADS, self_attention=True)
        attention.grouping = Grouping(2, feature)
        storages = {}

        def pack(tensor, storages=storages):
            storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            with record_features(attention) if groups else nullcontext() as features:
                output = attention(query, query, query, need_weights=False)[0]
            grams = features.stacks() if groups else None
        kept.append((sum(storages.values()), output, grams))  # alive, so that no storage is used twice
    # A few k x k numbers, and no feature map.
    assert kept[1][0] - kept[0][0] < 4 * HEADS**2 * 4


@pytest.mark.parametrize("feature", ["value", "output"])
def test_long_sentences_keep_no_copy_of_features_either(feature):
    """Torch's fused attention: peak memory of six layers, forward and backward, with the Gram matrices and without."""
    torch.manual_seed(0)
    layers = torch.nn.ModuleList(GroupedAttention(E, HEADS, self_attention=True) for _ in range(6))
    layers.grouping = Grouping(2, feature)
    query = inputs("self", batch=10, queries=80)[0]

    def forward(recording):  # the record of the features ends with it, as in a criterion
        with recording() as features:
            x = query
            for layer in layers:
                x = layer(x, x, x, need_weights=False)[0]
        return x.sum() if features is None else x.sum() + features.stacks()[0].sum()

    def work(recording):
        forward(recording).backward()
        layers.zero_grad()

    recordings = (nullcontext, partial(record_features, layers))
    peaks = [peak_bytes(partial(work, recording), torch.device("cpu")) for recording in recordings]
    feature_map = query.numel() * 4
    assert peaks[1] - peaks[0] < 2.5 * feature_map  # what one layer computes in passing, not six maps


def test_head_weights_have_fairseqs_shape_and_average_to_the_mean():
    stock, ours = make("cross")
    query, key, padding = inputs("cross")
    per_head = ours(query, key, key, padding, static_kv=True, need_head_weights=True)[1]
    expected = stock(query, key, key, padding, static_kv=True, need_head_weights=True)[1]
    assert per_head.shape == (HEADS, 3, 5, 6)
    torch.testing.assert_close(per_head, expected)


def test_causal_mask_together_with_padding():
    stock, ours = make("self")
    query, _, _ = inputs("self")
    padding = torch.zeros(3, 5, dtype=torch.bool)
    padding[1, 3:] = True
    causal = torch.triu(torch.full((5, 5), float("-inf")), 1)
    expected = stock(query, query, query, padding, need_weights=False, attn_mask=causal)[0]
    output = ours(query, query, query, padding, need_weights=False, attn_mask=causal)[0]
    torch.testing.assert_close(output, expected, rtol=1e-5, atol=1e-5)


def test_incremental_decoding_with_reordered_beam_equals_stock():
    stock, ours = make("self")
    states = {}, {}
    steps = torch.randn(4, 1, 6, E)
    order = torch.tensor([1, 0, 2, 2, 5, 4])
    for step in steps:
        expected = stock(step, step, step, incremental_state=states[0], need_weights=False)[0]
        output = ours(step, step, step, incremental_state=states[1], need_weights=False)[0]
        torch.testing.assert_close(output, expected, rtol=1e-5, atol=1e-5)
        stock.reorder_incremental_state(states[0], order)
        ours.reorder_incremental_state(states[1], order)


def test_cross_attention_shares_the_source_of_a_beam():
    stock, ours = make("cross")
    beam, batch = 3, 2
    for attention in (stock, ours):
        attention.set_beam_size(beam)
    source = torch.randn(6, batch, E).repeat_interleave(beam, dim=1)
    padding = torch.zeros(batch, 6, dtype=torch.bool)
    padding[0, :2] = True
    padding = padding.repeat_interleave(beam, dim=0)
    states = {}, {}
    for step in torch.randn(3, 1, batch * beam, E):
        kwargs = {"key_padding_mask": padding, "static_kv": True, "need_head_weights": True}
        expected, weights = stock(step, source, source, incremental_state=states[0], **kwargs)
        output, our_weights = ours(step, source, source, incremental_state=states[1], **kwargs)
        torch.testing.assert_close(output, expected, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(our_weights, weights, rtol=1e-5, atol=1e-5)
    cached = ours._get_input_buffer(states[1])["prev_key"]
    assert cached.shape == (batch, HEADS, 6, E // HEADS)


def test_keys_and_values_of_before_may_come_without_padding():
    """As fairseq's decoder layer gives on a prev_attn_state of two tensors."""
    outputs = []
    step, source = torch.randn(1, 2, E), torch.randn(6, 2, E)
    saved = {name: torch.randn(2, HEADS, 6, E // HEADS) for name in ("prev_key", "prev_value")}
    for attention in make("cross"):
        state = {}
        attention._set_input_buffer(state, dict(saved))
        outputs.append(attention(step, source, source, incremental_state=state, static_kv=True)[0])
    torch.testing.assert_close(*outputs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("removed", [False, True])
def test_decoding_projects_the_source_once_and_caches_kept_heads_only(removed):
    _, ours = make("cross")
    if removed:
        ours.remove_units([1, 3])
    else:
        ours.set_head_mask(torch.tensor([0, 1, 0, 1]))
    ours.beam_size = 3
    query, key, padding = inputs("cross", batch=6, queries=1)
    projected, project = [], ours._project_in
    ours._project_in = lambda proj, x: projected.append((proj, x.size(1))) or project(proj, x)
    state = {}
    for _ in range(3):
        ours(query, key, key, padding, incremental_state=state, static_kv=True, need_weights=False)
    # The keys and values of 6 hypotheses are those of 2 sentences; the queries come anew in each step.
    assert [size for proj, size in projected if proj is not ours.q_proj] == [2, 2]
    assert [size for proj, size in projected if proj is ours.q_proj] == [6, 6, 6]
    (buffer,) = state.values()
    assert buffer["prev_key"].shape == buffer["prev_value"].shape == (2, 2, 6, E // HEADS)


def zeroed_out_projection(attention, kept):
    """The slow way to mask: zero the columns of the output projection of the heads voted out."""
    columns = attention.out_proj.weight.data.view(E, attention.num_heads, -1)
    for head in range(attention.num_heads):
        if head not in kept:
            columns[:, head] = 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kept", [[2], [0, 3], [1, 2, 3]])
def test_masked_equals_zeroed_and_removed(kind, kept):
    stock, masked = make(kind)
    _, removed = make(kind)
    zeroed_out_projection(stock, kept)
    masked.set_head_mask(torch.tensor([h in kept for h in range(HEADS)]))
    removed.remove_units(kept)
    query, key, padding = inputs(kind)
    kwargs = {"need_weights": False, "static_kv": kind == "cross"}
    expected = stock(query, key, key, padding, **kwargs)[0]
    torch.testing.assert_close(masked(query, key, key, padding, **kwargs)[0], expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(removed(query, key, key, padding, **kwargs)[0], expected, rtol=1e-5, atol=1e-5)
    assert masked.voted and removed.voted
    assert masked.heads_computed == removed.heads_computed == len(kept)
    assert removed.q_proj.weight.shape == (len(kept) * E // HEADS, E)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("removed", [False, True])
def test_attention_without_heads_is_the_bias_of_its_output_projection(kind, removed):
    _, ours = make(kind)
    if removed:
        ours.remove_units([])
    else:
        ours.set_head_mask(torch.zeros(HEADS), may_be_empty=True)
    assert ours.heads_computed == 0 and ours.voted
    query, key, padding = inputs(kind)
    for options in ({}, {"need_weights": False}, {"need_head_weights": True}):
        out, weights = ours.train()(query, key, key, padding, static_kv=kind == "cross", **options)
        assert torch.equal(out, ours.out_proj.bias.expand_as(query))
        assert weights is None if options.get("need_weights") is False else not weights.any()
    assert ours(query, key, key, padding)[1].shape == (query.size(1), query.size(0), key.size(0))
    out.sum().backward()  # in data-parallel training every parameter needs a gradient
    assert all(parameter.grad is not None for parameter in ours.parameters())
    assert not ours.q_proj.weight.grad.any() and ours.out_proj.bias.grad.any()


def test_gradients_reach_kept_heads_only():
    _, masked = make("self")
    masked.train().set_head_mask(torch.tensor([1, 0, 0, 1]))
    query, key, _ = inputs("self")
    masked(query, key, key, need_weights=False)[0].sum().backward()
    per_head = masked.v_proj.weight.grad.view(HEADS, -1).abs().sum(1)
    assert (per_head > 0).tolist() == [True, False, False, True]


def test_mask_travels_with_the_state_dict_and_is_followed_after_loading():
    _, masked = make("self")
    masked.set_head_mask(torch.tensor([0, 1, 0, 1]))
    _, fresh = make("self")
    fresh.load_state_dict(masked.state_dict())
    assert fresh.heads_computed == 2
    query, key, _ = inputs("self")
    torch.testing.assert_close(fresh(query, key, key)[0], masked(query, key, key)[0])


def test_checkpoint_without_mask_loads_as_all_ones():
    stock, ours = make("self")
    ours.set_head_mask(torch.tensor([0, 1, 0, 1]))
    ours.load_state_dict(stock.state_dict(), strict=True)
    assert ours.head_mask.tolist() == [1, 1, 1, 1] and not ours.voted


def test_mask_tells_whether_a_vote_took_place_also_where_all_heads_stay():
    _, ours = make("self")
    assert not ours.voted
    ours.set_head_mask(torch.ones(HEADS))
    assert ours.voted and ours.heads_computed == HEADS
    _, fresh = make("self")
    fresh.load_state_dict(ours.state_dict())
    assert fresh.voted
    fresh.load_state_dict(make("self")[1].state_dict())
    assert not fresh.voted


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.uint8])
def test_mask_survives_other_types(dtype):
    """--fp16 halves all floating buffers; masks were integers once."""
    _, masked = make("self")
    masked.set_head_mask(torch.tensor([0, 1, 0, 1]))
    state = {k: v.to(dtype) if k.endswith("head_mask") else v for k, v in masked.state_dict().items()}
    _, fresh = make("self")
    fresh.load_state_dict(state)
    assert fresh.head_mask.tolist() == [0, 2, 0, 2] and fresh.voted


@pytest.mark.parametrize("decay", [0.9, 0.999, 0.9999])
def test_shadow_model_takes_over_the_mask_at_its_first_update(decay):
    """--store-ema blends all of a state dict: mask = decay * old + (1 - decay) * new."""
    _, shadow = make("self")
    _, trained = make("self")
    blended = shadow.head_mask.clone()
    for _ in range(100):  # before the vote blending changes nothing
        blended = blended * decay + trained.head_mask * (1 - decay)
        shadow.load_state_dict({**shadow.state_dict(), "head_mask": blended})
    assert not shadow.voted
    trained.set_head_mask(torch.tensor([0, 1, 0, 1]))
    for _ in range(3):
        blended = blended * decay + trained.head_mask * (1 - decay)
        shadow.load_state_dict({**shadow.state_dict(), "head_mask": blended})
        assert shadow.head_mask.tolist() == [0, 2, 0, 2] and shadow.heads_computed == 2


@pytest.mark.parametrize("mask,message", [([0, 0, 0, 0], "at least one"), ([1, 0], "2 heads for 4 heads")])
def test_impossible_masks_are_refused(mask, message):
    _, ours = make("self")
    with pytest.raises(ValueError, match=message):
        ours.set_head_mask(torch.tensor(mask))
    assert ours.head_mask.tolist() == [1, 1, 1, 1]


def test_dropout_of_attention_weights_acts_in_training_only():
    ours = GroupedAttention(E, HEADS, dropout=0.5, self_attention=True)
    query, key, _ = inputs("self")
    first, second = (ours(query, key, key, need_weights=False)[0] for _ in range(2))
    assert not torch.equal(first, second)
    ours.eval()
    first, second = (ours(query, key, key, need_weights=False)[0] for _ in range(2))
    assert torch.equal(first, second)


def test_names_leave_out_the_data_parallel_wrapper():
    """fairseq wraps once (torch's DDP alone) or twice (its own proxy around a DDP)."""
    bare = torch.nn.Module()
    bare.self_attn = make("self")[1]
    for _ in range(2):
        wrapper = torch.nn.Module()
        wrapper.module = bare
        assert list(grouped_attentions(wrapper)) == ["self_attn"]
        bare = wrapper


def test_zero_attention_is_refused():
    with pytest.raises(ValueError, match="add_zero_attn"):
        GroupedAttention(E, HEADS, add_zero_attn=True)
