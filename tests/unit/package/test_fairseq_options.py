"""docs/fairseq_options.md: every option that it names is one of fairseq's, and every line has a test that exists."""

import re

import pytest
from pages import ROOT, flags_of_fairseq

PAGE = ROOT / "docs/fairseq_options.md"
LINES = [
    [cell.strip() for cell in line.strip("| ").split(" | ")]
    for line in PAGE.read_text().splitlines()
    if re.match(r"\| (?!option or code)", line)
]
TESTS = {path.name: path.read_text() for path in ROOT.glob("tests/*/**/test_*.py")}


def test_the_page_has_lines():
    assert len(LINES) > 40 and {len(cells) for cells in LINES} == {4}


@pytest.mark.parametrize("cells", LINES, ids=[cells[0] for cells in LINES])
def test_a_line_names_tests_that_exist(cells):
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", cells[3])
    assert named and len(named) == cells[3].count("`") // 2
    for file, test in named:
        assert f"\ndef {test}(" in TESTS[file], f"{file}::{test}"


def test_options_are_those_of_the_installed_fairseq():
    named = {flag for cells in LINES for flag in re.findall(r"--[a-z][\w-]+", " ".join(cells[:3]))}
    assert len(named) > 40 and named <= flags_of_fairseq(), named - flags_of_fairseq()
