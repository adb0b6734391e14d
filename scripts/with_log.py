"""Runs a command of fairseq with its INFO lines: `python scripts/with_log.py fairseq-generate ...its arguments...`.

Unless iopath is installed, importing fairseq sets up logging before its commands do, and their own lines are lost:
"Translated ... sentences/s" of fairseq-generate, the very result of fairseq-eval-lm.
"""

import importlib
import logging
import sys

logging.basicConfig(
    format="%(asctime)s | %(levelname)s | %(name)s | %(message)s", level=logging.INFO, stream=sys.stdout
)

if __name__ == "__main__":
    if len(sys.argv) < 2 or not sys.argv[1].startswith("fairseq-"):
        sys.exit("usage: with_log.py fairseq-generate|fairseq-eval-lm|fairseq-... ARGUMENTS")
    del sys.argv[0]
    command = sys.argv[0][len("fairseq-") :].replace("-", "_")
    importlib.import_module(f"fairseq_cli.{command}").cli_main()
