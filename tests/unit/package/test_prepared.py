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
    assert '"language": "en",' in (tmp_path / "prepared.json").read_text() and read_prepared(tmp_path) == model


DAMAGES = {
    "}": "",
    '"until"': '"u"',
    "target_lang": "t",
    "true": '"y"',
    "10000": '"x"',
    '"raw/test.en"': "5",
    '"de"': "1",
}


@pytest.mark.parametrize("right,wrong", DAMAGES.items())
def test_a_damaged_file_is_named(tmp_path, right, wrong):
    PAIR.write(tmp_path)
    path = tmp_path / "prepared.json"
    path.write_text(path.read_text().replace(right, wrong))
    with pytest.raises(PreparedError, match=f"{path}: is damaged .*; prepare the data anew"):
        read_prepared(tmp_path)


@pytest.mark.parametrize("text", ["[]", "7", "null"])
def test_json_of_something_else_is_damaged_and_no_file_is_not(tmp_path, text):
    with pytest.raises(FileNotFoundError):
        read_prepared(tmp_path)
    (tmp_path / "prepared.json").write_text(text)
    with pytest.raises(PreparedError, match="prepared.json: is damaged"):
        read_prepared(tmp_path)


def test_another_encoding_is_damage(tmp_path):
    PAIR.write(tmp_path)
    path = tmp_path / "prepared.json"
    path.write_text(path.read_text(), encoding="utf-16")
    with pytest.raises(PreparedError, match=f"{path}: is damaged .*; prepare the data anew"):
        read_prepared(tmp_path)
