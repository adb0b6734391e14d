"""Ways of choosing heads, compared: the parts of scripts/compare_heads.py."""
