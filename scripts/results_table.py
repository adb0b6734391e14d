"""Puts runs of scripts/benchmark.py side by side, as the paper's Tables 1, 4 and 6, with the published rows.

    python scripts/results_table.py work/runs/iwslt14.de-en/* --bench work/runs/iwslt14.de-en/bench.json

reads of each run folder run.json, stats.json, and generate.log with score.json or perplexity.json. BLEU and ROUGE are
computed again, all systems of a data set together: p is that of sacrebleu's paired bootstrap against the first system.
"""

import argparse
import json
import sys
from pathlib import Path

from experiments.recipes.results import read_results, tables


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", metavar="RUN", nargs="+", type=Path, help="the first of a data set is compared with")
    parser.add_argument("--bench", metavar="JSON", nargs="+", default=[], type=Path, help="what ghat-bench --json said")
    parser.add_argument("--json", action="store_true", help="print the figures, unrounded, as JSON instead of tables")
    args = parser.parse_args(argv)
    try:
        results, conditions = read_results(args.runs, args.bench)
    except ValueError as error:
        parser.error(str(error))
    if args.json:
        runs = [{**vars(result), "folder": str(result.folder)} for result in results]
        print(json.dumps({"conditions": conditions, "runs": runs}, indent=1, default=vars))
    else:
        print("\n\n".join(tables(results)), "\n".join(conditions), sep="\n\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
