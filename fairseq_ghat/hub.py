"""Models from Python: `load(CHECKPOINT, DATA).translate([...])`."""

from pathlib import Path
from typing import Any, Dict, List, Union

from fairseq import hub_utils

from fairseq_ghat.checkpoints.files import read_checkpoint
from fairseq_ghat.data.prepared import NAME, read_prepared

# By what prepared.json calls them: option of fairseq that names the file, and the file that prepare_data.py wrote.
_SUBWORDS = {"sentencepiece": ("sentencepiece_model", "spm.model"), "subword_nmt": ("bpe_codes", "bpe.codes")}


class Translator(hub_utils.GeneratorHubInterface):
    """fairseq's interface to a model and its data: `translate(sentences, beam=5)` takes plain text and returns it."""

    lowercase = False  # whether the model was trained on lower-cased text, so that what it is given is lower-cased too

    def tokenize(self, sentence: str) -> str:
        return super().tokenize(sentence.lower() if self.lowercase else sentence)

    def translate(self, sentences: Union[str, List[str]], beam: int = 5, **options: Any) -> Union[str, List[str]]:
        """Translations of plain sentences, in their order; of one sentence, one. Options are those of fairseq's
        generation (max_len_b=20, lenpen=0.6)."""
        return super().translate(sentences, beam, **options)


def load(checkpoint: Union[str, Path], data: Union[str, Path], **options: Any) -> Translator:
    """A trained translation model: fairseq's own transformer or ours, slim or not.

    Args:
        checkpoint: its file.
        data: folder that scripts/prepare_data.py made, whose subwords, tokenization and case are followed; or one
            that fairseq-preprocess made.
        options: of fairseq, over those of the checkpoint: bpe="sentencepiece", sentencepiece_model="spm.model" for
            text of one's own.

    Raises:
        CheckpointError: if the checkpoint cannot be read; names it and says what to do.
        ValueError: if the folder holds no dictionary, or its prepared.json is damaged; names it.
    """
    checkpoint, folder = Path(checkpoint).resolve(), Path(data).resolve()
    read_checkpoint(checkpoint)
    prepared = read_prepared(folder) if (folder / NAME).exists() else None
    bin_folder = folder / "bin" if prepared else folder
    if not any(bin_folder.glob("dict.*.txt")):
        raise ValueError(f"{data}: has no dict.LANG.txt; give a folder of fairseq-preprocess or of prepare_data.py")
    known: Dict[str, Any] = {}
    if prepared and prepared.subwords:
        option, name = _SUBWORDS[prepared.subwords]
        known = {"bpe": prepared.subwords, option: str(folder / "pieces" / name)}
    if prepared and prepared.tokenizer:
        known["tokenizer"] = prepared.tokenizer
    loaded = hub_utils.from_pretrained(str(checkpoint.parent), checkpoint.name, str(bin_folder), **{**known, **options})
    translator = Translator(loaded["args"], loaded["task"], loaded["models"])
    translator.lowercase = prepared is not None and prepared.lowercase
    return translator.eval()
