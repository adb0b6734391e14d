"""Voting-to-Stay against a slow loop over explicit features and hand-counted votes."""

import pytest
import torch
import torch.nn.functional as F

from fairseq_ghat.core.hidden_units import hidden_unit_labels
from fairseq_ghat.core.voting import VoteTally, elect, group_winners, random_in_group


def textbook_vote(batches, groups):
    """Algorithm 1 for one layer on explicit features (H, F_b) of each batch."""
    heads = len(batches[0])
    votes, scores = [0] * heads, [0.0] * heads
    for features in batches:
        labels = hidden_unit_labels((features @ features.T)[None], groups)[0]
        centres = [features[labels == c].mean(0) for c in range(groups)]
        eta = [F.cosine_similarity(features[h], centres[int(labels[h])], dim=0).item() for h in range(heads)]
        for c in range(groups):
            members = [h for h in range(heads) if labels[h] == c]
            votes[max(members, key=lambda h: eta[h])] += 1
        scores = [s + e for s, e in zip(scores, eta)]
    everything = torch.cat(batches, dim=1)
    final = hidden_unit_labels((everything @ everything.T)[None], groups)[0]
    kept = []
    for c in range(groups):
        members = [h for h in range(heads) if final[h] == c]
        kept.append(max(members, key=lambda h: (votes[h], scores[h], -h)))
    return sorted(kept), votes


def random_batches(seed, count=9, heads=8):
    generator = torch.Generator().manual_seed(seed)
    base = torch.randn(heads, 6, generator=generator, dtype=torch.float64)
    return [
        base @ torch.randn(6, 40 + 5 * b, generator=generator, dtype=torch.float64)
        + 0.3 * torch.randn(heads, 40 + 5 * b, generator=generator, dtype=torch.float64)
        for b in range(count)
    ]


def tally_of(batches, groups):
    tally = VoteTally(1, len(batches[0]), groups)
    for features in batches:
        tally.add((features @ features.T)[None])
    return tally


@pytest.mark.parametrize("groups", [1, 2, 3, 5])
@pytest.mark.parametrize("seed", range(4))
def test_equals_textbook_vote(groups, seed):
    batches = random_batches(seed)
    kept, votes = textbook_vote(batches, groups)
    tally = tally_of(batches, groups)
    assert tally.votes[0].tolist() == votes
    assert tally.elect()[0].nonzero().flatten().tolist() == kept


def test_order_of_batches_does_not_matter():
    batches = random_batches(11)
    assert torch.equal(tally_of(batches, 3).elect(), tally_of(batches[::-1], 3).elect())


def test_one_head_of_each_group_stays_in_every_layer():
    batches = [torch.randn(5, 8, 30, generator=torch.Generator().manual_seed(s)) for s in range(4)]
    tally = VoteTally(5, 8, 3)
    for features in batches:
        tally.add(features @ features.transpose(1, 2))
    kept = tally.elect()
    assert kept.sum(-1).tolist() == [3] * 5
    labels = hidden_unit_labels(tally.gram, 3)
    for layer in range(5):
        assert sorted(labels[layer][kept[layer]].tolist()) == [0, 1, 2]


def test_each_batch_gives_one_vote_per_group():
    tally = tally_of(random_batches(3, count=7), 4)
    assert tally.votes.sum().item() == 7 * 4


def test_ties_go_to_the_higher_score_then_to_the_lower_index():
    labels = torch.tensor([[0, 0, 0, 1, 1, 1]])
    votes = torch.tensor([[3.0, 3.0, 1.0, 2.0, 2.0, 2.0]])
    scores = torch.tensor([[1.0, 1.5, 9.0, 4.0, 4.0, 3.0]])
    assert elect(votes, scores, labels, 2).tolist() == [[False, True, False, True, False, False]]


def test_winner_is_the_most_typical_head_even_with_negative_scores():
    scores = torch.tensor([[-0.5, -0.2, 0.1, -0.9]])
    labels = torch.tensor([[0, 0, 1, 1]])
    assert group_winners(scores, labels, 2).tolist() == [[False, True, True, False]]


def test_vote_over_nothing_is_refused():
    with pytest.raises(ValueError, match="saw no data"):
        VoteTally(1, 4, 2).elect()


def test_by_score_the_highest_sum_of_pattern_scores_wins():
    """Algorithm 1, footnote: scores are added up instead of 0/1 votes."""
    for seed in range(6):
        batches = random_batches(seed)
        tally = tally_of(batches, 2)
        labels = tally.final_labels()[0]
        expected = []
        for group in range(2):
            members = [head for head in range(8) if labels[head] == group]
            expected.append(max(members, key=lambda head: tally.scores[0][head].item()))
        assert tally.elect("score")[0].nonzero().flatten().tolist() == sorted(expected)


def test_count_and_score_can_differ():
    """Head 0 wins two of three batches narrowly, head 1 wins the third clearly."""
    tally = VoteTally(1, 3, 1)
    gram = torch.eye(3)[None]
    for scores in ([0.6, 0.5, 0.0], [0.6, 0.5, 0.0], [-0.9, 0.9, 0.0]):
        tally.add(gram, lambda labels, scores=scores: torch.tensor([scores]))
    assert tally.votes.tolist() == [[2, 1, 0]]
    assert tally.elect("count").tolist() == [[True, False, False]]
    assert tally.elect("score").tolist() == [[False, True, False]]


def test_unknown_way_of_deciding_is_refused():
    tally = tally_of(random_batches(0), 2)
    with pytest.raises(ValueError, match="one of count, score, got 'acclamation'"):
        tally.elect("acclamation")


@pytest.mark.parametrize("workers", [2, 3])
def test_sums_of_workers_are_those_of_one(workers):
    """The same batches dealt out to several workers, whose sums are added: the same vote."""
    batches = random_batches(5)
    alone = tally_of(batches, 3)
    shares = [tally_of(batches[rank::workers], 3) for rank in range(workers)]
    for tensors in zip(shares[0].sums(), *(share.sums() for share in shares[1:])):
        for other in tensors[1:]:
            tensors[0].add_(other)
    for ours, whole in zip(shares[0].sums(), alone.sums()):
        torch.testing.assert_close(ours, whole, rtol=1e-12, atol=1e-12)
    assert torch.equal(shares[0].elect(), alone.elect())


def test_random_member_of_each_group_is_seeded_and_covers_all_members():
    labels = torch.tensor([[0, 0, 0, 1, 1, 2], [0, 1, 2, 2, 2, 2]])
    seen = torch.zeros(2, 6, dtype=torch.bool)
    for seed in range(200):
        kept = random_in_group(labels, 3, torch.Generator().manual_seed(seed))
        for layer in range(2):
            assert sorted(labels[layer][kept[layer]].tolist()) == [0, 1, 2]
        seen |= kept
        assert torch.equal(kept, random_in_group(labels, 3, torch.Generator().manual_seed(seed)))
    assert seen.all()
