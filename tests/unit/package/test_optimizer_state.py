"""What optimizers hold follows the heads that a vote removed, in every wrapper of fairseq's, and refitted weights."""

from functools import partial

import pytest
import torch
from fairseq.criterions.cross_entropy import CrossEntropyCriterion
from fairseq.models.ema import EMA
from fairseq.optim import FairseqOptimizer
from fairseq.optim.adafactor import Adafactor
from fairseq.optim.adam import Adam
from fairseq.optim.adamax import Adamax
from fairseq.optim.amp_optimizer import AMPOptimizer
from fairseq.optim.composite import FairseqCompositeOptimizer
from fairseq.optim.fp16_optimizer import FP16Optimizer, MemoryEfficientFP16Optimizer
from fairseq.optim.nag import NAG
from omegaconf import OmegaConf
from tiny_models import TinyTask, build_grouped, kept_part, padded_batches

from fairseq_ghat.modules.attention_layers import grouped_attentions, heads_per_layer
from fairseq_ghat.modules.removable_layers import KeptUnits, remove_units
from fairseq_ghat.training.optimizer_state import cut_optimizer, cuts_of

KEPT = {name: [2, 5] for name in grouped_attentions(build_grouped())}
KEPT["encoder.layers.0.self_attn"], KEPT["decoder.layers.1.encoder_attn"] = [0, 3, 7], []
NEURONS = {"encoder.layers.1": [0, 5, 127], "decoder.layers.0": list(range(0, 128, 2))}
VOTED = {
    **{name: KeptUnits(heads, 8) for name, heads in KEPT.items()},
    **{name: KeptUnits(neurons, 128) for name, neurons in NEURONS.items()},
}
CONFIG = OmegaConf.create(
    {
        "common": {"fp16_scale_window": 100, "bf16": True, "fp16_init_scale": 1, "min_loss_scale": 1},
        "optimization": {"update_freq": [1]},
        "optimizer": {},
    }
)
OPTIMIZERS = {
    "adam": partial(Adam, lr=0.01),
    "amsgrad": partial(torch.optim.Adam, lr=0.01, amsgrad=True),
    "nag": partial(NAG, lr=0.01, momentum=0.9),
    "sgd": partial(torch.optim.SGD, lr=0.01, momentum=0.9),
    "plain sgd": partial(torch.optim.SGD, lr=0.01),
    "adagrad": partial(torch.optim.Adagrad, lr=0.01),
    "adadelta": partial(torch.optim.Adadelta, lr=0.01),
    "adamax": partial(Adamax, lr=0.01),
}


def plain(parameters, kind=OPTIMIZERS["adam"]):
    optimizer = FairseqOptimizer(None)
    optimizer._optimizer = kind(parameters)
    return optimizer


def copied(parameters):
    copies = FP16Optimizer.build_fp32_params(None, parameters, flatten=False)
    return FP16Optimizer(CONFIG, parameters, plain(copies), copies)


def joined(parameters):
    """By hand, fairseq asks for a GPU."""
    flat = torch.nn.Parameter(torch.cat([p.detach().float().flatten() for p in parameters]))
    flat.grad = torch.zeros_like(flat)
    return FP16Optimizer(CONFIG, parameters, plain([flat]), {None: flat})


def memory_efficient(parameters):
    return MemoryEfficientFP16Optimizer(CONFIG, parameters, plain(parameters))


def amp(parameters):
    return AMPOptimizer(CONFIG, parameters, plain(parameters))


def train(model, optimizer, updates, seed=0):
    criterion = CrossEntropyCriterion(TinyTask(), False)
    for sample in padded_batches(seed + updates)[seed:]:
        optimizer.zero_grad()
        loss, size, _ = criterion(model, sample)
        optimizer.backward(loss)
        optimizer.multiply_grads(1 / size)
        optimizer.step()


def remove(model, optimizer):
    """As a vote, and the first update after it."""
    remove_units(model, VOTED)
    optimizer.zero_grad()
    cut_optimizer(optimizer, cuts_of(model, VOTED))


def mask(model):
    """All heads and neurons are held, those that go take no part."""
    for name, layer in grouped_attentions(model).items():
        layer.set_head_mask(torch.isin(torch.arange(8), torch.tensor(KEPT[name])), may_be_empty=True)
    for name, neurons in NEURONS.items():
        stay = torch.isin(torch.arange(128), torch.tensor(neurons))
        model.get_submodule(name).fc2.register_forward_pre_hook(lambda _, inputs, stay=stay: (inputs[0] * stay,))


