"""Pages of documents: no dead link, short cells, each in the site, and each command read by its program's parser."""

import re

import pytest
import results_table
from pages import DOCS, PAGES, ROOT, blocks, check, commands, files_before, flags_of_fairseq, flags_of_ours, headings
from site_links import for_the_site, shown_files

NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]
OF_DOCS = [page.relative_to(ROOT).as_posix() for page in DOCS]
# Options of pip, hydra, mkdocs and docker.
FLAGS_OF_OTHERS = {
    "--no-deps",
    "--no-build-isolation",
    "--config-name",
    "--config-dir",
    "--help",
    "--strict",
    "--shm-size",
    "--user",
}


def prose(name):
    return re.sub(r"^```.*?^```$", "", (ROOT / name).read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("name", NAMES)
def test_no_link_is_dead(name):
    page = ROOT / name
    for target in re.findall(r"\]\((?![a-z]+:)([^)\s]+)\)", prose(name)):
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        assert not anchor or file.suffix != ".md" or anchor in headings(file), target


@pytest.mark.parametrize("name", OF_DOCS)
def test_cells_of_tables_are_short(name):
    for line in prose(name).splitlines():
        for cell in line.split(" | ") if line.startswith("|") else ():
            assert len(cell.strip("| ").split()) <= 20, cell


def test_every_page_of_the_site_is_in_its_navigation_once():
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]
    assert sorted(re.findall(r": (\S+\.md)$", navigation, re.MULTILINE)) == sorted(n[len("docs/") :] for n in OF_DOCS)


def test_results_and_changelog_are_shown():
    shown = shown_files(ROOT / "docs")
    assert shown == {"CHANGELOG.md": "docs/changelog.md", "examples/RESULTS.md": "docs/results.md"}


@pytest.mark.parametrize("figures", sorted((ROOT / "examples/results").glob("*.json")), ids=lambda path: path.stem)
def test_tables_of_the_study_are_made_of_its_figures(figures, capsys):
    assert results_table.main([str(figures)]) == 0
    made = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    shown = (ROOT / "examples/RESULTS.md").read_text(encoding="utf-8").splitlines()
    assert [line for line in made if line not in shown] == []


@pytest.mark.parametrize(
    "place,page,link,expected",
    [
        ("docs/a.md", "docs/a.md", "[b](b.md#c)", "[b](b.md#c)"),
        ("docs/a.md", "docs/a.md", "[R](../examples/RESULTS.md#speed)", "[R](results.md#speed)"),
        ("docs/a.md", "docs/a.md", "[`f`](../scripts/f.py)", "`f`"),
        ("docs/a.md", "docs/a.md", "[v](../fairseq_ghat/core/voting.py)", "[v](api/core.md#fairseq_ghat.core.voting)"),
        ("examples/RESULTS.md", "docs/results.md", "[a](../docs/a.md#b)", "[a](a.md#b)"),
        ("examples/RESULTS.md", "docs/results.md", "[s](settings.yaml), [t](#t)", "s, [t](#t)"),
        ("docs/api/x.md", "docs/api/x.md", "[a](../a.md) [w](https://w.org)", "[a](../a.md) [w](https://w.org)"),
    ],
)
def test_links_of_the_site(place, page, link, expected):
    assert for_the_site(link, place, page, {"examples/RESULTS.md": "docs/results.md"}) == expected


@pytest.mark.parametrize("name", NAMES)
def test_every_command_is_understood_by_its_program(name):
    for block in blocks(ROOT / name):
        for words in commands(block.text) if block.language == "bash" else ():
            check(words)
        if block.language == "python" and name != "CONTRIBUTING.md":  # which shows a line of a dictionary
            compile(block.text, name, "exec")


@pytest.mark.parametrize("name", OF_DOCS)
def test_every_flag_that_is_named_exists(name):
    named = {
        flag
        for code in re.findall(r"`([^`]+)`", prose(name))
        for flag in re.findall(r"(?<!\S)--[a-z][\w-]*\w(?![\w.-])", code)
    }
    assert named <= flags_of_ours() | flags_of_fairseq() | FLAGS_OF_OTHERS


@pytest.mark.parametrize(
    "line,expected",
    [
        ("CORPUS=a bash x.sh > log 2>&1    # why", [["bash", "x.sh"]]),
        ('a "$(python -m b)" c', [["python", "-m", "b"], ["a", "", "c"]]),
        ("a --b 'c d' \\\n  --e | f >> g && h", [["a", "--b", "c d", "--e"], ["f"], ["h"]]),
        (
            "fairseq-train d $(ghat-options c.pt) --x 1",
            [["ghat-options", "c.pt"], ["fairseq-train", "d", "--arch", "ghat_transformer", "--x", "1"]],
        ),
    ],
)
def test_commands_are_taken_apart(line, expected):
    assert list(commands(line)) == expected


@pytest.mark.parametrize(
    "command",
    [
        "ghat-slim a.pt b.pt --keep 2",
        "fairseq-train d --arch transformer --no-such-flag",
        "ghat-vote a.pt",
        "unknown x",
    ],
)
def test_a_dead_option_is_noticed(command):
    with pytest.raises(AssertionError):
        check(command.split())


def test_markers_of_a_page_are_read(tmp_path):
    page = tmp_path / "page.md"
    marked = "<!-- not run: why -->\n```bash\nx\n```\n\n<!-- file: f -->\n```yaml\ny\n```\n"
    page.write_text(f"<!-- folder: a b.pt -->\n\n{marked}\n```\nz\n```\n")
    assert files_before(page) == ["a", "b.pt"]
    told = [(b.line, b.language, b.text, b.not_run, b.file) for b in blocks(page)]
    assert told == [(4, "bash", "x\n", "why", None), (9, "yaml", "y\n", None, "f"), (13, "", "z\n", None, None)]


def test_messages_of_troubleshooting_are_those_of_the_code():
    """Or of fairseq and torch."""
    of_others = {
        "ValueError: mutable default <class 'fairseq.dataclass.configs.CommonConfig'>",
        "not globally unique",
        "Could not override 'task'. No match in the defaults list",
        "KeyError: np.int64(153)",
        "AssertionError",
        "Minimum loss scale reached",
        "Expected to have finished reduction in the prior iteration",
        "Weights only load failed",
        "Unsupported global: GLOBAL argparse.Namespace",
        "PytorchStreamReader failed",
        "please ensure that the architectures match",
        "size mismatch for ... q_proj.weight",
        "ModuleNotFoundError: No module named 'numpy._core'",
        "Mask Type should be defined",
    }
    titles = re.findall(r"^## (`.*)$", (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8"), re.MULTILINE)
    messages = {message for title in titles for message in re.findall(r"`([^`]+)`", title)}
    assert of_others < messages
    sources = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "fairseq_ghat").rglob("*.py"))]
    joined = re.sub(r'"\n\s*f?"', "", "\n".join(sources))
    for message in messages - of_others - {"adaptive_loss", "nan"}:
        literal = max(re.split(r"\.\.\.|\[.*?]|▁|13a|ja-mecab|\bja\b|fairseq_ghat", message), key=len).strip(" :")
        assert literal in joined, message
