"""Which starts and votes a comparison has, and where they lie."""

from pathlib import Path

import pytest
from experiments.comparison.plan import Comparison, starts, votes


def comparison(**more):
    options = {"methods": ["random", "pillars", "disagreement"], "keep": [2, 4], "seeds": [1, 2], "heads": 8}
    options.update(more)
    return Comparison("bin", "trained.pt", Path("out"), "translation", languages=("de", "en"), **options)


def test_without_training_on_everything_begins_at_the_checkpoint():
    given = comparison(gct_methods=[])
    (start,) = starts(given)
    assert (start.title, start.groups, start.model.checkpoint) == ("all heads", None, Path("trained.pt"))
    assert {vote.start for vote in votes(given)} == {start}
    assert [(vote.seed, vote.size, vote.method) for vote in votes(given)] == [
        (seed, keep, method) for seed in (1, 2) for keep in (2, 4) for method in given.methods
    ]


def test_trained_on_there_is_a_start_for_each_budget_of_the_constraint_and_one_for_disagreement():
    given = comparison(continue_epochs=3, gct_methods=["pillars", "l1"], refit=["none"])
    assert {(start.kind, start.groups): start.model.checkpoint.parent.name for start in starts(given)} == {
        ("plain", None): "plain",
        ("gct", 2): "gct-2",
        ("gct", 4): "gct-4",
        ("diversity", 8): "diversity",
    }
    rows = [(vote.title, vote.start.groups) for vote in votes(given) if (vote.size, vote.seed) == (4, 2)]
    assert rows == [
        ("random", None),
        ("pillars", None),
        ("disagreement", None),
        ("pillars, after GCT", 4),
        ("l1, after GCT", 4),
        ("disagreement, after its regularisation", 8),
    ]


def test_without_the_methods_there_are_no_starts_for_them():
    given = comparison(methods=["random"], continue_epochs=3)
    assert [start.kind for start in starts(given)] == ["plain"]


def test_no_two_models_share_a_file():
    given = comparison(continue_epochs=1, gct_methods=["pillars"], refit=["none", "output"])
    models = [start.model for start in starts(given)]
    models += [model for vote in votes(given) for model in (vote.voted, vote.tuned)]
    files = [path for model in models for path in (model.checkpoint, model.output, model.score)]
    # 3 methods, 1 after GCT and 1 after its regularisation; 2 budgets, 2 refits, 2 seeds; voted and tuned.
    assert len(models) == 4 + 5 * 2 * 2 * 2 * 2 and len(set(files)) == 3 * len(models)


def test_from_start_has_one_model_for_each_size_and_seed_and_none_that_was_voted():
    given = comparison(methods=["from-start", "l1"], refit=["none", "output"])
    small = [vote for vote in votes(given) if vote.method == "from-start"]
    assert [(vote.seed, vote.size, vote.voted) for vote in small] == [(s, k, None) for s in (1, 2) for k in (2, 4)]
    assert len({vote.tuned.checkpoint for vote in votes(given)}) == 4 + 2 * 2 * 2


@pytest.mark.parametrize(
    "methods,baseline",
    [(["random", "pillars"], "pillars"), (["random", "l1"], "random"), (["from-start", "l1"], "l1")],
)
def test_the_baseline_is_pillars_where_there_is_such_a_row(methods, baseline):
    assert comparison(methods=methods).baseline == baseline