def state_by_name(model, optimizer, states):
    """Tensors of the optimizer's state as large as a weight: kind of state -> name of the parameter -> tensor."""
    kinds = {}
    for name, state in zip(dict(model.named_parameters()), states):
        for kind, value in state.items():
            if torch.is_tensor(value) and value.numel() > 1:
                kinds.setdefault(kind, {})[name] = value.clone()
    return kinds


def in_order(optimizer, model):
    """State of each parameter of the model, in their order; cut out of that of a joined copy."""
    state = optimizer.optimizer.state
    if not getattr(optimizer, "has_flat_params", False):
        held = optimizer.optimizer.param_groups[0]["params"]
        return [state[parameter] for parameter in held]
    shapes = [parameter.shape for parameter in model.parameters()]
    (flat,) = optimizer.optimizer.param_groups[0]["params"]
    parts = {
        kind: [part.view(shape) for part, shape in zip(value.split([shape.numel() for shape in shapes]), shapes)]
        for kind, value in state[flat].items()
        if torch.is_tensor(value)
    }
    return [{kind: of_kind[number] for kind, of_kind in parts.items()} for number in range(len(shapes))]


def check_state(make, dtype):
    model = build_grouped().to(dtype)
    optimizer = make(list(model.parameters()))
    train(model, optimizer, 3)
    before = state_by_name(model, optimizer, in_order(optimizer, model))
    objects, weights = dict(model.named_parameters()), {n: p.detach().clone() for n, p in model.named_parameters()}
    remove(model, optimizer)
    after, stayed = (
        state_by_name(model, optimizer, in_order(optimizer, model)),
        kept_part(weights, KEPT, neurons=NEURONS),
    )
    for name, parameter in model.named_parameters():
        assert parameter is objects[name] and parameter.grad is None and torch.equal(parameter, stayed[name])
    for kind, of_kind in before.items():
        expected = kept_part(of_kind, KEPT, neurons=NEURONS)
        assert any(value.shape != of_kind[name].shape for name, value in expected.items())
        for name, value in after[kind].items():
            assert torch.equal(value, expected[name]), (kind, name)
    train(model, optimizer, 2, seed=3)
    return model, before


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_state_is_the_part_of_the_heads_that_stay(name):
    _, before = check_state(partial(plain, kind=OPTIMIZERS[name]), torch.float32)
    assert bool(before) == (name != "plain sgd")


@pytest.mark.parametrize("wrapper", [copied, joined, memory_efficient])
def test_state_in_the_wrappers_of_half_precision(wrapper):
    _, before = check_state(wrapper, torch.bfloat16)
    assert set(before) == {"exp_avg", "exp_avg_sq"}


@pytest.mark.filterwarnings("ignore")
def test_state_under_amp():
    check_state(amp, torch.float32)


def test_factored_state_of_adafactor():
    model = build_grouped()
    optimizer = plain(list(model.parameters()), partial(Adafactor, lr=0.01, relative_step=False, beta1=0.9))
    train(model, optimizer, 3)
    layer = model.decoder.layers[0].self_attn  # heads 2 and 5 of 8 features
    features = [*range(16, 24), *range(40, 48)]
    before = {p: dict(optimizer.optimizer.state[p]) for p in layer.parameters()}
    remove(model, optimizer)
    for part in ("row", "col"):
        for projection, cut in ((layer.v_proj, "row"), (layer.out_proj, "col")):
            was = before[projection.weight][f"exp_avg_sq_{part}"]
            now = optimizer.optimizer.state[projection.weight][f"exp_avg_sq_{part}"]
            assert torch.equal(now, was[features] if part == cut else was)
    bias = optimizer.optimizer.state[layer.v_proj.bias]["exp_avg_sq"]
    assert torch.equal(bias, before[layer.v_proj.bias]["exp_avg_sq"][features])
    train(model, optimizer, 2, seed=3)


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_training_goes_on_as_that_of_a_model_that_masks(name):
    """What is removed has no part in the updates of a model that masks it either. In float64, since Adam makes
    steps of rounding errors where a gradient is zero, as that of the biases of keys."""
    models = [build_grouped().double(), build_grouped().double()]
    optimizers = [plain(list(model.parameters()), OPTIMIZERS[name]) for model in models]
    for model, optimizer in zip(models, optimizers):
        train(model, optimizer, 3)
    mask(models[0])
    remove(models[1], optimizers[1])
    for model, optimizer in zip(models, optimizers):
        train(model, optimizer, 3, seed=3)
    masked, removed = (dict(model.named_parameters()) for model in models)
    for part, expected in kept_part(masked, KEPT, neurons=NEURONS).items():
        torch.testing.assert_close(removed[part], expected, rtol=1e-6, atol=1e-6)
    assert sum(p.numel() for p in removed.values()) < sum(p.numel() for p in masked.values())


