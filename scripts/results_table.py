"""Puts runs of scripts/benchmark.py side by side, as the paper's Tables 1, 4 and 6, with the published rows.

    python scripts/results_table.py work/runs/iwslt14.de-en/{transformer,ght,ght-ps} \
        --bench work/runs/iwslt14.de-en/bench.json
    python scripts/results_table.py work/runs/iwslt14.de-en/{transformer,ght,ght-ps}{,-seed2} --json > figures.json
    python scripts/results_table.py figures.json

reads of each run folder run.json, stats.json, train.log, and generate.log with score.json or perplexity.json. Scores of
text are computed again: p is that of sacrebleu's paired bootstrap against the first system of the data set. Runs that
differ in nothing but the seed are one row. --json keeps all figures, unrounded; the tables can be made of them alone.
Figures of further systems of a data set go on in a file or folders of their own; they are tested over the seeds only.
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from experiments.checks import BadInput
from experiments.recipes.results import Row, joined, read_results
from experiments.recipes.tables import SPREADS, tables


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = "folder, or JSON that --json wrote; the first system of a data set is compared with"
    parser.add_argument("runs", metavar="RUN|JSON", nargs="+", type=Path, help=what)
    parser.add_argument("--bench", metavar="JSON", nargs="+", default=[], type=Path, help="what ghat-bench --json said")
    parser.add_argument("--json", action="store_true", help="print the figures, unrounded, as JSON instead of tables")
    args = parser.parse_args(argv)
    given = list(dict.fromkeys(args.runs))
    folders = [path for path in given if path.suffix != ".json"]
    if args.bench and not folders:
        parser.error(f"--bench {args.bench[0]}: wants the folders of the runs, there are only files")
    try:
        # All folders are one input, in the place of the first.
        inputs = [
            read_results(folders, args.bench) if path in folders else _read(path)
            for path in given
            if path not in folders[1:]
        ]
        rows = joined([rows for rows, _ in inputs])
        conditions = list(dict.fromkeys(line for _, told in inputs for line in told))
        made = "" if args.json else "\n\n".join(tables(rows))
    except ValueError as error:
        parser.error(str(error))
    except ImportError as error:
        parser.error(f"{error.name} is not installed; pip install {error.name}")
    if args.json:
        print(json.dumps({"conditions": conditions, "rows": [asdict(row) for row in rows]}, indent=1))
    else:
        print(made, "\n".join([*conditions, SPREADS]), sep="\n\n")
    return 0


def _read(path: Path):
    """Rows and conditions that --json wrote. Raises BadInput if the file is another."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return [Row(**row) for row in content["rows"]], content["conditions"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{path}: is not what results_table.py --json wrote ({error})") from error


if __name__ == "__main__":
    sys.exit(main())
