"""The picture of a comparison shows the figures of its rows."""

from pathlib import Path

import pytest

pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install matplotlib")

from experiments.comparison.plan import Comparison
from experiments.comparison.plot import draw, points, save
from experiments.comparison.results import Results, Row
from matplotlib import pyplot

SCORES = {"pillars": {4: (30.0, 32.0), 2: (20.0, 24.0)}, "l1": {4: (33.0, 33.0), 2: (10.0, 11.0)}}


def comparison(kind="translation", **more):
    given = {"methods": ["pillars", "l1"], "keeps": [2, 4], "seeds": [1, 2], "heads": 8, **more}
    return Comparison("bin", "trained.pt", Path("out"), kind, languages=("de", "en"), **given)


def results(refits=("output",), seeds=2):
    rows = []
    for refit in refits:
        for title, of_title in SCORES.items():
            for keep, scores in of_title.items():
                voted = [score - 5 for score in scores[:seeds]]
                rows.append(
                    Row(title, title, "plain", "", keep, refit, "", [1, 2][:seeds], voted, list(scores[:seeds]))
                )
    return Results("BLEU", "signed", [("all heads", 35.5)], rows)


def drawn(panel):
    """Lines of a panel by their name: (x, y)."""
    found = {}
    for line, label in zip(*panel.get_legend_handles_labels()):
        data = line.lines[0] if hasattr(line, "has_yerr") else line
        found[label] = (list(data.get_xdata()), list(data.get_ydata()))
    return found


def test_points_are_means_and_deviations_from_few_heads_to_many():
    rows = [row for row in results().rows if row.title == "pillars"]
    assert points(rows, "tuned") == [(2, 22.0, pytest.approx(8**0.5)), (4, 31.0, pytest.approx(2**0.5))]
    assert points(rows, "voted")[0][1] == 17.0
    alone = [row for row in results(seeds=1).rows if row.title == "l1"]
    assert points(alone, "tuned") == [(2, 10.0, 0.0), (4, 33.0, 0.0)]


def test_panels_are_of_the_vote_and_of_fine_tuning_with_a_line_for_all_heads():
    figure = draw(comparison(), results())
    voted, tuned = figure.axes
    assert (voted.get_title(), tuned.get_title()) == ("after the vote", "after fine-tuning")
    assert drawn(tuned)["pillars"] == ([2, 4], [22.0, 31.0]) and drawn(voted)["pillars"] == ([2, 4], [17.0, 26.0])
    assert drawn(tuned)["l1"] == ([2, 4], [10.5, 33.0])
    assert drawn(tuned)["all heads"][1] == [35.5, 35.5]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(drawn(tuned))
    assert tuned.get_ylabel() == "BLEU" and tuned.get_yscale() == "linear"
    pyplot.close(figure)


def test_each_refit_has_its_panels_and_perplexities_a_logarithmic_scale():
    what = comparison("language_modeling", refits=["output", "none"])
    figure = draw(what, results(refits=("output", "none")))
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


def test_both_files_are_written_and_nothing_else(tmp_path):
    save(draw(comparison(), results()), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["heads.png", "heads.svg"]
    assert (tmp_path / "heads.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "heads.svg").read_text()
    assert pyplot.get_fignums() == []
