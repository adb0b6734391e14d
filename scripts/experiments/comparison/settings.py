"""What a folder of results was made with: kept beside them, and compared before more is added."""

import json
from pathlib import Path
from typing import Any, Dict

from experiments.comparison.plan import Comparison
from experiments.comparison.steps import DONE
from experiments.corpora.folders import sha256_of
from fairseq_ghat.checkpoints.files import whole_file

NAME = "settings.json"
# Folders of what the steps make (plan.py).
MADE = ("starts", "keep-*")


class OtherSettings(ValueError):
    """A folder that was made with other settings; the message names them."""


def settings(what: Comparison) -> Dict[str, Any]:
    """All that every row depends on, by what a message calls it. Methods, budgets, refits and seeds may be added."""
    found = {
        "DATA": what.data,
        "CHECKPOINT": what.checkpoint,
        "SHA-256 of CHECKPOINT": sha256_of(Path(what.checkpoint)),
        "--budget": what.budget,
        "--continue-epochs": what.continue_epochs,
        "--epochs": what.epochs,
        "--reference": str(what.reference) if what.reference else None,
        "SHA-256 of --reference": sha256_of(what.reference) if what.reference else None,
        "--lowercase": what.lowercase,
        "--vote-args": list(what.vote),
        "--generate-args": list(what.measure),
        "options of fairseq-train": list(what.train),
    }
    if what.continue_epochs:
        found["first of --seeds, which the starts are trained on with"] = what.seeds[0]
    return found


def claim(what: Comparison) -> Dict[str, Any]:
    """Checks the folder of results, or writes there what it is made with; returns the settings.

    A folder in which nothing was made yet is no obstacle.

    Raises:
        OtherSettings: names each setting, as it is there and as it is now.
    """
    now, path = settings(what), what.out / NAME
    begun = any(
        path for folder in MADE for path in what.out.glob(f"{folder}/**/*") if path.name.endswith((".pt", DONE))
    )
    if begun and path.is_file():
        before = json.loads(path.read_text())
        differing = [name for name in dict.fromkeys((*before, *now)) if before.get(name) != now.get(name)]
        if differing:
            told = "; ".join(
                f"{name}: {_told(before.get(name))} there, {_told(now.get(name))} now" for name in differing
            )
            raise OtherSettings(f"OUT {what.out}: is a comparison of other settings ({told}); give another folder")
        return now
    if begun:
        raise OtherSettings(f"OUT {what.out}: holds checkpoints, but no {NAME} that tells of what; give another folder")
    what.out.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as file:
        file.write(json.dumps(now, indent=1).encode())
    return now


def _told(value: Any) -> str:
    return " ".join(value) if isinstance(value, list) and value else str(value)
