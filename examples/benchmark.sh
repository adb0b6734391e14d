#!/usr/bin/env bash
# The paper's benchmarks, from the raw data to the table and a page of pictures, in an environment that is found or made.
#
#   bash examples/benchmark.sh multi30k.de-en                 a small one: an hour or two on a CPU
#   bash examples/benchmark.sh iwslt14.de-en --dry-run        only shows the commands
#
# Arguments are those of scripts/benchmark.py (--help).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/environment.sh"
install_missing benchmarks report
exec python "$repository/scripts/benchmark.py" "$@"
