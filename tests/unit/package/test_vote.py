"""The voting pass: a frozen model, votes as counted by hand from each batch, and nothing else changed."""

import pytest
import torch
from tiny_models import PAD, build_grouped, features_of, kept_part, padded_batches

from fairseq_ghat.core.group_constraint import own_group_probability
from fairseq_ghat.core.hidden_units import hidden_unit_labels
from fairseq_ghat.core.voting import VoteTally
from fairseq_ghat.modules.attention_layers import grouped_attentions, heads_per_layer, is_voted
from fairseq_ghat.modules.group_classifiers import GroupClassifiers
from fairseq_ghat.pruning.calibration import Calibration
from fairseq_ghat.pruning.options import VoteOptions
from fairseq_ghat.pruning.vote import vote

PILLARS = VoteOptions()


def run_vote(model, samples, options=PILLARS, classifiers=None, reduce=None):
    calibration = Calibration(
        model, lambda shuffle: samples, lambda: len(samples), PAD, loss=certainty_lost, reduce=reduce
    )
    return vote(calibration, options, classifiers).head_indexes()


def certainty_lost(model, sample):
    logits = model(**sample["net_input"])[0].float()
    return -logits.log_softmax(-1).amax(-1).sum(), logits[..., 0].numel()


@torch.no_grad()
def tally_of(model, samples, groups=3):
    tally = VoteTally(6, 8, groups)
    for sample in samples:
        tally.add(features_of(model.eval(), sample).stacks()[0])
    return tally


def test_heads_are_those_of_a_tally_over_the_same_batches():
    model, samples = build_grouped(dropout=0.5, head_groups=3), padded_batches(5)
    tally = tally_of(model, samples)
    model.train()
    kept = run_vote(model, samples)
    expected = [mask.nonzero().flatten().tolist() for mask in tally.elect()]
    assert list(kept.values()) == expected
    assert set(heads_per_layer(model).values()) == {3}


@pytest.mark.parametrize("refit", ["none", "bias", "output"])
@pytest.mark.parametrize("keep_heads", ["pillars", "reconstruction", "random", "gradient", "fisher", "l0", "subset"])
def test_a_batch_that_overflows_half_precision_ends_the_vote_before_anything_is_changed(keep_heads, refit):
    """Training passes over such a batch; sums with it would choose any heads, and a refit write them into the model."""
    model, samples = build_grouped(head_groups=3), padded_batches(5)
    rare = int(samples[2]["net_input"]["src_tokens"][1, 3])
    with torch.no_grad():
        model.encoder.embed_tokens.weight[rare] *= 0
        model.encoder.embed_tokens.weight[rare, 0] = 40.0
        model.encoder.layers[0].fc1.weight[:, 0] = 90.0
        model.encoder.layers[0].fc2.weight.fill_(1.0)
    model.half()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    if keep_heads == "random" and refit == "none":  # has no look at the data
        return run_vote(model, samples, VoteOptions(keep_heads=keep_heads, refit=refit))
    with pytest.raises(ValueError, match="vote: what the model computes for a batch is not finite.*ghat-vote"):
        run_vote(model, samples, VoteOptions(keep_heads=keep_heads, refit=refit))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_order_of_batches_does_not_matter():
    samples = padded_batches(5)
    assert run_vote(build_grouped(), samples) == run_vote(build_grouped(), samples[::-1])


@pytest.mark.parametrize("workers", [2, 3])
def test_workers_that_add_up_their_shares_vote_like_one(workers):
    """Each worker passes over its share; the sums are exchanged tensor by tensor, as all_reduce does."""
    samples, whole = padded_batches(12), build_grouped()
    alone = run_vote(whole, samples)
    exchanged = []
    for rank in range(workers):
        sent = []
        run_vote(build_grouped(), samples[rank::workers], reduce=lambda tensor, sent=sent: sent.append(tensor.clone()))
        exchanged.append(sent)
    totals = [sum(tensors) for tensors in zip(*exchanged)]
    for rank in range(workers):
        model, pending = build_grouped(), iter(totals)
        kept = run_vote(model, samples[rank::workers], reduce=lambda tensor, p=pending: tensor.copy_(next(p)))
        assert kept == alone
        for name, value in whole.named_parameters():  # the refit too is that of all the data
            torch.testing.assert_close(model.get_parameter(name), value, rtol=1e-4, atol=1e-6)


def test_worker_without_any_batch_takes_part():
    """Fewer batches than workers: the sums of the others decide."""
    sent = []
    alone = run_vote(build_grouped(), padded_batches(2), reduce=lambda tensor: sent.append(tensor.clone()))
    pending = iter(sent)
    assert run_vote(build_grouped(), [{}, {}], reduce=lambda tensor: tensor.copy_(next(pending))) == alone


