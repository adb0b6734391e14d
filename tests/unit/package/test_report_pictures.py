"""The pictures show the numbers of the runs, as worked out by hand."""

import math
import xml.etree.ElementTree as xml

import pytest

pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install matplotlib")

from report_runs import COSINES, LAYERS, analysis, grouped_run, plain_run

from fairseq_ghat.report.curves import constraint_curves, panels, training_curves
from fairseq_ghat.report.head_pictures import in_order_of_groups, kept_heads, pillars, similarities, votes
from fairseq_ghat.report.pictures import line_style, short_name, svg
from fairseq_ghat.report.run import Run
from fairseq_ghat.report.score_pictures import (
    common_metric,
    compactness_of,
    lines_by_kind,
    score_by_compactness,
    score_by_groups,
)


def texts_of(picture):
    root = xml.fromstring(svg(picture))
    return [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")], root


def test_many_runs_differ_in_their_points():
    looks = [line_style(number) for number in range(50)]
    assert len({(look["color"], look["marker"]) for look in looks}) == 50


def test_votes_before_the_same_epoch_are_one_line():
    runs = [grouped_run("one", kind="GHT-PS"), grouped_run("other", kind="GHT-PS")]
    picture = training_curves(runs)
    (legend,) = picture.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["one", "other", "vote before epoch 2"]
    assert "vote of one before epoch 2; vote of other before epoch 2" in picture.alternative


def test_curves_are_those_of_the_validation_set_with_the_vote_between_epochs():
    runs = [plain_run(), grouped_run("ght-ps", kind="GHT-PS")]
    ((axis, curves),) = panels(runs, [(("nll_loss",), "loss"), (("bleu",), "BLEU")])
    assert (axis, curves) == ("loss", {"plain": ([1, 2], [4.0, 3.0]), "ght-ps": ([1, 2], [4.5, 3.5])})
    picture = training_curves(runs)
    lines = [line.get_xydata().tolist() for line in picture.figure.axes[0].lines]
    assert lines == [[[1, 4.0], [2, 3.0]], [[1, 4.5], [2, 3.5]], [[1.5, 0], [1.5, 1]]]
    assert "plain 4 in epoch 1 to 3 in epoch 2" in picture.alternative and "vote of ght-ps" in picture.alternative
    assert len(constraint_curves(runs).figure.axes) == 2 and constraint_curves([plain_run()]) is None
    assert training_curves([Run("empty", None)]) is None


def test_heads_are_in_the_order_of_their_groups_and_pillars_are_marked():
    of_layer = analysis("a").layers[LAYERS[0]]
    assert in_order_of_groups(of_layer, "value", 2) == ([0, 2, 1, 3], [2, 2])
    assert in_order_of_groups(of_layer, "value", None) == ([0, 1, 2, 3], [4])
    (picture,) = similarities([plain_run(), grouped_run(kind="GHT-PS")])
    first = picture.figure.axes[0]
    (image,) = first.images
    shown = image.get_array().filled(math.nan).tolist()
    for row, i in enumerate([0, 2, 1, 3]):
        for column, j in enumerate([0, 2, 1, 3]):
            assert math.isnan(shown[row][column]) if i == j else shown[row][column] == COSINES[i][j]
    assert image.get_clim() == pytest.approx((-0.6, 0.6))
    assert [label.get_text() for label in first.get_xticklabels()] == ["0", "2*", "1", "3*"]
    assert [line.get_xdata()[0] for line in first.lines if line.get_xdata()[0] == line.get_xdata()[1]] == [1.5]


def test_votes_and_the_heads_that_stay():
    run = grouped_run(kind="GHT-PS")
    (axis, _) = votes(run).figure.axes
    assert axis.images[0].get_array().tolist() == [[0.1, 0.0, 0.9, 1.0]] * 2
    assert [text.get_text() for text in axis.texts] == ["1", "0", "9", "10"] * 2
    assert sorted({round(frame.get_x() + 0.46) for frame in axis.patches}) == [2, 3] and len(axis.patches) == 4
    assert votes(plain_run()) is None and kept_heads([plain_run()]) is None and pillars(plain_run()) == {}
    (axis,) = kept_heads([plain_run(), run]).figure.axes
    assert axis.collections[0].get_array().tolist() == [[0, 0, 1, 1]] * 2
    run.log = None  # the checkpoint tells them too
    assert pillars(run) == {name: [2, 3] for name in LAYERS}


def test_compactness_is_that_of_the_last_analysis_that_has_one():
    run = grouped_run(kind="GHT-PS")
    run.measured.analyses.append(analysis("ght", silhouette=None, checkpoint="slim.pt"))
    of_run = compactness_of(run)
    assert (of_run.checkpoint, of_run.groups, of_run.figures["silhouette"]) == ("ght/a.pt", 2, 0.25)
    assert compactness_of(plain_run()) is None and score_by_compactness([plain_run(), run]) is None
    points = score_by_compactness([plain_run(), run, grouped_run("other", score=29.0)]).figure.axes
    assert [line.get_xydata().tolist() for line in points[0].lines] == [[[0.25, 31.0]], [[0.25, 29.0]]]
    assert [line.get_xydata().tolist() for line in points[1].lines] == [[[1.5, 31.0]], [[1.5, 29.0]]]


def test_score_against_the_number_of_groups():
    runs = [plain_run(), grouped_run("c4", 4, 32.0), grouped_run("c2", 2, 31.0), grouped_run("v", 2, 29.5, "GHT-PS")]
    assert common_metric(runs) == "BLEU" and common_metric([]) is None
    assert lines_by_kind(runs[1:], "BLEU") == {"GHT": [(2, 31.0), (4, 32.0)], "GHT-PS": [(2, 29.5)]}
    picture = score_by_groups(runs)
    assert "GHT: C = 2 31.00, C = 4 32.00" in picture.alternative and "plain: 30.00" in picture.alternative
    assert score_by_groups(runs[2:]) is None  # all have C = 2


def test_files_have_text_as_text_a_title_and_the_width_of_a_column():
    picture = training_curves([plain_run(), grouped_run()])
    texts, root = texts_of(picture)
    assert {"epoch", "loss, bits per token", "plain", "ght"} <= set(texts)
    assert root.find("{http://www.w3.org/2000/svg}title").text == picture.alternative
    assert root.get("width") == f"{3.4 * 72:g}pt"


def test_names_of_layers():
    assert [short_name(name) for name in LAYERS] == ["encoder 0 self", "decoder 0 cross"]
