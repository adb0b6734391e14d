"""A picture is written in the forms that the names of its files tell."""

import pytest

pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install matplotlib")

from experiments.pictures import KINDS, pyplot_without_screen, save


def test_every_file_is_written_in_the_form_of_its_suffix_and_nothing_else(tmp_path):
    pyplot = pyplot_without_screen()
    figure, panel = pyplot.subplots()
    panel.plot([1, 2], [3, 4])
    save(figure, *(tmp_path / f"drawn{kind}" for kind in KINDS))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["drawn.png", "drawn.svg"]
    assert (tmp_path / "drawn.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "drawn.svg").read_text().startswith("<?xml") and pyplot.get_fignums() == []
