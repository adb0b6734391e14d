"""The table of a comparison, what is said below it, and the picture, which shows the figures of its rows."""

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install matplotlib")

from experiments.comparison.plan import Comparison
from experiments.comparison.report import conditions, described, draw, points, table
from experiments.comparison.results import Results, Row
from matplotlib import pyplot

SCORES = {"pillars": {4: (30.0, 32.0), 2: (20.0, 24.0)}, "l1": {4: (33.0, 33.0), 2: (10.0, 11.0)}}


def comparison(kind="translation", **more):
    options = {"methods": ["pillars", "l1"], "keep": [2, 4], "seeds": [1, 2], "heads": 8, **more}
    return Comparison("bin", "trained.pt", Path("out"), kind, languages=("de", "en"), **options)


def row(title, voted, tuned, p_value=None):
    return Row(
        title,
        title.split(",")[0],
        "plain",
        "Someone 2020",
        2,
        "6 x 2",
        "4 x 8",
        1234,
        "output",
        [1, 2],
        voted,
        tuned,
        p_value,
        7001,
    )


def lines(given, *rows, metric="BLEU"):
    results_of = Results(metric, "signed", [("all heads", 34.004, 70000)], 4321, list(rows))
    titles, cells = table(given, results_of)
    return [titles, *cells], conditions(given, results_of)


def test_a_row_has_means_deviations_and_significance():
    cells, below = lines(comparison(), row("l1", [10.0, 14.0], [20.0, 24.0], 0.0314), row("pillars", [9, 9], [1, 2]))
    assert cells == [
        ["method", "paper", "heads kept", "parameters", "updates", "refit", "after the vote", "after fine-tuning", "p"],
        ["all heads", "", "8", "4,321", "70,000", "", "34.00", "", ""],
        ["l1", "Someone 2020", "2", "1,234", "7,001", "output", "12.00 ± 2.83", "22.00 ± 2.83", "0.031"],
        ["pillars", "Someone 2020", "2", "1,234", "7,001", "output", "9.00 ± 0.00", "1.50 ± 0.71", ""],
    ]
    assert below == [
        "BLEU of test, mean ± standard deviation over seeds 1, 2; signed",
        "heads kept in each attention; parameters without embeddings; updates in all; fine-tuning: 1 epoch after "
        "the vote, which all heads have not",
        "p: paired bootstrap of the translations after fine-tuning, all seeds together, against pillars of the same "
        "size and refit",
    ]


def test_perplexity_has_no_significance():
    given = comparison("language_modeling", vote_budget="model", continue_epochs=2, epochs=0, seeds=[3])
    cells, below = lines(given, row("l1", [100.0], []), metric="perplexity")
    assert cells[0][-1] == "after fine-tuning" and cells[-1][-2:] == ["100.00", ""]
    assert below == [
        "perplexity of test, seed 3; signed (the lower the better)",
        "heads kept for each attention on average, over the whole model; parameters without embeddings; updates "
        "in all; no fine-tuning; every start is the checkpoint trained on by 2 epochs",
    ]


def test_one_value_has_no_deviation():
    assert (described([2.345]), described([1.0, 3.0]), described([])) == ("2.35", "2.00 ± 1.41", "")


def results(refits=("output",), seeds=2):
    rows = []
    for refit in refits:
        for title, budgets in SCORES.items():
            for keep, scores in budgets.items():
                voted = [score - 5 for score in scores[:seeds]]
                of_seeds = [refit, [1, 2][:seeds], voted, list(scores[:seeds])]
                rows.append(Row(title, title, "plain", "", keep, "", "", 0, *of_seeds))
    return Results("BLEU", "signed", [("all heads", 35.5, None)], 0, rows)


def drawn(panel):
    """Lines of a panel by their name: (x, y)."""
    lines_of = {}
    for line, label in zip(*panel.get_legend_handles_labels()):
        data = line.lines[0] if hasattr(line, "has_yerr") else line
        lines_of[label] = (list(data.get_xdata()), list(data.get_ydata()))
    return lines_of


