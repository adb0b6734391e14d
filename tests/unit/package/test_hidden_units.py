"""K-means from Gram matrices against all partitions, a textbook K-means on explicit features, and its promises."""

import gzip
import itertools
import math
import os
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from fairseq.data import Dictionary
from fairseq.data.data_utils import collate_tokens
from tiny_models import PAD, features_of, tiny_args

from fairseq_ghat.core import hidden_units
from fairseq_ghat.core.gram_matrix import cosine_gram, head_centre_cosines
from fairseq_ghat.core.hidden_units import all_partitions, hidden_unit_labels, lloyd_labels, relative_change
from fairseq_ghat.models.ghat_transformer import GHATTransformerModel
from fairseq_ghat.profiling.operations import count_operations


def textbook_inertia(features, labels, groups):
    centres = torch.stack([features[labels == c].mean(0) for c in range(groups)])
    return ((features - centres[labels]) ** 2).sum().item()


def lloyd(features, taken, steps=50):
    """Lloyd from the given heads as centres: inertia and labels, or None if a group became empty."""
    centres = features[taken]
    for _ in range(steps):
        labels = ((features.unsqueeze(1) - centres) ** 2).sum(-1).argmin(1)
        if len(set(labels.tolist())) < len(taken):
            return None
        centres = torch.stack([features[labels == c].mean(0) for c in range(len(taken))])
    return textbook_inertia(features, labels, len(taken)), labels


def textbook_kmeans(features, groups):
    """Lloyd from each pair of heads and the farthest others, one Python loop each; labels of least inertia."""
    best = None
    for first_two in itertools.combinations(range(len(features)), 2):
        taken = list(first_two[:groups])
        while len(taken) < groups:
            distances = torch.stack([((features - features[t]) ** 2).sum(1) for t in taken]).min(0).values
            distances[taken] = -1
            taken.append(int(distances.argmax()))
        reached = lloyd(features, taken)
        if reached is not None and (best is None or reached[0] < best[0] - 1e-9):
            best = reached
    return best


def same_partition(a, b):
    return torch.equal(a[:, None] == a[None], b[:, None] == b[None])


