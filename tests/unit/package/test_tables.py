"""Tables in markdown."""

from fairseq_ghat.cli.console import markdown_table


def test_columns_line_up():
    assert markdown_table(["a", "long title"], [["first", "1"], ["2nd", "22"]]) == (
        "| a     | long title |\n| ----- | ---------- |\n| first | 1          |\n| 2nd   | 22         |"
    )
