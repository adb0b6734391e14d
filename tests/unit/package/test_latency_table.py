"""A table of measured times: what it says of sizes between, which layers it sends a budget to, what is refused."""

import json

import pytest
import torch
from tiny_models import PAD, build_grouped, padded_batches

from fairseq_ghat.core.interpolation import interpolate
from fairseq_ghat.modules.attention_layers import heads_per_layer
from fairseq_ghat.modules.feed_forward import neurons_per_layer
from fairseq_ghat.modules.removable_layers import removable_layers
from fairseq_ghat.profiling.latency import SHARES, Cut, cut_models, fit_savings, seconds_of_cuts, table_of
from fairseq_ghat.pruning.calibration import Calibration
from fairseq_ghat.pruning.costs import latency_savings
from fairseq_ghat.pruning.latency_table import MeasuredKind, layers_by_kind, read_latency_table
from fairseq_ghat.pruning.model_budget import check_model_budget
from fairseq_ghat.pruning.options import VoteOptions
from fairseq_ghat.pruning.vote import vote

SAMPLES = padded_batches(30)
KINDS = [
    "encoder self-attention",
    "decoder self-attention",
    "cross attention",
    "encoder feed-forward",
    "decoder feed-forward",
]


def write_table(path, saving=(), whole=10.0, saved=4.0, **options):
    """A table in which layers of some kinds save time in proportion to their units, the others none."""
    seconds = {None: whole}
    for share in SHARES:
        seconds.update({Cut(kind, share): whole - saved * (1 - share) * (kind in saving) for kind in KINDS})
        seconds[Cut(None, share)] = whole - saved * (1 - share) * len(saving)
    table = {"setting": "made up", "machine": "none", **table_of(build_grouped(**options), seconds)}
    path.write_text(json.dumps(table))
    return table


def cut(path, budget="latency=0.8", **options):
    model = build_grouped()
    calibration = Calibration(model, lambda shuffle: SAMPLES, lambda: len(SAMPLES), PAD)
    vote(calibration, VoteOptions(budget=budget, latency_table=str(path), **options))
    return model


def test_values_between_points_and_beyond_them():
    at = torch.tensor([-1, 0, 1, 2, 3, 4, 9])
    # From 5 at 0 to 1 at 2, then up to 4 at 4; outside as at the ends.
    assert interpolate(at, [0, 2, 4], [5, 1, 4]).tolist() == [5, 5, 3, 1, 2.5, 4, 4]
    assert interpolate(torch.arange(3), [7], [2]).tolist() == [2, 2, 2]


def test_savings_of_a_layer_for_every_number_of_units():
    """Eight heads, of which 8, 6, 4, 2 and 1 were measured; none is taken for one."""
    kind = MeasuredKind({}, [8, 6, 4, 2, 1], [0.0, 1.0, 1.5, 2.5, 2.0])
    assert kind.savings().tolist() == [0, 0.5, 1, 1.25, 1.5, 2, 2.5, 2, 2]


def test_savings_of_a_side_are_divided_among_its_layers(tmp_path):
    write_table(tmp_path / "t.json", ["cross attention"], whole=10, saved=4)
    whole, saved = latency_savings(read_latency_table(str(tmp_path / "t.json")), build_grouped())
    layers = removable_layers(build_grouped())
    by_name = dict(zip(layers, saved.values()))
    assert whole == pytest.approx(10)
    # A quarter stays: 4 x 0.75 seconds, by two layers.
    assert by_name["decoder.layers.1.encoder_attn"][6] == pytest.approx(1.5)
    assert by_name["decoder.layers.0.self_attn"].abs().sum() < 1e-9


@pytest.mark.parametrize("kind", KINDS)
def test_a_budget_goes_to_the_layers_that_save_time(kind, tmp_path):
    write_table(tmp_path / "t.json", [kind])
    model = cut(tmp_path / "t.json", "latency=0.81")
    left = {**heads_per_layer(model), **neurons_per_layer(model)}
    whole = {**heads_per_layer(build_grouped()), **neurons_per_layer(build_grouped())}
    goes = {name for name in left if left[name] < whole[name]}
    layers = removable_layers(model)
    names = {id(layer.projection): name for name, layer in layers.items()}
    assert goes == {names[id(layer.projection)] for layer in layers_by_kind(model)[kind]}
    # 1.9 of 10 seconds are to go, and all units save 4: 7.6 of 16 heads, 60.8 of the 128 neurons of each layer.
    assert sum(left[name] for name in goes) == (2 * (128 - 61) if "feed" in kind else 16 - 8)


def test_a_share_that_cannot_be_reached_is_refused_with_the_least(tmp_path):
    """Of 10 seconds 4 x 15 / 16 can be saved: no fewer neurons than a sixteenth were measured."""
    write_table(tmp_path / "t.json", ["encoder feed-forward"])
    with pytest.raises(ValueError, match=r"--budget latency=0.5: allowed is latency=0.625 or more"):
        cut(tmp_path / "t.json", "latency=0.5")


