"""The voting pass: a frozen model, votes as counted by hand from each batch, and nothing else changed."""

import pytest
import torch
from tiny_models import build_grouped, padded_batch

from fairseq_ghat.core.voting import VoteTally
from fairseq_ghat.modules.feature_grams import FeatureGrams
from fairseq_ghat.modules.grouped_attention import grouped_attentions
from fairseq_ghat.pruning.head_masks import heads_per_layer, is_voted, masks_in_state
from fairseq_ghat.pruning.voting_pass import frozen, vote

PAD = 1


def batches(count=5):
    made = []
    for seed in range(count):
        sample = padded_batch()
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randint(4, 54, sample["net_input"]["src_tokens"].shape, generator=generator)
        src = sample["net_input"]["src_tokens"]
        sample["net_input"]["src_tokens"] = torch.where(src > 3, noise, src)
        made.append(sample)
    return made


def run_vote(model, samples):
    vote(model, samples, PAD, lambda sample: sample)


def test_masks_are_those_of_a_tally_over_the_same_batches():
    model, samples = build_grouped(dropout=0.5, head_groups=3).train(), batches()
    tally = VoteTally(6, 8, 3)
    model.eval()
    with torch.no_grad():
        for sample in samples:
            with FeatureGrams(model, sample["net_input"]["prev_output_tokens"].eq(PAD)) as grams:
                model(**sample["net_input"])
            tally.add(grams.stacks()[0])
    model.train()
    run_vote(model, samples)
    expected = [mask.nonzero().flatten().tolist() for mask in tally.elect()]
    assert list(masks_in_state(model.state_dict()).values()) == expected
    assert set(heads_per_layer(model).values()) == {3}


def test_order_of_batches_does_not_matter():
    masks = []
    for samples in (batches(), batches()[::-1]):
        model = build_grouped()
        run_vote(model, samples)
        masks.append(masks_in_state(model.state_dict()))
    assert masks[0] == masks[1]


def test_weights_gradients_modes_and_random_state_are_untouched():
    model = build_grouped(dropout=0.5).train()
    model.encoder.layers[0].eval()  # a part that was frozen before stays so
    before = {name: value.clone() for name, value in model.named_parameters()}
    random_state = torch.get_rng_state()
    run_vote(model, batches())
    assert all(torch.equal(before[name], value) for name, value in model.named_parameters())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert model.training and model.decoder.training and not model.encoder.layers[0].training
    assert torch.equal(random_state, torch.get_rng_state())


def test_encoder_and_decoder_with_other_head_counts_vote_apart():
    model = build_grouped(decoder_attention_heads=4)
    run_vote(model, batches())
    for name, attention in grouped_attentions(model).items():
        assert attention.heads_held == (8 if name.startswith("encoder") else 4)
        assert attention.heads_computed == 2


def test_empty_samples_of_uneven_shards_are_passed_over():
    whole, holes = build_grouped(), build_grouped()
    run_vote(whole, batches())
    run_vote(holes, [{}, *batches(), {}])
    assert masks_in_state(whole.state_dict()) == masks_in_state(holes.state_dict())


def test_no_data_leaves_the_model_as_it_was():
    model = build_grouped()
    with pytest.raises(ValueError, match="saw no data"):
        run_vote(model, [])
    assert not is_voted(model)


def test_frozen_restores_training_mode_after_an_error():
    model = build_grouped().train()
    with pytest.raises(KeyError), frozen(model):
        assert not model.training and not torch.is_grad_enabled()
        raise KeyError
    assert model.training and torch.is_grad_enabled()
