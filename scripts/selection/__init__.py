"""Ways of choosing heads, compared: the parts of scripts/compare_selection.py."""

import sys
from pathlib import Path

# Commands are shown and run by the code of the recipes (examples/recipes).
sys.path.append(str(Path(__file__).resolve().parents[2] / "examples"))
