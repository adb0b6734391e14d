"""The criteria: untouched task loss, and a constraint whose weight is what --group-loss-scale says."""

import math
from collections import Counter

import pytest
import torch
from fairseq.criterions.cross_entropy import CrossEntropyCriterion
from fairseq.criterions.label_smoothed_cross_entropy import LabelSmoothedCrossEntropyCriterion
from fairseq.logging import metrics
from tiny_models import (
    TinyTask,
    VotingTask,
    build_criterion,
    build_grouped,
    build_stock,
    features_of,
    keep_heads,
    padded_batch,
)
from torch.utils._python_dispatch import TorchDispatchMode

from fairseq_ghat.core.group_constraint import classification_constraint, group_constraint
from fairseq_ghat.core.hidden_units import hidden_unit_labels
from fairseq_ghat.criterions.group_constrained import (
    GroupConstrainedCrossEntropy,
    GroupConstrainedLabelSmoothedCrossEntropy,
    GroupLossScale,
)
from fairseq_ghat.modules.attention_layers import grouped_attentions, heads_per_layer, record_features
from fairseq_ghat.modules.grouped_attention import GroupedAttention
from fairseq_ghat.modules.grouping import Grouping
from fairseq_ghat.training.hidden_unit_history import HiddenUnitHistory


def criterion(scale="0.25", alpha=0.7, beta=0.3, sentence_avg=False):
    return build_criterion(GroupConstrainedLabelSmoothedCrossEntropy, TinyTask(), alpha, beta, scale, sentence_avg)


def constraint_of(model, batch, alpha=0.7, beta=0.3):
    return group_constraint(features_of(model, batch).stacks(), 2, alpha, beta)


def fairseqs_criterion(sentence_avg=False):
    return LabelSmoothedCrossEntropyCriterion(TinyTask(), sentence_avg, 0.1)


def repeated(batch, times):
    """The same sentences several times in one batch: same features, times as many tokens."""
    net_input = {k: torch.cat([v] * times) for k, v in batch["net_input"].items()}
    return {"net_input": net_input, "target": torch.cat([batch["target"]] * times), "ntokens": batch["ntokens"] * times}


@pytest.mark.parametrize("sentence_avg", [False, True])
def test_number_adds_lambda_times_constraint_per_sample(batch, sentence_avg):
    model = build_grouped().eval()
    loss, size, log = criterion("0.25", sentence_avg=sentence_avg)(model, batch)
    task_loss, _, _ = fairseqs_criterion(sentence_avg)(model, batch)
    assert log["loss"].item() == pytest.approx(task_loss.item(), rel=1e-6)
    expected = task_loss / size + 0.25 * constraint_of(model, batch).loss
    assert (loss / size).item() == pytest.approx(expected.item(), rel=1e-5)
    logged = log["constraint"].item() / log["constrained_size"]  # both are summed over workers before
    assert logged == pytest.approx(constraint_of(model, batch).loss.item(), rel=1e-5)


def test_losses_of_single_tokens_are_the_tasks_alone(batch):
    """The constraint is of the whole batch."""
    model = build_grouped().eval()
    (losses, *_), (expected, *_) = (one(model, batch, reduce=False) for one in (criterion(), fairseqs_criterion()))
    torch.testing.assert_close(losses, expected)
    assert losses.numel() > 1


def test_number_does_not_depend_on_the_batch_size(batch):
    model = build_grouped().eval()
    shares = []
    for times in (1, 4):
        loss, size, log = criterion("0.25")(model, repeated(batch, times))
        shares.append(((loss - log["loss"]) / size).item())
    assert shares[0] == pytest.approx(shares[1], rel=1e-3)


def test_fairseq_2310_batch_adds_the_sum_over_layers_once(batch):
    """facebookresearch/fairseq#2310: its weight per token shrinks as the batch grows."""
    model = build_grouped().eval()
    for times in (1, 4):
        loss, _, log = criterion("batch")(model, repeated(batch, times))
        assert (loss - log["loss"]).item() == pytest.approx(6 * constraint_of(model, batch).loss.item(), rel=1e-3)


def test_gradient_of_the_loss_is_that_of_task_plus_constraint(batch):
    model = build_grouped().train()
    loss, size, _ = criterion("0.25")(model, batch)
    loss.backward()
    gradients = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    task_loss, _, _ = fairseqs_criterion()(model, batch)
    (task_loss + 0.25 * size * constraint_of(model, batch).loss).backward()
    for gradient, parameter in zip(gradients, model.parameters()):
        torch.testing.assert_close(gradient, parameter.grad, rtol=1e-4, atol=1e-5)


