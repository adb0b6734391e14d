#!/usr/bin/env bash
# Checks this package on a GPU in at most five minutes, in an environment that is found or made, and prints one table.
#
#   bash scripts/check_gpu.sh                    on the demo corpora
#   bash scripts/check_gpu.sh MULTI30K_FOLDER    on data that prepare_data.py or fairseq-preprocess made
#   bash scripts/check_gpu.sh --cpu              the same, smaller, on a CPU
#
# Arguments are those of scripts/check_gpu.py (--help).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" >&2
cd "$repository"
install_missing test >&2
exec python scripts/check_gpu.py "$@"
