"""What pages of documents hold: links, headings, cells of tables, flags, and the commands of their blocks.

Comments that readers do not see say what a page needs to be run, as tests/integration/test_pages.py does:

    <!-- folder: data-bin slim.pt -->    files that its folder holds before the first block
    <!-- not run: REASON -->             the next block is only read, not run
    <!-- file: NAME -->                  the next block is the content of a file
"""

import io
import re
import shlex
from argparse import ArgumentParser
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Iterator, List, Optional, Set
from unittest.mock import patch

import fairseq

from fairseq_ghat.checkpoints.model_options import DEFAULTS

ROOT = Path(__file__).resolve().parents[1]
DOCS = sorted(ROOT.glob("docs/**/*.md"))
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *DOCS,
    *sorted(ROOT.glob("examples/**/*.md")),
]

_BLOCK = re.compile(r"(?:^<!-- (not run|file): (.+?) -->\n)?^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Programs of others, whose options are not checked.
_OF_OTHERS = {"cat", "cd", "cp", "docker", "echo", "export", "git", "head", "ln", "ls", "mkdir", "pip", "pre-commit"}
_OF_OTHERS |= {".", "id", "source", "srun", "torchrun", "which", "xargs", "fairseq-hydra-train"}
_FAIRSEQS = {
    "fairseq-train": "get_training_parser",
    "fairseq-generate": "get_generation_parser",
    "fairseq-interactive": "get_interactive_generation_parser",
    "fairseq-eval-lm": "get_eval_lm_parser",
    "fairseq-validate": "get_validation_parser",
    "fairseq-preprocess": "get_preprocessing_parser",
}
_SCRIPTS_OF_SHELL = {"examples/benchmark.sh": "benchmark", "scripts/check_gpu.sh": "check_gpu"}


@dataclass
class Block:
    """A fenced block of a page.

    Attributes:
        line: its number in the page.
        language: after the fence.
        text: what stands in it.
        not_run: why it is not run.
        file: the file whose content it is.
    """

    line: int
    language: str
    text: str
    not_run: Optional[str] = None
    file: Optional[str] = None


def blocks(page: Path) -> List[Block]:
    """The fenced blocks of a page."""
    text = page.read_text(encoding="utf-8")
    made = []
    for match in _BLOCK.finditer(text):
        marker, told, language, content = match.groups()
        line = text.count("\n", 0, match.start(3)) + 1
        made.append(Block(line, language, content, *((told, None) if marker == "not run" else (None, told))))
    return made


def files_before(page: Path) -> List[str]:
    """What the folder of a page holds before its first block is run."""
    marker = re.search(r"^<!-- folder: (.+) -->$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return marker[1].split() if marker else []


def commands(text: str) -> Iterator[List[str]]:
    """The simple commands of a shell block in words, also those in $(...), without variables and redirections."""
    text = re.sub(r"\.\.\.[\w ,]+\.\.\.", "", text.replace("\\\n", " "))
    for line in text.splitlines():
        for inner in re.findall(r"\$\(([^()]*)\)", line):
            yield from commands(inner)
        line = re.sub(r"\$\(ghat-options [^()]*\)", "--arch ghat_transformer", line)
        line = re.sub(r"\$\([^()]*\)|2>&1", "", line)
        words = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
        words.whitespace_split = True
        command: List[str] = []
        for word in [*words, ";"]:
            if word and set(word) <= set("|&;"):
                if command:
                    yield _without_redirections(command)
                command = []
            elif command or not re.match(r"\w+=", word):
                command.append(word)


def _without_redirections(words: List[str]) -> List[str]:
    is_sign = [bool(word) and set(word) <= set("<>") for word in words]
    after_sign = [False, *is_sign[:-1]]
    return [w for w, sign, after in zip(words, is_sign, after_sign) if not sign and not after and w != "..."]


class _Understood(Exception):
    """The parser of a program has read its command line."""


def check(words: List[str]) -> None:
    """Lets the program's own parser read a command. Raises AssertionError with what it says, or if it is not known."""
    program, *arguments = words
    printed = io.StringIO()
    try:
        with redirect_stderr(printed), redirect_stdout(printed):
            _read(program, arguments)
    except _Understood:
        return
    except (SystemExit, RuntimeError, ValueError) as error:
        raise AssertionError(f"{shlex.join(words)}\n{printed.getvalue()[-300:] or error}") from error


def _read(program: str, arguments: List[str]) -> None:
    if program in _FAIRSEQS:
        _read_by_fairseq(program, arguments)
    elif program.startswith("ghat-"):
        _read_by_main(f"fairseq_ghat.cli.{program[len('ghat-') :]}", arguments)
    elif program == "python" and arguments[0] == "-c":
        compile(arguments[1], "-c", "exec")
    elif program == "python" and arguments[0] == "scripts/with_log.py":
        check(arguments[1:])
    elif program == "python" and arguments[0] == "scripts/missing_packages.py":
        extras = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
        assert all(re.search(rf"^{extra} = \[", extras, re.MULTILINE) for extra in arguments[1:]), arguments
    elif program == "python" and arguments[0].startswith("scripts/"):
        assert (ROOT / arguments[0]).is_file(), arguments[0]
        _read_by_main(Path(arguments[0]).stem, arguments[1:])
    elif program == "bash":
        script, *arguments = arguments
        assert (ROOT / script).is_file(), script
        if script in _SCRIPTS_OF_SHELL:
            _read_by_main(_SCRIPTS_OF_SHELL[script], arguments)
        elif script == "scripts/test.sh":
            assert all((ROOT / argument).exists() for argument in arguments if "/" in argument), arguments
        else:
            assert not arguments, arguments
    elif program == "python":
        assert arguments[0] == "-m" or (ROOT / arguments[0]).is_file(), arguments
    else:
        assert program in _OF_OTHERS, f"{program}: no program whose parser is known"


def _read_by_fairseq(program: str, arguments: List[str]) -> None:
    if program == "fairseq-train" and "--arch" not in arguments:  # fairseq fails; only abridged commands lack it
        arguments = ["--arch", "ghat_transformer", *arguments]
    place = arguments.index("--user-dir") if "--user-dir" in arguments else len(arguments)  # imported already
    parser = getattr(fairseq.options, _FAIRSEQS[program])()
    fairseq.options.parse_args_and_arch(parser, arguments[:place] + arguments[place + 2 :])


def _read_by_main(module: str, arguments: List[str]) -> None:
    """Calls the main of a module until its parser has read the arguments; those after -- go to fairseq-train."""
    if "--" in arguments:
        place = arguments.index("--")
        arguments, further = arguments[:place], arguments[place + 1 :]
        _read_by_fairseq("fairseq-train", ["data-bin", *further])
    parse = ArgumentParser.parse_args

    def parse_and_stop(parser, words=None, namespace=None):
        raise _Understood(parse(parser, words, namespace))

    with patch.object(ArgumentParser, "parse_args", parse_and_stop):
        import_module(module).main(arguments)


@cache
def flags_of_fairseq() -> Set[str]:
    """Flags that fairseq's parsers declare, and fields of its configurations, as flags."""
    flags = {"--" + name.replace("_", "-") for name in DEFAULTS}
    for path in Path(fairseq.__file__).parent.rglob("*.py"):
        flags |= _flags_in(path)
    return flags


@cache
def flags_of_ours() -> Set[str]:
    """Flags of this package, of its scripts and of the tests that a user runs by hand."""
    folders = [ROOT / "fairseq_ghat", ROOT / "scripts", ROOT / "examples"]
    files = [path for folder in folders for path in folder.rglob("*") if path.suffix in (".py", ".sh", ".yaml")]
    return set().union(*map(_flags_in, files))


def _flags_in(path: Path) -> Set[str]:
    source = path.read_text(encoding="utf-8")
    fields = re.findall(r"^    (\w+): .*= (?:field\(|II\()", source, re.MULTILINE)
    return {*re.findall(r"""["'](--[a-z][\w-]+)["']""", source), *("--" + name.replace("_", "-") for name in fields)}


def headings(page: Path) -> Set[str]:
    """The anchors of the headings of a page, as hosts of code make them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    anchors: Set[str] = set()
    for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        anchors.add(re.sub(r"[^\w\- ]", "", plain).strip().replace(" ", "-"))
    return anchors
