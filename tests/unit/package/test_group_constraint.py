"""Both terms of Eq. 4 B from Gram matrices, gradients included, and Eq. 4 A, against loops over heads."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F

from fairseq_ghat.core.gram_matrix import centre_products, group_membership, head_centre_cosines, squared_norms
from fairseq_ghat.core.group_constraint import classification_constraint, group_constraint, own_group_probability
from fairseq_ghat.core.hidden_units import hidden_unit_labels
from fairseq_ghat.profiling.operations import count_operations

PHI = {"cosine": lambda cosine: -cosine, "squared": lambda cosine: -(cosine**2)}


def textbook_constraint(features, labels, groups, alpha, beta, phi):
    """Eq. 4 B, one loop per layer, head and pair."""
    layers, heads, _ = features.shape
    homogenise, pairs = 0.0, []
    for layer in range(layers):
        centres = [features[layer][labels[layer] == c].mean(0) for c in range(groups)]
        for head in range(heads):
            own = centres[int(labels[layer, head])]
            homogenise = homogenise - F.cosine_similarity(features[layer, head], own, dim=0) / (layers * heads)
        pairs += [phi(F.cosine_similarity(a, b, dim=0)) for a, b in itertools.combinations(centres, 2)]
    diversify = sum(pairs) / len(pairs) if pairs else 0.0
    return alpha * homogenise - beta * diversify


@pytest.mark.parametrize("groups", [1, 2, 3, 8])
@pytest.mark.parametrize("form", PHI)
@pytest.mark.parametrize("alpha,beta", [(0.5, 0.5), (0.7, 0.0), (0.0, 0.3)])
def test_value_and_gradient_equal_the_textbook(groups, alpha, beta, form):
    features = torch.randn(3, 8, 60, generator=torch.Generator().manual_seed(groups)) + 0.3
    explicit, ours = features.clone().requires_grad_(), features.clone().requires_grad_()
    gram = ours @ ours.transpose(1, 2)
    labels = hidden_unit_labels(gram.detach(), groups)
    expected = textbook_constraint(explicit, labels, groups, alpha, beta, PHI[form])
    loss = group_constraint([gram], groups, alpha, beta, diversity_form=form).loss
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-6)
    if loss.requires_grad and expected.requires_grad:
        expected.backward()
        loss.backward()
        torch.testing.assert_close(ours.grad, explicit.grad, rtol=1e-4, atol=1e-7)


def plain_terms(gram, labels, groups, phi):
    """Homogeneity and diversity of each layer, by cosines that autograd follows."""
    homogeneity = head_centre_cosines(gram, labels, groups).mean(-1)
    _, centres = centre_products(gram, group_membership(labels, groups, gram.dtype))
    norms = squared_norms(centres).sqrt()
    cosines = centres / (norms.unsqueeze(-1) * norms.unsqueeze(-2))
    pairs = [phi(cosines[:, a, b]) for a, b in itertools.combinations(range(groups), 2)]
    return homogeneity, torch.stack(pairs).mean(0) if pairs else torch.zeros_like(homogeneity)


def random_features(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape)), dtype=torch.float64)


# Heads along the axes, opposite ones, zero ones: hidden units that are zero exactly.
AXES = torch.tensor([[2, 0, 0], [-2, 0, 0], [0, 4, 0], [0, -4, 0], [0, 0, 0], [0, 0, 1], [0, 0, -1], [0, 0, 0]])
STACKS = {
    "one": [random_features(3, 8, 20)],
    "two": [random_features(3, 8, 20), random_features(1, 4, 20)],
    "many heads": [random_features(2, 16, 20)],
    "zero heads": [random_features(3, 8, 20) * (torch.arange(8) % 3 > 0)[:, None]],
    "small heads": [random_features(3, 8, 20) * torch.tensor([1.0, 1e-5, 1e-7, 1, 1, 1e-9, 1, 1])[:, None]],
    "zero hidden units": [AXES.double()[None]],
    "all zero": [torch.zeros(2, 8, 20, dtype=torch.float64)],
}


@pytest.mark.parametrize("groups", [1, 2, 4, 8])
@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
@pytest.mark.parametrize("form", PHI)
@pytest.mark.parametrize("stacks", STACKS.values(), ids=STACKS)
def test_value_and_gradient_equal_autograd_through_the_plain_formula(stacks, form, distance, groups):
    groups = min([groups, *(stack.size(1) for stack in stacks)])
    grams = [(stack @ stack.transpose(1, 2)).requires_grad_() for stack in stacks]
    ours = group_constraint(grams, groups, 0.7, 0.4, distance, form)
    for gram, labels in zip(grams, ours.labels):
        assert torch.equal(labels, hidden_unit_labels(gram, groups, distance))
    terms = [plain_terms(gram, labels, groups, PHI[form]) for gram, labels in zip(grams, ours.labels)]
    homogeneity, diversity = (torch.cat(values).mean() for values in zip(*terms))
    expected = -0.7 * homogeneity - 0.4 * diversity
    for value, truth in ((ours.homogeneity, homogeneity), (ours.diversity, diversity), (ours.loss, expected)):
        torch.testing.assert_close(value, truth, rtol=1e-9, atol=1e-12)
    # The plain formula reads parts of a symmetric matrix, and the gradient of its features is that of both halves.
    for gradient, truth in zip(torch.autograd.grad(3 * ours.loss, grams), torch.autograd.grad(3 * expected, grams)):
        torch.testing.assert_close(gradient, (truth + truth.transpose(1, 2)) / 2, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("form", PHI)
def test_gradient_of_features_equals_finite_differences(form):
    def loss(*stacks):
        return group_constraint([each @ each.transpose(1, 2) for each in stacks], 2, 0.7, 0.4, "cosine", form).loss

    assert torch.autograd.gradcheck(loss, [random_features(2, 5, 7).requires_grad_(), random_features(1, 3, 7)])


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("form,budget", [("cosine", 34), ("squared", 37)])
def test_constraint_costs_few_operations(form, budget, groups):
    def forward(gram):
        return group_constraint([gram], groups, 0.5, 0.5, diversity_form=form).loss

    features = random_features(18, 8, 20).float()
    gram = features @ features.transpose(1, 2)
    followed = gram.clone().requires_grad_()
    assert count_operations(lambda: torch.autograd.grad(forward(followed), followed)).total <= budget
    assert count_operations(lambda: forward(gram)).total <= budget - 10  # no gradient is computed


def test_only_the_loss_has_a_gradient():
    constraint = group_constraint([torch.eye(4)[None].requires_grad_()], 2, 0.5, 0.5)
    assert constraint.loss.requires_grad
    assert not constraint.homogeneity.requires_grad and not constraint.diversity.requires_grad


def test_hand_computed_layer():
    """Heads (1,0), (1,0), (0,1), (0,1) in two groups: cosines to own centre 1, between centres 0."""
    features = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    constraint = group_constraint([(features @ features.T)[None]], 2, 0.7, 0.3)
    assert constraint.homogeneity.item() == pytest.approx(1.0)
    assert constraint.diversity.item() == pytest.approx(0.0, abs=1e-6)
    assert constraint.loss.item() == pytest.approx(-0.7)


def test_opposite_centres_are_most_diverse():
    features = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    constraint = group_constraint([(features @ features.T)[None]], 2, 0.0, 0.4)
    assert constraint.diversity.item() == pytest.approx(1.0)
    assert constraint.loss.item() == pytest.approx(-0.4)


def test_squared_form_asks_for_orthogonal_centres():
    """By hand: centres at 60 degrees have cosine 0.5; opposite ones are as bad as equal ones; orthogonal best."""
    for second, cosine, squared in (
        ([0.5, 3**0.5 / 2], -0.5, -0.25),
        ([-1.0, 0.0], 1.0, -1.0),
        ([1.0, 0.0], -1.0, -1.0),
        ([0.0, 2.0], 0.0, 0.0),
    ):
        features = torch.tensor([[1.0, 0.0], second])
        for form, expected in (("cosine", cosine), ("squared", squared)):
            constraint = group_constraint([(features @ features.T)[None]], 2, 0.0, 1.0, diversity_form=form)
            assert constraint.diversity.item() == pytest.approx(expected, abs=1e-6)


def test_unknown_form_is_refused():
    with pytest.raises(ValueError, match="one of cosine, squared, got 'cubed'"):
        group_constraint([torch.eye(4)[None]], 2, 0.5, 0.5, diversity_form="cubed")


def test_layers_with_other_head_counts_are_averaged_by_layer():
    wide, narrow = torch.randn(3, 8, 20), torch.randn(1, 4, 20)
    grams = [f @ f.transpose(1, 2) for f in (wide, narrow)]
    apart = [group_constraint([gram], 2, 1.0, 0.0) for gram in grams]
    together = group_constraint(grams, 2, 1.0, 0.0)
    assert together.layers == 4
    assert together.loss.item() == pytest.approx((3 * apart[0].loss.item() + apart[1].loss.item()) / 4, rel=1e-5)


def test_descending_the_gradient_groups_the_heads():
    features = torch.randn(2, 8, 30, generator=torch.Generator().manual_seed(5)).requires_grad_()
    before = group_constraint([features @ features.transpose(1, 2)], 2, 0.5, 0.5)
    optimizer = torch.optim.Adam([features], lr=0.05)
    for _ in range(60):
        optimizer.zero_grad()
        group_constraint([features @ features.transpose(1, 2)], 2, 0.5, 0.5).loss.backward()
        optimizer.step()
    after = group_constraint([features @ features.transpose(1, 2)], 2, 0.5, 0.5)
    assert after.homogeneity > before.homogeneity + 0.2
    assert after.diversity > before.diversity + 0.2


def test_no_layer_is_refused():
    with pytest.raises(ValueError, match="at least one layer"):
        group_constraint([], 2, 0.5, 0.5)


def slow_constraint(logits, labels, alpha, beta):
    """Eq. 4 A for one layer, head by head."""
    heads, groups = logits.shape
    total = 0.0
    for head in range(heads):
        log_z = math.log(sum(math.exp(value) for value in logits[head].tolist()))
        for group in range(groups):
            log_probability = logits[head, group].item() - log_z
            if group == labels[head]:
                total -= alpha * log_probability / heads
            else:
                total += beta * log_probability / ((groups - 1) * heads)
    return total


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_classification_equals_the_slow_loop(groups):
    generator = torch.Generator().manual_seed(groups)
    logits = torch.randn(3, 8, groups, generator=generator, dtype=torch.float64)
    labels = torch.randint(groups, (3, 8), generator=generator)
    losses = classification_constraint(logits, labels, 0.7, 0.3)
    for layer in range(3):
        assert losses[layer].item() == pytest.approx(slow_constraint(logits[layer], labels[layer], 0.7, 0.3), rel=1e-9)


def test_undecided_classifier_by_hand():
    """All logits zero, C = 2: every log-probability is -log 2, so L_z = (alpha - beta) log 2."""
    logits, labels = torch.zeros(1, 4, 2), torch.tensor([[0, 1, 1, 0]])
    assert classification_constraint(logits, labels, 0.5, 0.2).item() == pytest.approx(0.3 * math.log(2))
    assert own_group_probability(logits, labels).tolist() == [[0.5] * 4]


def test_gradient_raises_the_own_group_and_lowers_the_others():
    logits = torch.zeros(1, 2, 3, requires_grad=True)
    labels = torch.tensor([[0, 2]])
    classification_constraint(logits, labels, 0.5, 0.5).sum().backward()
    downhill = -logits.grad[0]
    assert downhill[0, 0] > 0 > downhill[0, 1] and downhill[0, 2] < 0
    assert downhill[1, 2] > 0 > downhill[1, 0]


def test_own_group_probability_is_the_softmax_entry():
    logits = torch.tensor([[[1.0, 3.0], [0.0, 0.0]]])
    probabilities = own_group_probability(logits, torch.tensor([[1, 0]]))
    assert probabilities[0].tolist() == pytest.approx([1 / (1 + math.exp(-2)), 0.5])
