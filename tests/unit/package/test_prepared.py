"""prepared.json: written and read again, and named where it is damaged."""

import json
from dataclasses import replace

import pytest

from fairseq_ghat.data.prepared import Prepared, PreparedError, read_prepared

PAIR = Prepared(
    set="iwslt14.de-en",
    task="translation",
    languages=("de", "en"),
    until="bin",
    subwords="sentencepiece",
    tokenizer=None,
    lowercase=True,
    vocab=10_000,
    joined_dictionary=False,
    sentences={"train": 3, "valid": 2, "test": 1},
    references={"valid": "raw/valid.en", "test": "raw/test.en"},
    sha256={"de-en.tgz": "0" * 64},
)


def test_what_is_written_is_read_and_the_format_is_that_of_older_folders(tmp_path):
    PAIR.write(tmp_path)
    assert read_prepared(tmp_path) == PAIR and [path.name for path in tmp_path.iterdir()] == ["prepared.json"]
    record = json.loads((tmp_path / "prepared.json").read_text())
    assert list(record)[:5] == ["set", "task", "source_lang", "target_lang", "until"]
    expected = {**vars(PAIR), "source_lang": "de", "target_lang": "en"}
    del expected["languages"]
    assert record == expected


def test_a_language_model_has_one_language(tmp_path):
    model = replace(PAIR, task="language_modeling", languages=("en",), subwords=None, vocab=None)
    model.write(tmp_path)
    record = json.loads((tmp_path / "prepared.json").read_text())
    assert record["language"] == "en" and "source_lang" not in record and record["subwords"] is None
    assert read_prepared(tmp_path) == model


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:40],
        lambda text: "[]",
        lambda text: "7",
        lambda text: text.replace('"until"', '"unti"'),
        lambda text: text.replace('"target_lang"', '"target"'),
        lambda text: text.replace('"lowercase": true', '"lowercase": "yes"'),
        lambda text: text.replace('"vocab": 10000', '"vocab": "many"'),
    ],
    ids=["cut short", "a list", "a number", "no stage", "one language of two", "text for a truth", "text for a number"],
)
def test_a_damaged_file_is_named(tmp_path, damage):
    PAIR.write(tmp_path)
    path = tmp_path / "prepared.json"
    path.write_text(damage(path.read_text()))
    with pytest.raises(PreparedError, match=f"{path}: is damaged .*; prepare the data anew"):
        read_prepared(tmp_path)


def test_a_folder_without_one_is_no_damage(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_prepared(tmp_path)
