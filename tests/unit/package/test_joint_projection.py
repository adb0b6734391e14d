"""One product instead of several projections: the same numbers and gradients, and no copy of the weights kept."""

import copy

import pytest
import torch
from torch import nn

from fairseq_ghat.modules.grouped_attention import GroupedAttention
from fairseq_ghat.modules.joint_projection import JointWeights, can_be_joined, project_jointly

T, B, E, HEADS, OUT = 5, 2, 6, 2, 4


def projections(count=3):
    torch.manual_seed(0)
    return [nn.Linear(E, OUT).double() for _ in range(count)]


def split(x):
    """(T, B, OUT) -> (B, HEADS, T, OUT / HEADS)."""
    return x.view(T, B, HEADS, -1).permute(1, 2, 0, 3)


def positions(**options):
    return torch.randn(T, B, E, dtype=torch.float64, **options)


@pytest.mark.parametrize("count", [2, 3])
def test_outputs_and_gradients_equal_those_of_separate_projections(count):
    linears = projections(count)
    x = positions(requires_grad=True)
    inputs = [x, *(parameter for linear in linears for parameter in linear.parameters())]
    expected = torch.stack([split(linear(x)) for linear in linears])
    output = torch.stack(list(project_jointly(x, linears, HEADS)))
    torch.testing.assert_close(output, expected)
    weights = torch.randn_like(expected)
    for one, other in zip(*(torch.autograd.grad((y * weights).sum(), inputs) for y in (output, expected))):
        torch.testing.assert_close(one, other)


def test_an_input_without_gradient_gets_none_and_the_weights_theirs():
    linears = projections()
    sum(y.sum() for y in project_jointly(torch.ones(T, B, E).double(), linears, HEADS)).backward()
    assert all(torch.equal(linear.weight.grad, torch.full((OUT, E), T * B).double()) for linear in linears)


def test_backward_keeps_the_input_and_the_parameters_and_no_copy():
    linears, kept = projections(), []
    x = positions(requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.data_ptr()) or t, lambda t: t):
        project_jointly(x, linears, HEADS)
    assert set(kept) == {x.data_ptr(), *(linear.weight.data_ptr() for linear in linears)}


def test_joint_weights_are_the_memory_of_the_projections_until_they_move():
    linears = projections()
    before = [copy.deepcopy(linear.state_dict()) for linear in linears]
    x = positions()
    joint = JointWeights(linears)
    assert joint.hold(linears)
    for linear, state in zip(linears, before):
        assert all(torch.equal(linear.state_dict()[name], state[name]) for name in state)
    torch.testing.assert_close(project_jointly(x, linears, HEADS, joint), project_jointly(x, linears, HEADS))
    with torch.no_grad():
        linears[1].bias.add_(1)  # as loading other weights does: seen by both
    torch.testing.assert_close(project_jointly(x, linears, HEADS, joint), project_jointly(x, linears, HEADS))
    linears[0].float()
    assert not joint.hold(linears)


def scaled(module, inputs, output):
    return 2 * output


@pytest.mark.parametrize(
    "change",
    [
        lambda linears: linears[1].register_forward_hook(scaled),
        lambda linears: linears.__setitem__(0, nn.Linear(E, 2 * OUT)),
        lambda linears: linears.__setitem__(0, nn.Linear(E, OUT, bias=False)),
        lambda linears: linears.__setitem__(0, nn.Sequential(linears[0])),
    ],
    ids=["hook", "size", "no bias", "other module"],
)
def test_projections_that_are_not_plain_and_alike_are_called_one_by_one(change):
    linears = projections()
    assert can_be_joined(linears)
    change(linears)
    assert not can_be_joined(linears)


def test_autocast_chooses_the_type_within_each_projection():
    linears = projections()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not can_be_joined(linears)


@pytest.mark.parametrize("kind", ["self_attention", "encoder_decoder_attention"])
def test_attention_prepared_for_generation_gives_the_same_also_after_it_moved(kind):
    torch.manual_seed(0)
    attention = GroupedAttention(16, 4, **{kind: True}).eval()
    source, steps = torch.randn(6, 2, 16), torch.randn(3, 1, 2, 16)

    def decode():
        state, cross = {}, kind != "self_attention"
        with torch.no_grad():
            return [attention(x, source, source, incremental_state=state, static_kv=cross)[0] for x in steps]

    expected = decode()
    attention.make_generation_fast_()
    assert attention._joint.hold(attention._projections[0 if kind == "self_attention" else 1 :])
    torch.testing.assert_close(decode(), expected)
    attention.double().float()
    torch.testing.assert_close(decode(), expected)


def test_models_that_share_weights_leave_each_other_their_memory():
    """As the cut copies of a latency table: whichever ran next would copy all weights within its time."""
    linears = projections()
    before = [linear.weight.clone() for linear in linears]
    first = JointWeights(linears)
    second = JointWeights(linears)
    assert first.hold(linears) and second.hold(linears)
    for linear, weight in zip(linears, before):
        assert torch.equal(linear.weight, weight)
    assert torch.equal(second.weights, torch.stack(before).transpose(1, 2))
    other = JointWeights(linears[::-1])  # in another order they do not lie so
    assert torch.equal(other.weights, torch.stack(before[::-1]).transpose(1, 2)) and not first.hold(linears)


def test_weights_joined_in_inference_mode_can_be_trained_afterwards():
    """As on a server: prepared on the CPU, moved, and first used in inference mode."""
    attention = GroupedAttention(16, 4, self_attention=True)
    attention.make_generation_fast_()
    attention.double()
    x = torch.randn(3, 2, 16, dtype=torch.float64)
    with torch.inference_mode():
        attention(x, x, x)
    attention(x, x, x)[0].sum().backward()
    assert attention.v_proj.weight.grad.any() and not attention.v_proj.weight.is_inference()


def test_prepared_attention_still_gives_its_weights_gradients():
    attention = GroupedAttention(16, 4, self_attention=True)
    attention.make_generation_fast_()
    x = torch.randn(3, 2, 16)
    attention(x, x, x)[0].sum().backward()
    assert all(linear.weight.grad.any() for linear in (attention.q_proj, attention.k_proj, attention.v_proj))