@pytest.mark.parametrize("heads,groups", [(8, 2), (8, 3), (8, 4), (16, 4), (4, 1)])
@pytest.mark.parametrize("width", [2, 25])
@pytest.mark.parametrize("seed", range(5))
def test_lloyd_equals_textbook_kmeans(heads, groups, width, seed):
    features = torch.randn(heads, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    score, labels = textbook_kmeans(features, groups)
    ours = lloyd_labels((features @ features.T)[None], groups)[0]
    assert textbook_inertia(features, ours, groups) == pytest.approx(score, rel=1e-4)
    assert same_partition(ours, labels)


def set_partitions(heads, groups):
    """Every way to put heads into so many non-empty groups, as labels numbered by their first head."""
    if heads == 0:
        return [[]] if groups == 0 else []
    alone = [[*labels, groups - 1] for labels in set_partitions(heads - 1, groups - 1)] if groups else []
    return alone + [[*labels, group] for labels in set_partitions(heads - 1, groups) for group in range(groups)]


def slow_inertia(gram, labels):
    """Sum of the squared distances of the heads to their centres, number by number."""
    total = sum(gram[head][head] for head in range(len(labels)))
    for group in set(labels):
        members = [head for head, label in enumerate(labels) if label == group]
        total -= sum(gram[a][b] for a in members for b in members) / len(members)
    return total


@pytest.mark.parametrize("heads,groups", [(heads, groups) for heads in range(1, 9) for groups in range(1, heads + 1)])
def test_the_best_of_all_partitions_is_chosen(heads, groups):
    partitions = set_partitions(heads, groups)
    device = torch.device("cpu")
    assert sorted(partitions) == sorted(all_partitions(heads, groups, device).labels.tolist())
    features = torch.randn(2, heads, 5, generator=torch.Generator().manual_seed(groups), dtype=torch.float64)
    grams = features @ features.transpose(1, 2)
    for distance, measured in (("euclidean", grams), ("cosine", cosine_gram(grams))):
        best = [min(partitions, key=lambda labels: slow_inertia(gram, labels)) for gram in measured.tolist()]
        assert hidden_unit_labels(grams, groups, distance).tolist() == best


def test_too_many_partitions_have_no_table():
    device = torch.device("cpu")
    assert all_partitions(16, 2, device) is all_partitions(12, 3, device) is None
    assert len(all_partitions(64, 64, device).labels) == len(all_partitions(64, 1, device).labels) == 1


KINDS = ("few features", "many features", "nearly equal heads", "heavy tails", "pairs of equal heads and a zero head")


def random_grams(kind, count, heads):
    """Gram matrices of as many layers, float32 as the layers give them."""
    generator = torch.Generator().manual_seed(5)
    few = torch.randn(count, heads, 3, generator=generator, dtype=torch.float64)
    many = torch.randn(count, heads, 40, generator=generator, dtype=torch.float64)
    tails = torch.tan(1.57 * (2 * torch.rand(count, heads, 10, generator=generator, dtype=torch.float64) - 1))
    pairs = many.repeat_interleave(2, dim=1)[:, :heads] * (torch.arange(heads) < heads - 1)[:, None]
    features = dict(zip(KINDS, (few, many, 1 + 1e-3 * many, tails, pairs)))[kind]
    return (features @ features.transpose(1, 2)).float()


def inertia(grams, labels, groups):
    """Inertia of each layer, (L,), and the rounding error of any sum of that size."""
    membership = F.one_hot(labels, groups).double()
    within = membership.transpose(1, 2) @ grams.double() @ membership
    total = grams.double().diagonal(dim1=1, dim2=2).sum(1)
    kept = (within.diagonal(dim1=1, dim2=2) / membership.sum(1)).sum(1)
    return total - kept, 1e-14 * total


def check_against_lloyd(grams, groups):
    """Never more inertia than Lloyd's algorithm from all its starts."""
    ours, rounding = inertia(grams, hidden_unit_labels(grams, groups), groups)
    lloyds, _ = inertia(grams, lloyd_labels(grams.double(), groups), groups)
    assert (ours <= lloyds + rounding).all()


@pytest.mark.parametrize("kind", KINDS)
def test_never_more_inertia_than_lloyd(kind):
    grams = random_grams(kind, 200, 8)
    for groups in (2, 3, 4, 6):
        check_against_lloyd(grams, groups)


class CaptionTask:
    """A dictionary of the words of captions in two languages."""

    def __init__(self, captions):
        self.source_dictionary = self.target_dictionary = Dictionary()
        for caption in captions:
            self.target_dictionary.encode_line(caption, append_eos=False)


@pytest.mark.skipif("DATA_DIR" not in os.environ, reason="needs DATA_DIR with the files of Multi30k")
def test_never_more_inertia_than_lloyd_on_captions():
    """102 layers of a translation model in training."""
    pairs = []
    for language in ("de", "en"):
        with gzip.open(Path(os.environ["DATA_DIR"]) / f"train.{language}.gz", "rt", encoding="utf-8") as file:
            pairs.append([line.lower().strip() for line in itertools.islice(file, 17 * 32)])
    torch.manual_seed(7)
    task = CaptionTask(pairs[0] + pairs[1])
    words = task.target_dictionary
    model = GHATTransformerModel.build_model(tiny_args(), task)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    grams = []
    for start in range(0, len(pairs[0]), 32):
        src, tgt = (
            [words.encode_line(caption, add_if_not_exist=False).long() for caption in side[start : start + 32]]
            for side in pairs
        )
        net_input = {
            "src_tokens": collate_tokens(src, PAD, left_pad=True),
            "src_lengths": torch.tensor([len(caption) for caption in src]),
            "prev_output_tokens": collate_tokens(tgt, PAD, words.eos(), move_eos_to_beginning=True),
        }
        (stack,) = features_of(model, {"net_input": net_input}).stacks()
        grams.append(stack.detach())
        loss = F.cross_entropy(
            model(**net_input)[0].flatten(0, 1), collate_tokens(tgt, PAD).flatten(), ignore_index=PAD
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert torch.cat(grams).shape == (102, 8, 8)
    for groups in (2, 3, 4, 6):
        check_against_lloyd(torch.cat(grams), groups)


@pytest.mark.parametrize("groups", [2, 4])
def test_groups_cost_few_operations(groups):
    gram = torch.eye(8).expand(18, 8, 8).contiguous()
    assert count_operations(lambda: hidden_unit_labels(gram, groups)).total <= 5


def test_finds_planted_groups_in_every_layer_at_once():
    generator = torch.Generator().manual_seed(1)
    planted = torch.stack([torch.randperm(8, generator=generator) % 3 for _ in range(5)])
    centres = torch.randn(5, 3, 50, generator=generator)
    features = torch.stack([c[p] for c, p in zip(centres, planted)])
    features = features + 0.05 * torch.randn(features.shape, generator=generator)
    for ours, truth in zip(hidden_unit_labels(features @ features.transpose(1, 2), 3), planted):
        assert same_partition(ours, truth)


@pytest.mark.parametrize("heads", [6, 16])
@pytest.mark.parametrize("groups", range(1, 7))
def test_every_group_has_a_head_even_when_heads_coincide(groups, heads):
    features = torch.ones(2, heads, 10)
    labels = hidden_unit_labels(features @ features.transpose(1, 2), groups)
    for layer in labels:
        assert sorted(set(layer.tolist())) == list(range(groups))


@pytest.mark.parametrize("heads", [4, 16])
@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf")])
def test_features_without_any_shape_still_give_groups(heads, value):
    assert set(hidden_unit_labels(torch.full((1, heads, heads), value), 2)[0].tolist()) == {0, 1}


@pytest.mark.parametrize("heads", [8, 16])
def test_scale_and_repetition_do_not_change_the_groups(heads):
    features = torch.randn(3, heads, 20, generator=torch.Generator().manual_seed(2))
    gram = features @ features.transpose(1, 2)
    labels = hidden_unit_labels(gram, 3)
    for scale in (1, 1e8, 1e-8, 1e34, 1e-34):
        assert torch.equal(labels, hidden_unit_labels(gram * scale, 3))


def test_groups_are_numbered_by_their_first_head():
    features = torch.eye(4)[[3, 1, 3, 0]] * 10
    assert hidden_unit_labels((features @ features.T)[None], 3).tolist() == [[0, 1, 0, 2]]


def test_cosine_distance_ignores_the_length_of_features():
    directions = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]])
    features = directions * torch.tensor([[1.0], [100.0], [1.0], [100.0]])
    gram = (features @ features.T)[None]
    assert hidden_unit_labels(gram, 2, "cosine").tolist() == [[0, 0, 1, 1]]
    assert hidden_unit_labels(gram, 2, "euclidean").tolist() != [[0, 0, 1, 1]]


