"""Tables in markdown, and the check of numbers."""

from argparse import ArgumentParser, Namespace

import pytest

from fairseq_ghat.cli.console import check_minimum, markdown_table


def test_columns_line_up():
    assert markdown_table(["a", "long title"], [["first", "1"], ["2nd", "22"]]) == (
        "| a     | long title |\n| ----- | ---------- |\n| first | 1          |\n| 2nd   | 22         |"
    )


@pytest.mark.parametrize("value,told", [(0, "0"), ([3, 1], "1"), (float("nan"), "nan")])
def test_numbers_below_the_minimum_are_refused(value, told, capsys):
    check_minimum(ArgumentParser(), Namespace(beam=None, max_len=[2, 3]), beam=1, max_len=2)
    with pytest.raises(SystemExit):
        check_minimum(ArgumentParser(), Namespace(max_len=value), max_len=2)
    assert f"--max-len {told}: allowed is 2 or more" in capsys.readouterr().err