def classifying(model, alpha=0.7, beta=0.3, scale="0.25"):
    kind = GroupConstrainedLabelSmoothedCrossEntropy
    return build_criterion(kind, VotingTask(model), alpha, beta, scale, group_objective="classification")


class WaitsForTheDevice(TorchDispatchMode):
    """Counts operations that would make the host wait for a GPU: values read, or shapes that depend on values."""

    NAMES = ("_local_scalar_dense", "nonzero", "masked_select", "equal", "_unique2", "repeat_interleave")

    def __init__(self):
        super().__init__()
        self.counted = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        indexes = args[1] if name in ("index", "index_put", "index_put_") else ()
        by_mask = any(index is not None and index.dtype == torch.bool for index in indexes)
        if by_mask or (name in self.NAMES and any(isinstance(arg, torch.Tensor) for arg in args)):
            self.counted[name] += 1
        return func(*args, **(kwargs or {}))


def waits_of_a_step(model, kind, batch):
    with WaitsForTheDevice() as waits:
        loss, size, _ = kind(model.train(), batch)
        (loss / size).backward()
    return waits.counted


@pytest.mark.parametrize("feature", ["value", "attention", "output"])
@pytest.mark.parametrize("masked", [False, True])
def test_a_step_never_waits_for_the_device_where_fairseqs_does_not(batch, feature, masked):
    stock = waits_of_a_step(build_stock(), fairseqs_criterion(), batch)
    model = build_grouped(group_feature=feature)
    if masked:
        keep_heads(model, [0, 1])
    assert waits_of_a_step(model, criterion("0.25"), batch) == stock


def test_what_waits_is_counted():
    values = torch.ones(3)
    with WaitsForTheDevice() as waits:
        values[values > 0], values.sum().item(), bool(values[0]), values[torch.tensor([0])]
    assert waits.counted == {"index": 1, "_local_scalar_dense": 2}


def test_classification_objective_never_waits_for_the_device(batch):
    stock = waits_of_a_step(build_stock(), fairseqs_criterion(), batch)
    model = build_grouped()
    assert waits_of_a_step(model, classifying(model), batch) == stock


@pytest.mark.parametrize("feature", ["value", "attention", "output"])
def test_constraint_is_computed_in_float32_under_amp(batch, feature):
    """Sums over a batch are too large for half precision, and their cosines need more of it."""
    model = build_grouped(group_feature=feature)
    with record_features(model) as features:
        model(**batch["net_input"])
    stack = features.stacks()[0].detach() * 1e6  # as of a large batch
    exact = group_constraint([stack], 2, 0.5, 0.5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under_amp = group_constraint([stack], 2, 0.5, 0.5)
    assert torch.equal(under_amp.loss, exact.loss) and torch.equal(under_amp.labels[0], exact.labels[0])


@pytest.mark.parametrize("feature", ["value", "attention", "output"])
def test_features_and_constraint_need_no_values(feature):
    """On the meta device there are none: reading one there, by whatever means, is an error."""
    with torch.device("meta"):
        attention = GroupedAttention(32, 8, self_attention=True)
        attention.grouping = Grouping(2, feature)
        query, padding = torch.empty(5, 3, 32), torch.empty(3, 5, dtype=torch.bool)
        with record_features(attention) as features:
            attention(query, query, query, padding, need_weights=False)
        constraint = group_constraint(features.stacks(), 2, 0.5, 0.5)
        constraint.loss.backward()
    reached = attention.q_proj if feature == "attention" else attention.v_proj
    assert reached.weight.grad.is_meta and reached.weight.grad.shape == (32, 32)


def test_classification_objective_adds_eq_4a(batch):
    model = build_grouped().eval()
    ours = classifying(model)
    for number, parameter in enumerate(ours.parameters()):
        parameter.data.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number)))
    loss, size, log = ours(model, batch)
    features = features_of(model, batch, pooled=True)
    labels = hidden_unit_labels(features.stacks()[0], 2)
    logits = ours.classifiers(list(grouped_attentions(model)), features.pooled(features.layers))
    expected = classification_constraint(logits, labels, 0.7, 0.3).mean()
    assert ((loss - log["loss"]) / size).item() == pytest.approx(0.25 * expected.item(), rel=1e-4)
    assert (log["constraint"] / size).item() == pytest.approx(expected.item(), rel=1e-5)
    assert "homogeneity" in log and 0 < (log["group_probability"] / size).item() < 1


