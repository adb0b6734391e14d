"""Checks what this package does on a GPU, in at most five minutes, and prints one table.

    bash scripts/check_gpu.sh                  on the demo corpora
    bash scripts/check_gpu.sh MULTI30K         on a folder that prepare_data.py or fairseq-preprocess made
    bash scripts/check_gpu.sh --cpu            the same, smaller, on a CPU: whether the checks themselves work

check_gpu.sh is this program in an environment that it finds or makes. A check that fails leaves the others alone; the
status is 1 if one failed or missed its limit. Logs and checkpoints stay in --work.
"""

import argparse
import os
import re
import shutil
import sys
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path
from typing import List

from experiments.gpu_checks import speed
from experiments.gpu_checks.processes import Processes, words
from experiments.gpu_checks.rows import Check, Row, checked
from experiments.gpu_checks.training import LANGUAGE_MODEL, TRANSLATION, Trainings

from fairseq_ghat.cli.console import check_minimum, choose_device, describe_machine, markdown_table

# Side by side; and one after the other, since they measure time.
TOGETHER, ALONE = ("tests", "precisions", "ways", "slim", "restart", "workers"), ("updates", "generation")


def parse(argv):
    """Options of the command line, checked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, usage="%(prog)s [DATA] [OPTION...]"
    )
    add = parser.add_argument
    add("data", metavar="DATA", nargs="?", type=Path, help="of a language pair (default: the demo corpus)")
    add("--only", nargs="+", choices=(*TOGETHER, *ALONE), default=[*TOGETHER, *ALONE], help="default: all")
    add("--work", type=Path, default=Path("work"), metavar="DIR", help="default: %(default)s")
    add("--minutes", type=float, metavar="N", help="after which what still runs has failed (default: 5; on a CPU 20)")
    together = min(os.cpu_count() or 1, 12)
    add("--parallel", type=int, default=together, metavar="N", help="processes side by side (default: %(default)s)")
    add("--cpu", action="store_true", help="also where there is a GPU")
    args = parser.parse_args(argv)
    check_minimum(parser, args, minutes=0.1, parallel=1)
    if args.data is not None:
        args.data = args.data / "bin" if (args.data / "bin").is_dir() else args.data
        if len(list(args.data.glob("dict.*.txt"))) != 2:
            parser.error(f"DATA {args.data}: has no two dict.LANG.txt; give a folder of prepare_data.py")
    return args


def prepared_data(processes: Processes, corpus: str, folder: Path) -> Path:
    """The binarised demo corpus, made unless it is there. Raises CheckFailed."""
    if not (folder / corpus / "prepared.json").is_file():
        command = words("python scripts/prepare_data.py {corpus} {out}", corpus=corpus, out=folder / corpus)
        processes.run(f"prepare_{corpus}", command)
    return folder / corpus / "bin"


def unit_tests(processes: Processes, on_gpu: bool) -> List[Row]:
    """The tests that ask for a GPU."""
    named = words("python -m pytest -q tests/unit tests/integration -k {which}", which="gpu or cuda")
    printed = processes.run("tests", named)
    passed, skipped = (
        int((re.search(rf"(\d+) {outcome}", printed) or ["", 0])[1]) for outcome in ("passed", "skipped")
    )
    return [checked("unit tests on CUDA", f"{passed} passed, {skipped} skipped", "all pass", passed > 0 or not on_gpu)]


def over(value: Path) -> "Future[Path]":
    """A future that is over."""
    future: Future[Path] = Future()
    future.set_result(value)
    return future


def run_checks(args, device) -> List[Row]:
    """All rows; says on standard error which check has ended."""
    on_gpu, runs = device.type == "cuda", args.work.resolve() / "check_gpu"
    shutil.rmtree(runs, ignore_errors=True)
    processes = Processes(runs, 60 * (args.minutes or (5 if on_gpu else 20)), args.parallel)

    def run(check: Check) -> List[Row]:
        of_check = check.run()
        for row in of_check:
            print(f"[{processes.passed:4.0f} s] {row.check}: {row.figure}: {row.verdict}", file=sys.stderr, flush=True)
        return of_check

    with ThreadPoolExecutor(100) as pool:  # more than there are checks: all wait for their turn
        prepare = partial(pool.submit, prepared_data, processes, folder=args.work.resolve() / "data")
        data = {}
        if not set(args.only).isdisjoint(TOGETHER[1:]):
            data[TRANSLATION] = over(args.data.resolve()) if args.data else prepare("demo.de-en")
        if "precisions" in args.only:
            data[LANGUAGE_MODEL] = prepare("demo-lm")
        running = []
        if "tests" in args.only:
            running.append(pool.submit(run, Check("unit tests on CUDA", partial(unit_tests, processes, on_gpu))))
        wait(data.values())  # so that checks get their turns in the order of the table
        trainings = Trainings(processes, pool, data, cpu=not on_gpu)
        for part in (part for part in TOGETHER[1:] if part in args.only):
            running += [pool.submit(run, check) for check in getattr(trainings, part)()]
        rows = [row for of_check in running for row in of_check.result()]
    for part in (part for part in ALONE if part in args.only):
        for check in getattr(speed, part)(processes, cpu=not on_gpu):
            rows += run(check)
    print(f"{processes.passed:.0f} s; logs are in {runs}", file=sys.stderr)
    return rows


def main(argv=None) -> int:
    args = parse(argv)
    device = choose_device(args)
    rows = run_checks(args, device)
    where = "" if device.type == "cuda" else "; NO GPU: small sizes, without the limits of speed"
    print(f"{describe_machine(device)}{where}")
    print(markdown_table(["check", "figure", "limit", "verdict"], [list(vars(row).values()) for row in rows]))
    return int(not all(row.passed for row in rows))


if __name__ == "__main__":
    sys.exit(main())
