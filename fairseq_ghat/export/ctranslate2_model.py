"""Writes a CTranslate2 model, checked, whole or not at all."""

import shutil
import tempfile
from pathlib import Path
from typing import Sequence, Tuple

from fairseq.tasks import FairseqTask

from fairseq_ghat.export.ctranslate2_spec import as_transformer_spec
from fairseq_ghat.export.verification import Pair, check_export, ctranslate2_scores, fairseq_scores, largest_difference
from fairseq_ghat.models.ghat_transformer import GHATTransformerModel


def write_model(
    model: GHATTransformerModel, task: FairseqTask, pairs: Sequence[Pair], out: Path, quantization: str = "float32"
) -> Tuple[float, float]:
    """Exports a model into a folder that does not exist yet.

    Args:
        model: model in evaluation mode on the CPU.
        task: task with its dictionaries.
        pairs: sentence pairs to check the exported model on.
        out: folder to write.
        quantization: type of the weights.

    Returns:
        The largest difference to fairseq of a token's log-probability, in float32 and as written. Only the first is
        checked, which tells a wrong layout from the loss of quantization.

    Raises:
        ExportMismatch: if the difference is more than float32 explains; nothing is written.
        NotExportable: for options that CTranslate2 has no counterpart of.
    """
    with tempfile.TemporaryDirectory(dir=out.resolve().parent, prefix=f"{out.name}.part.") as folder:
        written = _save(model, task, folder, "float32")
        checked = quantized = check_export(written, model, task, pairs)
        if quantization != "float32":
            written = _save(model, task, folder, quantization)
            scores = ctranslate2_scores(written, task, pairs)
            quantized = largest_difference(fairseq_scores(model, task, pairs), scores)
        shutil.move(written, out)
    return checked, quantized


def _save(model: GHATTransformerModel, task: FairseqTask, folder: str, quantization: str) -> str:
    path = Path(folder) / quantization
    path.mkdir()
    # Made anew each time: optimize() changes its arrays in place.
    spec = as_transformer_spec(model, task.source_dictionary, task.target_dictionary)
    spec.validate()
    spec.optimize(quantization=None if quantization == "float32" else quantization)
    spec.save(str(path))
    return str(path)
