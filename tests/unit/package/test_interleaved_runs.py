"""Every side comes equally often at every place; medians and their intervals are those of statistics tables."""

import random
from collections import Counter

import pytest

from fairseq_ghat.profiling.interleaved_runs import describe_interval, ratios, run_by_turns, spread


@pytest.mark.parametrize(
    "count,low,high", [(1, 1, 1), (5, 1, 5), (6, 1, 6), (9, 2, 8), (15, 4, 12), (20, 6, 15), (30, 10, 21)]
)
def test_interval_is_that_of_the_sign_test(count, low, high):
    """Ranks from tables of the sign test, two-sided 95 %."""
    values = list(range(1, count + 1))
    random.Random(0).shuffle(values)
    found = spread(values)
    assert (found.median, found.low, found.high) == ((count + 1) / 2, low, high)


def test_interval_holds_the_true_median_as_often_as_it_says():
    draw = random.Random(1)
    held = 0
    for _ in range(2000):
        found = spread([draw.expovariate(1.0) for _ in range(25)])
        held += found.low <= 0.6931 <= found.high
    assert held / 2000 == pytest.approx(0.957, abs=0.015)  # 1 - 2 P(at most 7 heads of 25)


def test_no_values_are_refused():
    with pytest.raises(ValueError, match="at least one value"):
        spread([])


def test_every_side_comes_at_every_place_equally_often_and_warm_up_does_not_count():
    calls = []

    def side(name):
        return lambda number: calls.append((number, name)) or f"{name}{number}"

    told = []
    measured = run_by_turns({name: side(name) for name in "abc"}, rounds=6, warm_up=2, progress=told.append)
    assert measured == {name: [f"{name}{number}" for number in range(2, 8)] for name in "abc"}
    assert [number for number, _ in calls] == [number for number in range(8) for _ in range(3)]
    counted = [name for number, name in calls if number >= 2]
    for place in range(3):
        assert sorted(counted[place::3]) == sorted("aabbcc")
    followed = Counter(zip(counted, counted[1:]))
    assert max(followed.values()) <= 4 and len({pair for pair in followed if len(set(pair)) == 2}) == 6
    assert told[0] == "round 1 of 8, a" and told[-1].startswith("round 8 of 8, ")


@pytest.mark.parametrize("count,named", [(5, "smallest to largest"), (6, "95 % interval of the median")])
def test_interval_is_named_for_what_it_is(count, named):
    assert describe_interval(count) == named


def test_thousands_of_values_are_no_trouble():
    found = spread([float(value) for value in range(5000)])
    assert found.low == pytest.approx(2430, abs=3) and found.median == 2499.5  # 2500 - 1.96 * sqrt(5000) / 2


def test_ratios_are_taken_within_a_round():
    """A machine three times slower in the second round changes neither ratio."""
    assert ratios([2.0, 6.0, 2.2], [1.0, 3.0, 1.0]).median == 2.0