def test_classifiers_and_model_learn_from_the_classification_objective(batch):
    model = build_grouped().eval()
    ours = classifying(model, beta=0.0, scale="10")
    parameters = [*model.parameters(), *ours.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=0.003)
    probabilities = []
    for _ in range(30):
        optimizer.zero_grad()
        loss, size, log = ours(model, batch)
        loss.backward()
        optimizer.step()
        probabilities.append((log["group_probability"] / size).item())
    assert probabilities[0] == pytest.approx(0.5, abs=1e-6)
    assert probabilities[-1] > 0.7


def test_fairseq_2389_classifiers_keep_a_gradient_after_the_vote(batch):
    """facebookresearch/fairseq#2389: default data-parallel training wants one for every parameter."""
    model = build_grouped()
    ours = classifying(keep_heads(model, [0, 3]))
    loss, _, log = ours(model, batch)
    loss.backward()
    assert loss.item() == log["loss"].item()
    assert all(parameter.grad is not None and parameter.grad.abs().max() == 0 for parameter in ours.parameters())


def test_classification_objective_is_refused_where_it_cannot_work():
    with pytest.raises(ValueError, match="--group-objective classification: allowed only with a task that votes"):
        build_criterion(GroupConstrainedCrossEntropy, TinyTask(), group_objective="classification")
    with pytest.raises(ValueError, match="allowed with --group-feature value or output; attention maps have a size"):
        classifying(build_grouped(group_feature="attention"))


def test_checkpoint_without_classifiers_leaves_them_fresh():
    ours = classifying(build_grouped())
    ours.load_state_dict(None)
    saved = {name: torch.ones_like(value) for name, value in ours.state_dict().items()}
    ours.load_state_dict(saved)
    assert all((value == 1).all() for value in ours.state_dict().values())


@pytest.mark.parametrize("stage,before,after", [("1", True, False), ("2", False, True), ("both", True, True)])
def test_constraint_acts_in_its_stages_only(batch, stage, before, after):
    model = build_grouped().eval()
    ours = build_criterion(GroupConstrainedCrossEntropy, VotingTask(model, stage), scale="1")
    for voted, expected in ((False, before), (True, after)):
        if voted:
            keep_heads(model, [0, 3])
        loss, _, log = ours(model, batch)
        assert ("constraint" in log) == expected
        assert (loss.item() != log["loss"].item()) == expected


def test_observer_sees_the_grams_of_training_before_the_vote(batch):
    model = build_grouped()
    history = HiddenUnitHistory(heads_per_layer(model))
    seen = []
    for stage in ("1", "2"):
        task = VotingTask(model, stage, history)
        ours = build_criterion(GroupConstrainedCrossEntropy, task, scale="0" if stage == "1" else "1")
        ours.train()(model.train(), batch)
        seen.append(task.group_training.observed)
        task.group_training.observed = {}
        ours.eval()(model.eval(), batch)
        assert not task.group_training.observed, "validation is not observed"
    (stack,) = features_of(model, batch).stacks()
    for grams in seen:
        assert list(grams) == list(grouped_attentions(model))
        torch.testing.assert_close(torch.stack(list(grams.values())), stack)
        assert not any(gram.requires_grad for gram in grams.values())


def test_batch_in_which_layerdrop_skips_every_layer_is_not_constrained(batch):
    model = build_grouped(encoder_layerdrop=1.0, decoder_layerdrop=1.0).train()
    for ours in (criterion("100"), classifying(model, scale="100")):
        loss, _, log = ours(model, batch)
        loss.backward()
        assert loss.item() == log["loss"].item() and "constraint" not in log
        assert all(parameter.grad is not None for parameter in ours.parameters())


def test_fairseq_2389_classifiers_of_layers_that_layerdrop_skips_keep_a_gradient(batch):
    model = build_grouped(decoder_layerdrop=1.0).train()
    ours = classifying(model)
    loss, _, log = ours(model, batch)
    loss.backward()
    assert "constraint" in log
    assert all(parameter.grad is not None for parameter in ours.parameters())
    assert ours.classifiers.weights["encoder_layers_0_self_attn"].grad.abs().max() > 0
    assert ours.classifiers.weights["decoder_layers_0_self_attn"].grad.abs().max() == 0


