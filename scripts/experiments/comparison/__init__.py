"""Ways of choosing heads and neurons, compared: the parts of scripts/compare_pruning.py."""
