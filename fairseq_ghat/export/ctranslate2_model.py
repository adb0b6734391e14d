"""Writes a CTranslate2 model, checked, whole or not at all."""

import shutil
import tempfile
from pathlib import Path
from typing import Sequence, Tuple

from torch import Tensor

from fairseq_ghat.export.agreement import check_agreement, ctranslate2_scores, fairseq_scores, largest_difference
from fairseq_ghat.export.ctranslate2_spec import as_transformer_spec


def write_model(
    model, task, pairs: Sequence[Tuple[Tensor, Tensor]], out: Path, quantization: str = "float32"
) -> Tuple[float, float]:
    """Writes the model into a folder that is not there yet.

    Args:
        model: of ours, in evaluation mode, on the CPU.
        task: of its dictionaries.
        pairs: source and target token indexes that it is checked on, each ended by the end-of-sentence symbol.
        out: the folder.
        quantization: of its weights.

    Returns:
        The largest difference to fairseq of a token's log-probability: in float32, and as written. Only the former is
        checked, which tells a wrong layout from the loss of quantization.

    Raises:
        Disagreement: if it is more than float32 explains; nothing is written.
        NotExportable: for options that CTranslate2 has no counterpart of.
    """
    with tempfile.TemporaryDirectory(dir=out.resolve().parent, prefix=f"{out.name}.part.") as folder:
        wanted = _save(model, task, folder, "float32")
        checked = quantized = check_agreement(wanted, model, task, pairs)
        if quantization != "float32":
            wanted = _save(model, task, folder, quantization)
            scores = ctranslate2_scores(wanted, task, pairs)
            quantized = largest_difference(fairseq_scores(model, task, pairs), scores)
        shutil.move(wanted, out)
    return checked, quantized


def _save(model, task, folder: str, quantization: str) -> str:
    path = Path(folder) / quantization
    path.mkdir()
    # Made anew each time: optimize() changes its arrays in place.
    spec = as_transformer_spec(model, task.source_dictionary, task.target_dictionary)
    spec.validate()
    spec.optimize(quantization=None if quantization == "float32" else quantization)
    spec.save(str(path))
    return str(path)
