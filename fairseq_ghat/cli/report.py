"""`ghat-report OUT.html RUN...`: one page about training runs, with pictures of training, heads, votes and scores."""

import argparse
import os
import shlex
from pathlib import Path
from typing import List

import fairseq_ghat
from fairseq_ghat.checkpoints.whole_file import NotWritten, whole_file, writing
from fairseq_ghat.cli import console


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ghat-report", description=__doc__.split("`: ")[1])
    add = parser.add_argument
    add("out", metavar="OUT.html", help="file to write")
    add("runs", metavar="RUN", nargs="+", type=Path, help="folder of a training: its checkpoints and its log")
    given = "what other commands wrote, if it lies neither in a RUN nor beside it, such as bench.json"
    add("--results", metavar="FILE", nargs="+", type=Path, default=[], help=given)
    add("--figures", metavar="DIR", help="also every picture as a file of SVG in this folder")
    add("--tensorboard", metavar="DIR", help="also every picture for TensorBoard, in this folder")
    add("--title", default="Attention heads: training, votes and scores", help="of the page (default: %(default)s)")
    add("--no-progress-bar", action="store_true")
    return parser


def main(argv=None) -> int:
    parser = build_parser()
    args = parser.parse_args(argv)
    console.quiet_libraries()
    try:
        from fairseq_ghat.report import page, pictures, run, sections
    except ModuleNotFoundError as error:
        if error.name not in ("matplotlib", "jinja2"):
            raise
        parser.error(f"{error.name} is not installed: pip install matplotlib jinja2")
    try:
        _check(parser, args)
        progress = console.progress_line(args.no_progress_bar)
        runs = run.read_runs(args.runs, args.results, progress)
        progress("drawing")
        parts = sections.sections(runs, _command(args))
        drawn = page.pictures(parts)
        versions = f"fairseq_ghat {fairseq_ghat.__version__}"
        content = page.render(args.title, parts, f"Made by ghat-report of {versions}.").encode()
        for picture in drawn if args.figures else ():
            with whole_file(Path(args.figures, f"{picture.name}.svg")) as file:
                file.write(pictures.svg(picture))
        if args.tensorboard:
            _write_tensorboard(drawn, args.tensorboard)
        with whole_file(args.out) as file:
            file.write(content)
        progress("")
    except NotWritten as error:
        parser.error(str(error))
    also = "".join(f", {folder}" for folder in (args.figures, args.tensorboard) if folder)
    print(f"{args.out}: {len(runs)} runs, {len(drawn)} pictures, {len(content) / 1e6:.1f} MB{also}")
    return 0


def _check(parser: argparse.ArgumentParser, args) -> None:
    """Ends the command with an error unless all that is given can be used, before any work."""
    from fairseq_ghat.report.measurements import ENDINGS, kind_of
    from fairseq_ghat.report.run import BadRun, check_run, input_files

    try:
        for folder in args.runs:
            check_run(folder)
    except BadRun as error:
        parser.error(str(error))
    if len({folder.resolve() for folder in args.runs}) < len(args.runs):
        parser.error("RUN: one of them is given twice")
    for path in args.results:
        if not path.is_file():
            parser.error(f"--results {path}: no such file")
        if not kind_of(path):
            parser.error(f"--results {path}: allowed are names that end with {', '.join(ENDINGS)}")
    files: List[Path] = [file for folder in args.runs for file in input_files(folder)]
    console.check_out(parser, args.out, {"an input": [*files, *args.results]})
    for flag, folder in (("--figures", args.figures), ("--tensorboard", args.tensorboard)):
        if folder is not None:
            if not folder or (os.path.lexists(folder) and not os.path.isdir(folder)):
                parser.error(f"{flag} {folder or repr(folder)}: is no folder; give one, there already or new")
            with writing(f"{flag} {folder}"):
                os.makedirs(folder, exist_ok=True)


def _command(args) -> str:
    words = ["ghat-report", args.out, *map(str, args.runs)]
    title = None if args.title == build_parser().get_default("title") else args.title
    given = (("--title", title), ("--figures", args.figures), ("--tensorboard", args.tensorboard))
    for flag, values in (("--results", map(str, args.results)), *((flag, [value]) for flag, value in given)):
        values = [value for value in values if value]
        words += [flag, *values] if values else []
    return shlex.join(words)


def _write_tensorboard(drawn, folder: str) -> None:
    from tensorboardX import SummaryWriter

    from fairseq_ghat.report.pictures import style

    with style(), writing(folder), SummaryWriter(folder) as writer:
        for picture in drawn:
            writer.add_figure(picture.name, picture.figure)
