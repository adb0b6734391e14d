"""Models from Python: `load(CHECKPOINT, DATA).translate([...])`."""

import os
from argparse import Namespace
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Dict, List, Optional, Tuple, Union

from fairseq.data import encoders

from fairseq_ghat.checkpoints.files import read_checkpoint
from fairseq_ghat.data.prepared import NAME, Prepared, read_prepared
from fairseq_ghat.models.ghat_transformer import GHATTransformerModel
from fairseq_ghat.models.translator import Translator

# By what prepared.json calls them: option of fairseq that names the file, and the file that prepare_data.py wrote.
_SUBWORDS = {"sentencepiece": ("sentencepiece_model", "spm.model"), "subword_nmt": ("bpe_codes", "bpe.codes")}


class _Speller:
    """Cuts a word into characters, as the data are; one that is cut already stays as it is."""

    def encode(self, text: str) -> str:
        return " ".join("".join(text.split()))

    def decode(self, text: str) -> str:
        return text


def load(checkpoint: Union[str, Path], data: Union[str, Path], **options: Any) -> Translator:
    """A trained translation model: fairseq's own transformer or ours, slim or not.

    Args:
        checkpoint: its file; several of an ensemble with os.pathsep (a colon) between them.
        data: folder that scripts/prepare_data.py made (or bin in it), whose subwords, tokenization and case are
            followed; or one that fairseq-preprocess made.
        options: of fairseq's from_pretrained, over those of the checkpoint: bpe="sentencepiece",
            sentencepiece_model="spm.model" for text of one's own; bpe=None takes and gives pieces.

    Raises:
        CheckpointError: if the checkpoint cannot be read; names it and says what to do.
        ValueError: if the folder holds no dictionary, if its prepared.json is damaged, if neither the checkpoint nor
            the folder tells the languages, or if the dictionary is one of subwords and neither prepared.json nor bpe
            says which.
    """
    paths = [_absolute(path) for path in checkpoint_files(checkpoint)]
    for path in paths:
        read_checkpoint(path)
    folder, prepared = _prepared(_absolute(data))
    if not any(folder.glob("dict.*.txt")):
        raise ValueError(f"{data}: has no dict.LANG.txt; give a folder of fairseq-preprocess or of prepare_data.py")
    if os.pathsep in str(folder):
        raise ValueError(f"{data}: fairseq would take its path apart at {os.pathsep}; give a link without one")
    known: Dict[str, Any] = {}
    if prepared and prepared.subwords:
        option, name = _SUBWORDS[prepared.subwords]
        known = {"bpe": prepared.subwords, option: str(folder.parent / "pieces" / name)}
    with ExitStack() as stack:
        # Files of subwords beside a checkpoint fairseq takes in place of those that are named.
        names_subwords = any(option in {**known, **options} for option, _ in _SUBWORDS.values())
        links, empty = (Path(stack.enter_context(TemporaryDirectory())) for _ in range(2))
        beside = empty if names_subwords else paths[0].parent
        for number, path in enumerate(paths):
            if os.pathsep in str(path):  # fairseq would take it for two files
                paths[number] = links / f"checkpoint{number}.pt"
                paths[number].symlink_to(path)
        names = os.pathsep.join(map(str, paths))
        try:
            translator = GHATTransformerModel.from_pretrained(str(beside), names, str(folder), **{**known, **options})
        except Exception as error:
            if type(error) is not Exception:  # which fairseq has for a language pair that it cannot find
                raise
            raise ValueError(f"{data}: {error}: give source_lang and target_lang") from error
    if translator.bpe is None and "bpe" not in options:
        _check_words(translator, data)
    if prepared and (prepared.tokenizer or prepared.spells) and "tokenizer" not in options:
        translator.tokenizer = _tokenizer(prepared, translator)
    translator.lowercase = prepared is not None and prepared.lowercase
    return translator.eval()


def _absolute(path: Union[str, Path]) -> Path:
    """Where links lead, unless fairseq would take the path there apart."""
    there = Path(path).resolve()
    return Path(os.path.abspath(path)) if os.pathsep in str(there) else there


def checkpoint_files(checkpoint: Union[str, Path]) -> List[str]:
    """The files that load takes its argument for; a file whose name has fairseq's separator is one."""
    return [str(checkpoint)] if Path(checkpoint).exists() else str(checkpoint).split(os.pathsep)


def _prepared(data: Path) -> Tuple[Path, Optional[Prepared]]:
    """The folder of fairseq-preprocess, and what prepared.json says of it, if there is one."""
    if (data / NAME).exists():
        return data / "bin", read_prepared(data)
    if data.name == "bin" and (data.parent / NAME).exists():
        return data, read_prepared(data.parent)
    return data, None


def _check_words(translator: Translator, data: Union[str, Path]) -> None:
    """Raises ValueError if the types of the dictionaries are subwords: plain text would become unknown words."""
    types = [*translator.src_dict.symbols, *translator.tgt_dict.symbols]
    kinds = {
        "sentencepiece": any(one.startswith("\u2581") for one in types),
        "subword_nmt": any(one.endswith("@@") for one in types),
    }
    for kind, (option, name) in _SUBWORDS.items():
        if kinds[kind]:
            reading = f'bpe="{kind}", {option}="{name}"'
            told = f"its dictionary is of subwords, and there is no {NAME} that says which"
            raise ValueError(f"{data}: {told}; give {reading}, its file, or bpe=None to give and get pieces")


def _tokenizer(prepared: Prepared, translator: Translator) -> Any:
    """The tokenizer of the data, for the languages of the model; summaries are of English."""
    if prepared.spells:
        return _Speller()
    source, target = translator.task.cfg.source_lang, translator.task.cfg.target_lang
    english = prepared.task == "summarization"
    options = Namespace(
        tokenizer=prepared.tokenizer,
        source_lang="en" if english else source,
        target_lang="en" if english else target,
        moses_no_dash_splits=not prepared.splits_dashes,
        moses_no_escape=False,
    )
    return encoders.build_tokenizer(options)