def test_tables_of_other_models_are_refused_with_what_differs(tmp_path):
    for options, told in (
        ({"encoder_layers": 3}, "measured with 3 layers in encoder self-attention, this model has 2"),
        ({"decoder_ffn_embed_dim": 32}, "measured with 32 neurons in decoder feed-forward, this model has 128"),
        ({"decoder_attention_heads": 4}, "measured with 4 heads in decoder self-attention, this model has 8"),
    ):
        write_table(tmp_path / "t.json", **options)
        with pytest.raises(ValueError) as refused:
            cut(tmp_path / "t.json")
        assert f"--latency-table {tmp_path}/t.json: {told}" in str(refused.value)


def damage(table, how):
    if how == "truncated":
        return json.dumps(table)[:-100]
    if how == "time":
        return json.dumps({**table, "seconds": "NaN"})
    if how == "other":
        return "[]"
    figures = table["kinds"]["cross attention"]
    {"units": figures["units"].reverse, "saved": figures["saved"].pop, "shape": figures["shape"].clear}[how]()
    return json.dumps(table)


@pytest.mark.parametrize("how", ["truncated", "time", "other", "units", "saved", "shape"])
def test_damaged_tables_are_refused_by_name(how, tmp_path):
    (tmp_path / "t.json").write_text(damage(write_table(tmp_path / "t.json"), how))
    with pytest.raises(ValueError, match=f"--latency-table {tmp_path}/t.json: "):
        cut(tmp_path / "t.json")
    with pytest.raises(ValueError, match=r"none.json: cannot be read \(No such file"):
        cut(tmp_path / "none.json")


def test_table_and_budget_go_together():
    for options, told in (
        ({"budget": "latency=0.7"}, "--budget latency=0.7: --latency-table is missing"),
        ({"latency_table": "t.json"}, "--latency-table t.json: allowed only with --budget latency=SHARE"),
        ({"latency_table": "t.json", "budget": "flops=0.5"}, "allowed only with --budget latency=SHARE"),
    ):
        with pytest.raises(ValueError) as refused:
            check_model_budget(VoteOptions(**options))
        assert told in str(refused.value)


def test_copies_are_cut_and_the_model_is_not():
    model = build_grouped()
    copies = cut_models(model)
    assert len(copies) == 6 * 4
    assert set(heads_per_layer(model).values()) == {8} and set(neurons_per_layer(model).values()) == {128}
    assert set(heads_per_layer(copies[Cut(None, 0.25)]).values()) == {2}
    assert set(neurons_per_layer(copies[Cut(None, 0.0625)]).values()) == {8}
    one = copies[Cut("cross attention", 0.0625)]
    assert sorted(heads_per_layer(one).values()) == [1, 1, 8, 8, 8, 8]
    assert neurons_per_layer(one) == neurons_per_layer(model)
    assert one.decoder.layers[0].fc1.weight is model.decoder.layers[0].fc1.weight


def test_a_machine_whose_speed_changes_does_not_change_what_is_saved():
    """Batches of 2 and 1 seconds; in some rounds the machine is three times slower."""
    cuts = {Cut(kind, share): 0.5 + share / 2 for kind in (*KINDS, None) for share in SHARES}
    times = {cut: 3 if cut is None or cut.kind is None else 1 for cut in (None, *cuts)}
    calls = dict.fromkeys(times, 0)

    def run(cut, number):
        slow = 3 if calls[cut] // times[cut] % 7 == 2 else 1
        calls[cut] += 1
        return (2.0, 1.0)[number] * slow * cuts.get(cut, 1.0)

    seconds = seconds_of_cuts(
        {cut: lambda number, cut=cut: run(cut, number) for cut in cuts},
        lambda number: run(None, number),
        (2, 5, 1),
        lambda text: None,
    )
    assert seconds[None] == pytest.approx(3)
    assert all(seconds[cut] == pytest.approx(3 * relative) for cut, relative in cuts.items())
    assert all(calls[cut] == 12 * times[cut] for cut in calls)


def test_errors_of_single_times_are_not_taken_for_savings():
    """Of 10 seconds each kind would save 0.5 without any unit, and as much of that as units go."""
    truth = {None: 10.0}
    for share in SHARES:
        truth.update({Cut(kind, share): 10 - 0.5 * (1 - share) for kind in KINDS})
        truth[Cut(None, share)] = 10 - 2.5 * (1 - share)
    whole, saved = fit_savings(truth)
    assert whole == pytest.approx(10)
    assert all(seconds == pytest.approx(0.5 * (1 - cut.share)) for cut, seconds in saved.items())
    # The whole model was measured 1 second too slow: each saving alone is wrong by 1, five together by 5.
    whole, saved = fit_savings({**truth, None: 11.0})
    assert abs(whole - 10) < 0.25
    assert all(abs(seconds - 0.5 * (1 - cut.share)) < 0.06 for cut, seconds in saved.items())
    # One size was measured 1 second too quick.
    odd = Cut(KINDS[0], 0.5)
    _, saved = fit_savings({**truth, odd: truth[odd] - 1})
    assert saved[odd] - 0.25 < 0.4