@pytest.mark.parametrize("wrapper", [copied, joined])
def test_nni_4521_the_next_update_keeps_refitted_weights_and_the_exactness_of_others(wrapper):
    model = build_grouped().bfloat16()
    names, parameters = zip(*model.named_parameters())
    optimizer = wrapper(list(parameters))
    train(model, optimizer, 3)

    def copies():
        flat = torch.cat([copy.detach().flatten() for copy in optimizer.optimizer.param_groups[0]["params"]])
        parts = flat.split([p.numel() for p in parameters])
        return {name: part.view(p.shape) for name, part, p in zip(names, parts, parameters)}

    exact = copies()
    assert any(not torch.equal(exact[name], weight.float()) for name, weight in model.named_parameters())
    layer = model.encoder.layers[0].self_attn
    with torch.no_grad():  # a refit
        layer.out_proj.weight.fill_(0.5)
        layer.out_proj.bias.fill_(0.25)
    remove(model, optimizer)
    changed = {"encoder.layers.0.self_attn.out_proj.weight": 0.5, "encoder.layers.0.self_attn.out_proj.bias": 0.25}
    changed_copies = {name: torch.full_like(copies()[name], value) for name, value in changed.items()}
    expected = {**kept_part(exact, KEPT, neurons=NEURONS), **changed_copies}
    for name, value in copies().items():
        assert torch.equal(value, expected[name]), name
    optimizer._sync_fp32_params_to_fp16()
    assert set(layer.out_proj.weight.flatten().tolist()) == {0.5} and layer.out_proj.weight.shape == (64, 24)


def test_state_inside_a_composite_optimizer():
    model = build_grouped()
    adam = {"_name": "adam", "adam_betas": "(0.9, 0.98)", "adam_eps": 1e-8, "weight_decay": 0.0, "lr": [0.005]}
    group = {"lr_float": 0.005, "optimizer": adam, "lr_scheduler": {"_name": "fixed", "warmup_updates": 0}}
    composite = FairseqCompositeOptimizer(
        OmegaConf.create({"groups": {"default": group}, "dynamic_groups": False, "common": {"tpu": False}}),
        list(model.parameters()),
    )
    train(model, composite, 1)
    remove(model, composite)
    (inner,) = composite.optimizer.optimizers.values()
    for parameter in model.parameters():
        assert inner.optimizer.state[parameter]["exp_avg"].shape == parameter.shape
    train(model, composite, 1, seed=3)


def test_state_of_another_shape_is_refused_by_name():
    model = build_grouped()
    optimizer = plain(list(model.parameters()))
    train(model, optimizer, 1)
    optimizer.optimizer.state[model.encoder.layers[0].self_attn.q_proj.weight]["blocks"] = torch.zeros(7)
    with pytest.raises(RuntimeError, match=r"state blocks of Adam has shape \(7,\) for parameters of shape \(64, 64\)"):
        remove(model, optimizer)


def test_shadow_model_goes_on_as_that_of_a_model_that_masks():
    """--store-ema: the task removes the same heads and neurons of it."""
    config = OmegaConf.create(
        {"ema_decay": 0.9, "ema_fp32": False, "ema_seed_model": None, "ema_update_freq": 1, "ema_start_update": 0}
    )
    shadows = []
    for removed in (False, True):
        model = build_grouped()
        optimizer, shadow = plain(list(model.parameters()), OPTIMIZERS["sgd"]), EMA(model, config)
        for update in range(4):
            if update == 2 and removed:
                remove(model, optimizer)
                remove_units(shadow.get_model(), VOTED)
            elif update == 2:
                mask(model)
            train(model, optimizer, 1, seed=update)
            shadow.step(model, update)
        shadows.append(shadow.get_model())
    masked, cut = (dict(shadow.named_parameters()) for shadow in shadows)
    for name, expected in kept_part(masked, KEPT, neurons=NEURONS).items():
        torch.testing.assert_close(cut[name], expected, rtol=1e-6, atol=1e-6)
    assert heads_per_layer(shadows[1]) == heads_per_layer(shadows[0]) == {n: len(kept) for n, kept in KEPT.items()}
