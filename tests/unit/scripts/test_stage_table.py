"""The table of stages: of a language model, from JSON as ghat-perplexity prints it; what is given must be whole."""

import json

import pytest
import stage_table
from commands import refusal_of


def measured(tmp_path, subwords=None):
    def stage(heads, parameters, bits):
        test = {"tokens": 10, "words": 5, "bits_per_token": bits, "perplexity": 2**bits, "seconds": 2.0}
        test["word_perplexity"] = 2 ** (2 * bits)
        return {"heads": heads, "parameters_without_embeddings": parameters, "subsets": {"test": test}}

    path = tmp_path / "perplexity.json"
    content = {
        "subwords": subwords,
        "window": "blocks of 8 tokens, context window 4, stride 4",
        "checkpoints": {"a.pt": stage("2 x 8", 1200, 3.0), "b.pt": stage("2 x 2", 600, 3.00004)},
    }
    path.write_text(json.dumps(content))
    return str(path)


@pytest.mark.parametrize("subwords,perplexity,unit", [(None, "8.00", "token"), ("sentencepiece", "64.00", "word")])
def test_table_of_stages(tmp_path, capsys, subwords, perplexity, unit):
    stage_table.main(
        ["--perplexity", measured(tmp_path, subwords), "--stage", "voted", "a.pt", "--stage", "slim", "b.pt"]
    )
    printed = capsys.readouterr().out
    row = next(line for line in printed.splitlines() if line.startswith("| voted"))
    assert [cell.strip() for cell in row.split("|")[1:-1]] == ["voted", "2 x 8", "1,200", perplexity, "5"]
    assert f"perplexity per {unit}; blocks of 8 tokens, context window 4, stride 4" in printed
    assert "the voted and the slim model, test: 3.0000 and 3.0000" in printed


def test_table_names_a_checkpoint_that_was_not_measured(tmp_path, capsys):
    words = ["--perplexity", measured(tmp_path), "--stage", "plain", "c.pt"]
    assert "--stage plain c.pt: " in refusal_of(stage_table.main, words, capsys)


def test_table_of_another_file_is_refused(tmp_path, capsys):
    (tmp_path / "other.json").write_text("{}")
    words = ["--perplexity", tmp_path / "other.json", "--stage", "plain", "c.pt"]
    assert "not what ghat-perplexity --json printed" in refusal_of(stage_table.main, words, capsys)


@pytest.mark.parametrize("given,parts", [("--perplexity", "NAME CHECKPOINT"), ("--reference", "NAME LOG CHECKPOINT")])
def test_stage_that_is_not_whole_is_refused(tmp_path, capsys, given, parts):
    words = [given, measured(tmp_path), "--stage", "plain"]
    assert f"--stage plain: give {parts}" in refusal_of(stage_table.main, words, capsys)
