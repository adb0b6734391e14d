"""The picture of BLEU against sentences/s shows the figures of the table, and can be read without its colours."""

import importlib.util
from itertools import combinations

import pytest

pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install matplotlib")
pytest.importorskip("ctranslate2", reason="ctranslate2 is not installed: pip install ctranslate2")

import benchmark_export
from commands import refusal_of
from experiments.export_picture import draw
from matplotlib import pyplot

from fairseq_ghat.profiling.interleaved_runs import Spread

SPEEDS = {
    ("full", "fairseq"): (Spread(10.0, 9.0, 12.0), 34.0),
    ("full", "CTranslate2, int8"): (Spread(40.0, 35.0, 41.0), 33.5),
    ("cut", "fairseq"): (Spread(8.0, 7.5, 8.5), 33.0),
    ("cut", "CTranslate2, int8"): (Spread(60.0, 50.0, 61.0), 32.0),
}


def drawn(speeds):
    rows = [
        {"model": model, "engine": engine, "sentences_per_second": speed, "bleu": bleu}
        for (model, engine), (speed, bleu) in speeds.items()
    ]
    setting = {"setting": "9 sentences of test", "machine": "CPU", "interval": "smallest to largest"}
    return draw({**setting, "rows": rows})


@pytest.fixture
def figure():
    figure = drawn(SPEEDS)
    yield figure
    pyplot.close(figure)


def test_points_of_an_engine_are_joined_from_slow_to_fast(figure):
    handles, labels = figure.axes[0].get_legend_handles_labels()
    lines = {label: list(zip(line.get_xdata(), line.get_ydata())) for line, label in zip(handles, labels)}
    assert lines == {"fairseq": [(8.0, 33.0), (10.0, 34.0)], "CTranslate2, int8": [(40.0, 33.5), (60.0, 32.0)]}
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(lines)


def test_bars_are_intervals_and_names_are_beside_the_points(figure):
    panel = figure.axes[0]
    bars = {}
    for container in panel.containers:
        ((start, end),) = container.lines[2][0].get_segments()
        bars[container.lines[0].get_xdata()[0]] = (start[0], end[0])
    assert bars == {speed.median: (speed.low, speed.high) for speed, _ in SPEEDS.values()}
    names = {text.xy: text.get_text() for text in panel.texts}
    assert names == {(speed.median, bleu): model for (model, _), (speed, bleu) in SPEEDS.items()}
    assert panel.get_xlabel() == "sentences/s, median; bars: smallest to largest" and panel.get_ylabel() == "BLEU"


def test_names_of_points_that_nearly_coincide_cover_no_name_and_no_point():
    speeds = [(f"model {i}", Spread(10 + i / 50, 9.0, 12.0), 34 + i / 500) for i in range(5)]
    speeds += [("other", Spread(40.0, 35.0, 41.0), 20.0)]
    figure = drawn({(model, "fairseq"): (speed, bleu) for model, speed, bleu in speeds})
    (panel,) = figure.axes
    boxes = [text.get_window_extent() for text in panel.texts]
    assert sorted(text.get_text() for text in panel.texts) == sorted(model for model, _, _ in speeds)
    assert not any(box.overlaps(other) for box, other in combinations(boxes, 2))
    points = panel.transData.transform([(speed.median, bleu) for _, speed, bleu in speeds])
    assert not any(box.contains(*point) for box in boxes for point in points)
    pyplot.close(figure)


def test_engines_differ_in_shape_and_models_in_colour(figure):
    styles = {container.lines[0].get_xdata()[0]: container.lines[0] for container in figure.axes[0].containers}
    look = {key: styles[speed.median] for key, (speed, _) in SPEEDS.items()}
    assert len({(line.get_marker(), line.get_color()) for line in look.values()}) == 4
    for engine in ("fairseq", "CTranslate2, int8"):
        assert look["full", engine].get_marker() == look["cut", engine].get_marker()
    for model in ("full", "cut"):
        assert look[model, "fairseq"].get_color() == look[model, "CTranslate2, int8"].get_color()


def test_a_picture_that_cannot_be_is_refused_before_any_work(tmp_path, capsys, monkeypatch):
    (tmp_path / "model.pt").write_text("never read")

    def refused(picture):
        arguments = [tmp_path / "no-data", f"full={tmp_path}/model.pt", "--picture", tmp_path / picture]
        return refusal_of(benchmark_export.main, arguments, capsys)

    assert "speed.pdf: allowed is a name that ends in .png or .svg" in refused("speed.pdf")
    assert "none/speed.png: the folder" in refused("none/speed.png")
    found = importlib.util.find_spec
    for missing in ("ctranslate2", "matplotlib"):
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name, gone=missing: None if name == gone else found(name)
        )
        assert f"{missing}: not installed; pip install {missing}" in refused("speed.svg")
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt"]
