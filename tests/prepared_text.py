"""Runs prepare_data.py in this process, and reads what it wrote."""

import json

import prepare_data

SPLITS = ("train", "valid", "test")


def prepare(tmp_path, server, name, *options):
    """Runs the command in this process, all files from the server; returns what prepared.json says."""
    out = tmp_path / "out"
    arguments = [name, str(out), "--source", server.url, *map(str, options)]
    assert prepare_data.main(arguments) == 0
    return json.loads((out / "prepared.json").read_text(encoding="utf-8"))


def read(path):
    return path.read_text(encoding="utf-8").split("\n")[:-1]


def rows(folder, suffixes):
    return {split: list(zip(*(read(folder / f"{split}.{suffix}") for suffix in suffixes))) for split in SPLITS}