def test_squared_diversity_reaches_the_loss(batch):
    model = build_grouped().eval()
    ours = build_criterion(GroupConstrainedCrossEntropy, TinyTask(), 0.0, 0.5, "1", group_diversity="squared")
    _, size, log = ours(model, batch)
    assert -1 <= (log["diversity"] / size).item() <= 0
    assert (log["constraint"] / size).item() == pytest.approx(-0.5 * (log["diversity"] / size).item(), rel=1e-5)


def test_cross_entropy_variant(batch):
    model = build_grouped().eval()
    ours = build_criterion(GroupConstrainedCrossEntropy, TinyTask(), scale="0.5")
    loss, size, log = ours(model, batch)
    task_loss, _, _ = CrossEntropyCriterion(TinyTask(), False)(model, batch)
    assert log["loss"].item() == pytest.approx(task_loss.item(), rel=1e-6)
    expected = task_loss + 0.5 * size * constraint_of(model, batch, 0.5, 0.5).loss
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_after_the_vote_only_the_task_loss_is_left(batch):
    loss, _, log = criterion("100")(keep_heads(build_grouped().eval(), [0, 3]), batch)
    assert loss.item() == log["loss"].item()
    assert "constraint" not in log


def test_fairseq_4555_constraint_is_computed_in_float32_of_a_half_precision_model(batch):
    """facebookresearch/fairseq#4555: nothing overflows."""
    model = build_grouped().eval()
    reference = constraint_of(model, batch).loss.item()
    _, size, log = criterion()(model.bfloat16(), batch)
    assert log["constraint"].dtype == torch.float32
    assert (log["constraint"] / size).item() == pytest.approx(reference, abs=0.02)


def test_metrics_are_means_over_batches_by_size():
    logs = [
        {"loss": torch.tensor(8.0), "nll_loss": torch.tensor(8.0), "ntokens": 4, "sample_size": 4,
         "homogeneity": torch.tensor(4 * 0.5), "diversity": torch.tensor(4 * 0.1),
         "constraint": torch.tensor(4 * -0.3), "constrained_size": 4},
        {"loss": torch.tensor(24.0), "nll_loss": torch.tensor(24.0), "ntokens": 12, "sample_size": 12,
         "homogeneity": torch.tensor(12 * 0.9), "diversity": torch.tensor(12 * 0.5),
         "constraint": torch.tensor(12 * -0.7), "constrained_size": 12},
    ]  # fmt: skip
    with metrics.aggregate(new_root=True) as logged:
        GroupConstrainedLabelSmoothedCrossEntropy.reduce_metrics(logs)
    values = logged.get_smoothed_values()
    assert values["loss"] == pytest.approx(2 / math.log(2), abs=1e-3)
    assert values["homogeneity"] == pytest.approx((4 * 0.5 + 12 * 0.9) / 16)
    assert values["diversity"] == pytest.approx((4 * 0.1 + 12 * 0.5) / 16)
    assert values["constraint"] == pytest.approx((4 * -0.3 + 12 * -0.7) / 16)


def test_stock_model_is_refused(batch):
    with pytest.raises(RuntimeError, match="TransformerModel has no grouped attention"):
        criterion()(build_stock(), batch)


def test_padding_does_not_change_the_constraint():
    model, batch, wider = build_grouped().eval(), padded_batch(), padded_batch()
    wider["net_input"]["src_tokens"] = torch.nn.functional.pad(batch["net_input"]["src_tokens"], (5, 0), value=1)
    shares = [criterion()(model, sample)[2]["constraint"].item() for sample in (batch, wider)]
    assert shares[0] == pytest.approx(shares[1], rel=1e-4)


@pytest.mark.parametrize("value", ["-1", "much", "inf", "nan", ""])
def test_wrong_scale_is_refused(value):
    with pytest.raises(ValueError, match=f"--group-loss-scale {value}: allowed is 'batch' or a number >= 0"):
        GroupLossScale(value)


@pytest.mark.parametrize(
    "alpha,beta,flag", [(-0.1, 0.5, "--group-alpha -0.1"), (0.5, float("nan"), "--group-beta nan")]
)
def test_wrong_weights_are_refused(alpha, beta, flag):
    with pytest.raises(ValueError, match=flag):
        criterion(alpha=alpha, beta=beta)
