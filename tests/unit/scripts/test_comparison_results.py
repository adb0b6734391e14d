"""Means, deviations, order and significance of a comparison whose scores and translations are written by hand."""

import argparse
import json
import random

import pytest
import torch
from experiments.comparison.plan import Comparison, pruned, starts
from experiments.comparison.results import as_json, gather, spread

from fairseq_ghat.checkpoints.files import write_checkpoint
from fairseq_ghat.evaluation.scoring import score_systems
from fairseq_ghat.pruning.importance.registry import IMPORTANCES

REFERENCES = [" ".join(f"w{(3 * i + j) % 20}" for j in range(6 + i % 4)) for i in range(40)]


def finished(what, scores, texts=None):
    """Writes what the steps would have made. scores, texts: (title, keep, seed, "voted" or "tuned") -> value."""
    masks = {"decoder.layers.0.self_attn.head_mask": torch.tensor([2, 2, 0, 0])}
    written = [(one.voted, (one.title, one.keep, one.seed, "voted")) for one in pruned(what)]
    written += [(one.tuned, (one.title, one.keep, one.seed, "tuned")) for one in pruned(what)]
    written += [(start.model, (start.title,)) for start in starts(what)]
    for model, key in written:
        model.folder.mkdir(parents=True, exist_ok=True)
        content = {"metric": "BLEU", "score": scores(*key), "signature": "signed"}
        model.score.write_text(json.dumps(content))
        lines = [
            f"T-{i}\t{reference}\nH-{i}\t-1\t{text}" for i, (reference, text) in enumerate(zip(REFERENCES, texts(*key)))
        ]
        speed = "2026 | INFO | Translated 40 sentences (9 tokens) in 0.5s (6.00 sentences/s, 99.00 tokens/s)"
        model.output.write_text("\n".join([*lines, speed]) + "\n")
    for one in pruned(what):
        write_checkpoint({"model": masks, "args": argparse.Namespace()}, one.voted.checkpoint)


def dropping(share, seed):
    """The references with words left out at random."""
    rng = random.Random(seed)
    return [" ".join(word for word in text.split() if rng.random() > share) for text in REFERENCES]


def translation(tmp_path, **more):
    given = {"methods": ["l1", "pillars", "random"], "seeds": [1, 2], "keeps": [2, 3], "heads": 8, **more}
    return Comparison("bin", "trained.pt", tmp_path, "translation", languages=("de", "en"), **given)


# By heads kept and method, the scores of two seeds after fine-tuning; after the vote they are ten less.
TUNED = {
    2: {"l1": (20.0, 24.0), "pillars": (21.0, 22.0), "random": (30.0, 30.0)},
    3: {"l1": (25.0, 26.0), "pillars": (28.0, 25.0), "random": (11.0, 12.0)},
}


def of_table(title, keep=None, seed=None, moment=None):
    if keep is None:
        return 33.25
    return TUNED[keep][title][seed - 1] - (10 if moment == "voted" else 0)


def texts_of(title, keep=None, seed=1, moment="tuned"):
    """Those of l1 with 2 heads are those of pillars; random leaves out more words."""
    share = {"random": 0.3}.get(title, 0.1)
    return dropping(share, seed if keep == 2 else title + str(seed))


@pytest.fixture
def results(tmp_path):
    what = translation(tmp_path)
    finished(what, of_table, texts_of)
    return what, gather(what)


def test_rows_are_ordered_within_a_budget_by_the_score_after_fine_tuning(results):
    _, found = results
    assert [(row.keep, row.title) for row in found.rows] == [
        *((2, name) for name in ("random", "l1", "pillars")),  # 30, 22, 21.5
        *((3, name) for name in ("pillars", "l1", "random")),  # 26.5, 25.5, 11.5
    ]
    assert found.all_heads == [("all heads", 33.25)] and (found.metric, found.signature) == ("BLEU", "signed")


def test_perplexities_are_ordered_the_other_way(tmp_path):
    what = translation(tmp_path)
    finished(what, of_table, texts_of)
    other = Comparison(**{**vars(what), "kind": "language_modeling"})
    for one in pruned(what):
        for here, there in ((one.voted, "voted"), (one.tuned, "tuned")):
            (here.folder / f"{there}.perplexity.json").write_text("{}")
    rows = gather(other).rows
    assert [row.title for row in rows if row.keep == 2] == ["pillars", "l1", "random"]
    assert {row.p_value for row in rows} == {None}


def test_figures_are_those_of_the_seeds(results):
    what, found = results
    l1 = next(row for row in found.rows if (row.title, row.keep) == ("l1", 2))
    assert (l1.seeds, l1.voted, l1.tuned) == ([1, 2], [10.0, 14.0], [20.0, 24.0])
    assert (l1.paper, l1.heads, l1.start) == (IMPORTANCES["l1"].paper, "1 x 2", "plain")
    assert spread(l1.tuned) == {"mean": 22.0, "standard_deviation": pytest.approx(8**0.5)}  # (2^2 + 2^2) / (2 - 1)
    assert spread([20.0]) == {"mean": 20.0, "standard_deviation": None}
    plain = json.loads(json.dumps(as_json(what, found, {"--epochs": 1})))
    row = next(one for one in plain["rows"] if (one["title"], one["heads_kept"]) == ("l1", 2))
    assert row["after_the_vote"] == {"scores": [10.0, 14.0], "mean": 12.0, "standard_deviation": pytest.approx(8**0.5)}
    assert row["after_fine_tuning"]["scores"] == [20.0, 24.0] and row["p_value"] == l1.p_value
    assert plain["settings"] == {"--epochs": 1} and plain["baseline"] == "pillars" and plain["seeds"] == [1, 2]
    assert plain["versions"]["torch"].startswith("2.") and {"sacrebleu", "python"} < set(plain["versions"])


def test_significance_is_that_of_all_seeds_translations_together(results):
    _, found = results
    p_values = {(row.title, row.keep): row.p_value for row in found.rows}
    assert p_values["pillars", 2] is None and p_values["pillars", 3] is None
    assert p_values["l1", 2] == 1  # the same translations
    assert p_values["random", 2] < 0.01
    systems = {name: texts_of(name, 3, 1) + texts_of(name, 3, 2) for name in ("pillars", "l1", "random")}
    expected = score_systems(systems, [REFERENCES * 2], "bleu")["BLEU"]
    assert p_values["l1", 3] == expected["l1"].p_value and 0 < p_values["l1", 3] < 1


def test_without_fine_tuning_the_votes_are_ordered_and_tested(tmp_path):
    what = translation(tmp_path, epochs=0, methods=["l1", "random"])

    def other_texts(title, keep=None, seed=1, moment="voted"):
        return texts_of(title, keep, seed) if moment == "voted" else REFERENCES

    finished(what, of_table, other_texts)
    found = gather(what)
    assert [row.title for row in found.rows if row.keep == 2] == ["random", "l1"]
    assert all(row.tuned == [] for row in found.rows)
    # No row is called pillars: the first method is what the other is tested against.
    assert {row.title: row.p_value is None for row in found.rows if row.keep == 2} == {"l1": True, "random": False}
    assert next(row.p_value for row in found.rows if (row.title, row.keep) == ("random", 2)) < 0.01
    assert as_json(what, found, {})["rows"][0]["after_fine_tuning"] is None
