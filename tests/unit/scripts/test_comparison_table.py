"""The table of a comparison: cells, order and what is said below."""

from pathlib import Path

from experiments.comparison.plan import Comparison
from experiments.comparison.results import Results, Row
from experiments.comparison.table import described, table


def comparison(kind="translation", **more):
    given = {"methods": ["pillars", "l1"], "seeds": [1, 2], "heads": 8, **more}
    return Comparison("bin", "trained.pt", Path("out"), kind, languages=("de", "en"), **given)


def row(title, voted, tuned, p_value=None):
    return Row(title, title.split(",")[0], "plain", "Someone 2020", 2, "output", "6 x 2", [1, 2], voted, tuned, p_value)


def lines(what, *rows, metric="BLEU"):
    found = table(what, Results(metric, "signed", [("all heads", 34.004)], list(rows))).splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in found if line.startswith("|")]
    return cells, [line for line in found if not line.startswith("|")]


def test_a_row_has_means_deviations_and_significance():
    cells, below = lines(comparison(), row("l1", [10.0, 14.0], [20.0, 24.0], 0.0314), row("pillars", [9, 9], [1, 2]))
    assert [cells[0], *cells[2:]] == [
        ["method", "paper", "heads kept", "refit", "after the vote", "after fine-tuning", "p"],
        ["all heads", "", "8", "", "34.00", "", ""],
        ["l1", "Someone 2020", "2", "output", "12.00 ± 2.83", "22.00 ± 2.83", "0.031"],
        ["pillars", "Someone 2020", "2", "output", "9.00 ± 0.00", "1.50 ± 0.71", ""],
    ]
    assert below == [
        "BLEU of test, mean ± standard deviation over seeds 1, 2; signed",
        "heads kept in each attention; fine-tuning: 1 epoch after the vote, which all heads have not",
        "p: paired bootstrap of the translations after fine-tuning, all seeds together, against pillars with as many "
        "heads and the same refit",
    ]


def test_perplexity_has_no_significance():
    what = comparison("language_modeling", budget="model", continue_epochs=2, epochs=0, seeds=[3])
    cells, below = lines(what, row("l1", [100.0], []), metric="perplexity")
    assert cells[0][-1] == "after fine-tuning" and cells[-1][-2:] == ["100.00", ""]
    assert below == [
        "perplexity of test, seed 3; signed (the lower the better)",
        "heads kept for each attention on average, over the whole model; no fine-tuning; every "
        "start is the checkpoint trained on by 2 epochs",
    ]


def test_one_value_has_no_deviation():
    assert (described([2.345]), described([1.0, 3.0]), described([])) == ("2.35", "2.00 ± 1.41", "")
