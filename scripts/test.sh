#!/usr/bin/env bash
# Runs the tests, after making or finding an environment for them. Arguments go to pytest:
#   bash scripts/test.sh                  all but the slow ones
#   bash scripts/test.sh tests/unit       the quick part
#   bash scripts/test.sh -m slow          minutes of training (real data: DATA_DIR, LM_DATA_DIR)
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
cd "$repository"
install_missing test
# One process per core with one thread each; the tests of a file stay together, since they share trained models.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
exec python -m pytest -q -n auto --maxprocesses 8 --dist loadscope "$@"
