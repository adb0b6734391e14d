#!/usr/bin/env bash
# Checks style, order of imports and types, after making or finding an environment for that.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
cd "$repository"
install_missing lint
ruff check .
ruff format --check .
lint-imports --no-logo
mypy
