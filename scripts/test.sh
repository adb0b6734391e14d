#!/usr/bin/env bash
# Runs the tests, after making or finding an environment for them. Arguments go to pytest:
#   bash scripts/test.sh                  all but the slow ones
#   bash scripts/test.sh tests/unit       the quick part
#   bash scripts/test.sh -m slow          minutes of training on real data (needs DATA_DIR)
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
cd "$repository"
_has python pytest || python -m pip --disable-pip-version-check install --quiet pytest
exec python -m pytest -q "$@"