def test_of_very_many_starts_the_best_are_followed(monkeypatch):
    """190 pairs of heads: at least as good as Lloyd's algorithm from the pair nearest to all heads, at a bound of one
    as good as that, and never far from all pairs."""
    generator = torch.Generator().manual_seed(4)
    for _ in range(5):
        features = torch.randn(20, 12, generator=generator, dtype=torch.float64)
        gram, distances = (features @ features.T)[None], torch.cdist(features, features).square()
        pairs = list(itertools.combinations(range(20), 2))
        nearest = [torch.minimum(distances[a], distances[b]).sum().item() for a, b in pairs]
        from_nearest, _ = lloyd(features, list(pairs[nearest.index(min(nearest))]))
        ours = textbook_inertia(features, hidden_unit_labels(gram, 2)[0], 2)
        with monkeypatch.context() as one_start:
            one_start.setattr(hidden_units, "_MOST_STARTS", 1)
            alone = textbook_inertia(features, hidden_unit_labels(gram, 2)[0], 2)
        assert alone == pytest.approx(from_nearest, rel=1e-9)
        best, _ = textbook_kmeans(features, 2)
        assert best * (1 - 1e-9) <= ours <= min(alone, best * 1.02)


@pytest.mark.parametrize("groups", [0, 5, -1])
def test_wrong_group_count_is_refused(groups):
    with pytest.raises(ValueError, match=f"from 1 to the 4 heads, got {groups}"):
        hidden_unit_labels(torch.eye(4)[None], groups)


def test_unknown_distance_is_refused():
    with pytest.raises(ValueError, match="euclidean, cosine, got 'manhattan'"):
        hidden_unit_labels(torch.eye(4)[None], 2, "manhattan")


def gram(features):
    return (features @ features.T)[None]


def test_rotated_head_by_hand():
    """Two orthogonal heads, one turned by 60 degrees: their cosine goes from 0 to sin(60)."""
    before = torch.eye(2, dtype=torch.float64)
    after = torch.tensor([[1.0, 0.0], [math.sin(math.pi / 3), math.cos(math.pi / 3)]], dtype=torch.float64)
    expected = math.sqrt(2 * math.sin(math.pi / 3) ** 2) / math.sqrt(2)
    assert relative_change(gram(before), gram(after)).item() == pytest.approx(expected)


def test_longer_features_and_more_batches_are_no_change():
    features = torch.randn(6, 40, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    scaled = features * torch.tensor([[3.0], [0.5], [1.0], [7.0], [2.0], [0.1]], dtype=torch.float64)
    assert relative_change(gram(features), 9 * gram(scaled)).item() == pytest.approx(0, abs=1e-12)


def test_each_layer_has_its_own():
    generator = torch.Generator().manual_seed(2)
    still, moving, moved = (torch.randn(5, 30, generator=generator) for _ in range(3))
    change = relative_change(torch.cat([gram(still), gram(moving)]), torch.cat([gram(still), gram(moved)]))
    assert change[0] < 1e-5 < 0.1 < change[1]


def test_small_change_bounds_the_change_of_all_cosines_with_centres():
    """What the threshold is for: a small change of the Gram matrix means that heads and centres stand still."""
    generator = torch.Generator().manual_seed(3)
    features = torch.randn(8, 50, generator=generator, dtype=torch.float64)
    nudged = features + 1e-3 * torch.randn(8, 50, generator=generator, dtype=torch.float64)
    labels = torch.tensor([[0, 0, 0, 1, 1, 1, 1, 1]])
    change = relative_change(gram(features), gram(nudged)).item()
    moved = head_centre_cosines(gram(features), labels, 2) - head_centre_cosines(gram(nudged), labels, 2)
    assert change < 0.01
    assert moved.abs().max() < 5 * change
