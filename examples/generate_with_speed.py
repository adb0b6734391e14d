"""fairseq-generate, with the line that tells its speed.

Some installations of fairseq import a library that sets up logging first, and then fairseq-generate's own INFO
lines, "Translated ... sentences/s" among them, are lost. Same arguments, same output otherwise.
"""

import logging
import sys

logging.basicConfig(
    format="%(asctime)s | %(levelname)s | %(name)s | %(message)s", level=logging.INFO, stream=sys.stdout
)

from fairseq_cli.generate import cli_main

if __name__ == "__main__":
    cli_main()