def test_points_are_means_and_deviations_from_few_heads_to_many():
    rows = [row for row in results().rows if row.title == "pillars"]
    assert points(rows, "tuned") == [(2, 22.0, pytest.approx(8**0.5)), (4, 31.0, pytest.approx(2**0.5))]
    assert points(rows, "voted")[0][1] == 17.0
    alone = [row for row in results(seeds=1).rows if row.title == "l1"]
    assert points(alone, "tuned") == [(2, 10.0, 0.0), (4, 33.0, 0.0)]


def test_shares_of_a_budget_are_sizes_too():
    given = comparison(budget=["flops=0.3", "flops=0.5"])
    shares = [replace(row("l1", [size], [size]), size=f"flops={size}") for size in (0.5, 0.3)]
    cells, below = lines(given, *shares)
    assert [line[2] for line in cells] == ["budget", "all", "flops=0.5", "flops=0.3"]
    assert below[1].startswith("budget: share of the attention and feed-forward layers that stays")
    assert points(shares, "tuned") == [(0.3, 0.3, 0), (0.5, 0.5, 0)]
    figure = draw(given, Results("BLEU", "signed", [("all heads", 1.0, None)], 0, shares))
    assert figure.axes[0].get_xlabel() == "budget: share that stays" and list(figure.axes[0].get_xticks()) == [0.3, 0.5]
    pyplot.close(figure)


def test_from_start_is_in_the_panels_of_fine_tuning_alone():
    given = comparison(methods=["pillars", "l1", "from-start"], refit=["output", "none"], trained_epochs=8)
    of_votes = results(refits=("output", "none"))
    small = replace(row("from-start", [], [7.0, 9.0]), refit="")
    figure = draw(given, replace(of_votes, rows=[*of_votes.rows, small]))
    assert ["from-start" in drawn(panel) for panel in figure.axes] == [False, True, False, True]
    assert drawn(figure.axes[3])["from-start"] == ([2], [8.0])
    assert "from-start" in [text.get_text() for text in figure.legends[0].get_texts()]
    pyplot.close(figure)
    cells, below = lines(given, small)
    assert cells[-1][5:] == ["", "", "8.00 ± 1.41", ""]
    assert below[1].endswith("from-start: the small model, of random units, trained for 9 epochs")
    assert below[2].endswith("same size and refit, from-start against that of refit output")


def test_panels_are_of_the_vote_and_of_fine_tuning_with_a_line_for_all_heads():
    figure = draw(comparison(), results())
    voted, tuned = figure.axes
    assert (voted.get_title(), tuned.get_title()) == ("after the vote", "after fine-tuning")
    assert drawn(tuned)["pillars"] == ([2, 4], [22.0, 31.0]) and drawn(voted)["pillars"] == ([2, 4], [17.0, 26.0])
    assert drawn(tuned)["l1"] == ([2, 4], [10.5, 33.0])
    assert drawn(tuned)["all heads"][1] == [35.5, 35.5]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(drawn(tuned))
    assert tuned.get_xlabel() == "heads kept in each attention"
    assert tuned.get_ylabel() == "BLEU" and tuned.get_yscale() == "linear"
    pyplot.close(figure)


def test_each_refit_has_its_panels_and_perplexities_a_logarithmic_scale():
    given = comparison("language_modeling", refit=["output", "none"])
    figure = draw(given, results(refits=("output", "none")))
    titles = [
        f"{moment}, refit {refit}" for refit in ("output", "none") for moment in ("after the vote", "after fine-tuning")
    ]
    assert [panel.get_title() for panel in figure.axes] == titles
    assert {panel.get_yscale() for panel in figure.axes} == {"log"}
    pyplot.close(figure)


def test_without_fine_tuning_there_is_one_panel():
    figure = draw(comparison(epochs=0), results())
    assert [panel.get_title() for panel in figure.axes] == ["after the vote"]
    pyplot.close(figure)