def test_each_way_of_keeping_heads_differs_and_follows_the_seed():
    kept = {}
    for keep in ("pillars", "random-in-group", "random", "all"):
        for seed in (1, 2):
            model, options = build_grouped(), VoteOptions(keep_heads=keep, seed=seed)
            kept[keep, seed] = run_vote(model, padded_batches(5), options)
            assert list(heads_per_layer(model).values()) == [len(heads) for heads in kept[keep, seed].values()]
            assert is_voted(model)
            assert run_vote(build_grouped(), padded_batches(5), options) == kept[keep, seed]
    assert kept["pillars", 1] == kept["pillars", 2]
    assert kept["random", 1] != kept["random", 2] and kept["random-in-group", 1] != kept["random-in-group", 2]
    assert kept["pillars", 1] != kept["random-in-group", 1] != kept["random", 1] != kept["pillars", 1]
    assert set(map(len, kept["random", 1].values())) == set(map(len, kept["random-in-group", 1].values())) == {2}
    assert all(heads == list(range(8)) for heads in kept["all", 1].values())


def test_random_heads_and_all_heads_need_no_look_at_the_data():
    for keep in ("random", "all"):
        run_vote(build_grouped(), iter_never(), options=VoteOptions(keep_heads=keep, refit="none"))


def iter_never():
    raise AssertionError("the data were looked at")
    yield


def test_random_members_come_from_the_final_groups():
    labels = tally_of(build_grouped(head_groups=3), padded_batches(5)).final_labels()
    for seed in range(5):
        options = VoteOptions(keep_heads="random-in-group", seed=seed)
        kept = run_vote(build_grouped(head_groups=3), padded_batches(5), options)
        for layer, heads in enumerate(kept.values()):
            assert sorted(labels[layer][heads].tolist()) == [0, 1, 2]


def test_classifiers_decide_by_their_probability():
    """Eq. 4 A: in every batch the head with the highest p(z | e) of its group gets the vote."""
    model, samples = build_grouped(), padded_batches(5)
    attentions = grouped_attentions(model)
    classifiers = GroupClassifiers({name: layer.head_dim for name, layer in attentions.items()}, 2)
    generator = torch.Generator().manual_seed(0)
    for parameter in classifiers.parameters():
        parameter.data.copy_(torch.randn(parameter.shape, generator=generator))
    tally = VoteTally(6, 8, 2)
    model.eval()
    with torch.no_grad():
        for sample in samples:
            features = features_of(model, sample, pooled=True)
            logits = classifiers(list(attentions), features.pooled(list(attentions.values())))
            labels = hidden_unit_labels(features.stacks()[0], 2)
            probability = own_group_probability(logits, labels)
            tally.add(features.stacks()[0], lambda labels, probability=probability: probability)
    kept = run_vote(model, samples, classifiers=classifiers)
    assert list(kept.values()) == [mask.nonzero().flatten().tolist() for mask in tally.elect()]
    assert kept != run_vote(build_grouped(), samples)


def test_weights_that_stay_gradients_modes_and_random_state_are_untouched():
    model = build_grouped(dropout=0.5).train()
    model.encoder.layers[0].eval()  # a part that was frozen before stays so
    before = {name: value.clone() for name, value in model.named_parameters()}
    random_state = torch.get_rng_state()
    objects = dict(model.named_parameters())
    kept = run_vote(model, padded_batches(5), options=VoteOptions(refit="none"))
    expected = kept_part(before, kept)
    assert all(value is objects[name] for name, value in model.named_parameters())
    assert all(torch.equal(expected[name], value) for name, value in model.named_parameters())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert model.training and model.decoder.training and not model.encoder.layers[0].training
    assert torch.equal(random_state, torch.get_rng_state())


def test_encoder_and_decoder_with_other_head_counts_vote_apart():
    model = build_grouped(decoder_attention_heads=4)
    run_vote(model, padded_batches(5))
    for name, attention in grouped_attentions(model).items():
        assert attention.num_heads == (8 if name.startswith("encoder") else 4)
        assert attention.heads_held == attention.heads_computed == 2


def test_empty_samples_of_uneven_shards_are_passed_over():
    samples = padded_batches(5)
    assert run_vote(build_grouped(), samples) == run_vote(build_grouped(), [{}, *samples, {}])


def test_no_data_leaves_the_model_as_it_was():
    model = build_grouped()
    with pytest.raises(ValueError, match="saw no data"):
        run_vote(model, [])
    assert not is_voted(model)
