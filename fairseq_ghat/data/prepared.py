"""prepared.json: what scripts/prepare_data.py made in a folder, and how."""

import json
from dataclasses import Field, dataclass, fields
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple, Union, get_args, get_origin

from fairseq_ghat.checkpoints.whole_file import whole_file

NAME = "prepared.json"
_LANGUAGES = {1: ("language",), 2: ("source_lang", "target_lang")}  # what the file calls them, by their number


class PreparedError(ValueError):
    """A prepared.json that cannot be read; its message names the file."""


@dataclass(frozen=True)
class Prepared:
    """What a later command must know of prepared data to train, to generate and to score.

    Attributes:
        set: name of the corpus.
        task: translation, summarization or language_modeling.
        languages: source and target, or the one of a language model.
        until: last stage that was prepared: raw, subwords or bin.
        subwords: how text is cut, as fairseq's --bpe calls it; None where what stands between spaces is taken as it is.
        tokenizer: as fairseq's --tokenizer calls it; None for plain text.
        lowercase: whether what the model reads is lower-cased.
        vocab: number of subwords or merges; None without subwords.
        joined_dictionary: whether both sides share a dictionary.
        sentences: number of rows by split.
        references: file of the references by split, in the folder.
        sha256: sum of each source file by name, in hex.
    """

    set: str
    task: str
    languages: Tuple[str, ...]
    until: str
    subwords: Optional[str]
    tokenizer: Optional[str]
    lowercase: bool
    vocab: Optional[int]
    joined_dictionary: bool
    sentences: Dict[str, int]
    references: Dict[str, str]
    sha256: Dict[str, str]

    @property
    def splits_dashes(self) -> bool:
        """Whether the tokenizer splits dashes off everywhere, as fairseq prepares WMT'14."""
        return self.set.startswith("wmt14.")

    @property
    def spells(self) -> bool:
        """Whether a source is a word cut into characters, as of SIGMORPHON 2020."""
        return self.set.startswith("sigmorphon2020.")

    def write(self, folder: Path) -> None:
        """Writes FOLDER/prepared.json, whole or not at all."""
        record: Dict[str, Any] = {}
        for name, value in vars(self).items():
            record.update(zip(_LANGUAGES[len(value)], value) if name == "languages" else {name: value})
        with whole_file(folder / NAME) as file:
            file.write((json.dumps(record, indent=2, ensure_ascii=False) + "\n").encode())


def read_prepared(folder: Path) -> Prepared:
    """What FOLDER/prepared.json says.

    Raises:
        FileNotFoundError: if the folder has none.
        PreparedError: if it is damaged; names the file, and what is wrong.
    """
    path = folder / NAME
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        names = _LANGUAGES[1 if "language" in record else 2]
        values = {**record, "languages": tuple(record[name] for name in names)}
        return Prepared(**{one.name: _checked(one, values[one.name]) for one in fields(Prepared)})
    except (ValueError, KeyError, TypeError) as error:
        raise PreparedError(f"{path}: is damaged ({error!r}); prepare the data anew") from error


def prepared_files(folder: Path) -> List[Path]:
    """What a later command reads of a folder that prepare_data.py made (or bin in it): record, data and subwords."""
    folder = folder.parent if folder.name == "bin" else folder
    return [folder / NAME, *(file for part in ("bin", "pieces") for file in (folder / part).glob("*"))]


def _checked(field: Field, value: Any) -> Any:
    """The value, if it is of the type of its field."""
    if not _is_of(value, field.type):
        raise TypeError(f"{field.name} is {value!r}")
    return value


def _is_of(value: Any, kind: Any) -> bool:
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Union:
        return any(_is_of(value, one) for one in inner)
    if origin is tuple:
        return isinstance(value, tuple) and all(_is_of(one, inner[0]) for one in value)
    if origin is dict:
        return isinstance(value, dict) and all(all(map(_is_of, item, inner)) for item in value.items())
    return isinstance(value, kind)
