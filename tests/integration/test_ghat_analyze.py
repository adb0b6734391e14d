"""`ghat-analyze` on checkpoints of ours, before and after the vote, and of stock fairseq."""

import json
import lzma
import re
import shutil
import sys

import pytest
import torch
from commands import REPOSITORY, refusal

from fairseq_ghat.checkpoints.files import read_checkpoint
from fairseq_ghat.cli.analyze import main
from fairseq_ghat.pruning.slimming import kept_heads_in_checkpoint

pytest.importorskip("sklearn", reason="scikit-learn is not installed: pip install scikit-learn")


def analysed(capsys, *arguments):
    """What the command prints, as JSON if that was asked for."""
    assert main([*map(str, arguments), "--cpu"]) == 0
    printed = capsys.readouterr().out
    return json.loads(printed) if "--json" in arguments else printed


def test_a_run_before_and_after_its_vote(corpus, voted_run, slim_file, capsys):
    save_dir, log = voted_run
    before = analysed(capsys, save_dir / "checkpoint2.pt", corpus, "--groups", 4, 2, "--with-loss", "--json")
    losses = re.findall(r"\| epoch 002 \| valid on .*? \| nll_loss ([\d.]+)", log)
    assert before["loss"] == pytest.approx(float(losses[-1]), abs=2e-3)  # both in bits per token
    assert before["groups"] == [2, 4] and before["sentences"] == 40 and len(before["layers"]) == 6
    for layer in before["layers"].values():
        assert layer["heads"] == list(range(8)) and sum(layer["variance_share"]) == pytest.approx(1)
        for feature in ("value", "attention", "output"):
            groups = layer["features"][feature]["groups"]
            assert sorted(sum(groups["4"]["members"], [])) == layer["heads"] and len(groups["2"]["members"]) == 2
            assert -1 <= groups["4"]["silhouette"] <= 1 and groups["2"]["dunn"] > 0
        assert len(layer["loss_increase"]) == 8
    assert before["means"]["loss_increase"] != 0 and "bits" in before["units"]["loss_increase"]

    after = analysed(capsys, slim_file[0], corpus, "--json")
    kept = kept_heads_in_checkpoint(read_checkpoint(slim_file[0]))
    assert {name: layer["heads"] for name, layer in after["layers"].items()} == kept
    assert after["groups"] == [2] and after["means"]["features"]["value"]["groups"]["2"]["silhouette"] is None
    assert analysed(capsys, save_dir / "checkpoint4.pt", corpus, "--json")["layers"] == after["layers"]


def test_table_of_a_stock_checkpoint(corpus, stock_checkpoint, capsys):
    table = analysed(capsys, stock_checkpoint, corpus, "--subset", "test", "--select-batches", 1)
    assert f"{stock_checkpoint}, test of {corpus}: " in table
    for title in ("by their value features", "by their output features", "entropy of the attention, nats"):
        assert table.count(title) == 1
    assert table.count("| decoder.layers.1.encoder_attn |") == 3 + 3  # features, then figures of each head
    assert re.search(r"\| mean +\| 2 \|", table) and "bits" not in table


def of_first_version(name, folder):
    """A checkpoint that the first version wrote, see test_first_version.py."""
    packed = (REPOSITORY / f"tests/fixtures/first_version/{name}.pt.xz").read_bytes()
    (folder / f"{name}.pt").write_bytes(lzma.decompress(packed))
    return folder / f"{name}.pt"


def test_language_model_of_the_first_version(text, tmp_path, capsys):
    figures = analysed(capsys, of_first_version("language_model", tmp_path), text, "--json", "--groups", 1)
    assert all(name.startswith("decoder.") for name in figures["layers"]) and figures["means"]["confidence"] > 0
    remarks = {remark for layer in figures["layers"].values() for remark in layer["remarks"]}
    assert remarks == {"no silhouette or Dunn index of one group"}


@pytest.mark.parametrize("kind", ["translation", "language_model"])
def test_of_data_in_shards_a_split_to_validate_is_that_of_the_first(corpus, text, slim_file, tmp_path, capsys, kind):
    data, checkpoint = (corpus, slim_file[0]) if kind == "translation" else (text, of_first_version(kind, tmp_path))
    other = tmp_path / "other"
    other.mkdir()
    for file in [*data.glob("dict.*"), *data.glob("train.*")]:
        shutil.copy(file, other)
    alone, in_shards = (analysed(capsys, checkpoint, one, "--json") for one in (data, f"{data}:{other}"))
    assert {**in_shards, "data": alone["data"]} == alone


def test_masks_of_the_first_version_are_its_slim_model(corpus, tmp_path, capsys):
    voted, slim = (
        analysed(capsys, of_first_version(name, tmp_path), corpus, "--json", "--with-loss")
        for name in ("voted", "slim")
    )
    assert voted["layers"] == slim["layers"] and voted["loss"] == slim["loss"]
    assert {len(layer["heads"]) for layer in slim["layers"].values()} == {2}
    assert {layer["made_with"] for layer in slim["layers"].values()} == {4}


@pytest.mark.parametrize(
    "arguments,message",
    [
        ("{folder}/nowhere.pt {data}", "nowhere.pt: no such checkpoint file"),
        ("{stock} {folder}/nowhere", "DATA {folder}/nowhere: no such folder"),
        ("{stock} {folder}", "DATA {folder}: Could not infer language pair"),
        ("{stock} {data} --subset tests", "--subset tests: not in DATA"),
        ("{stock} {data} --groups 0", "--groups 0: allowed is 1 or more"),
        ("{stock} {data} --groups 2 9", "--groups 9: allowed is 1 to 8, the heads of CHECKPOINT {stock}"),
        ("{slim} {data} --groups 3", "--groups 3: allowed is 1 to 2, the heads of CHECKPOINT {slim}"),
        ("{stock} {data} --group-distance far", "--group-distance: invalid choice: 'far'"),
        ("{stock} {data} --max-tokens 2", "--subset valid: none of its 40 sentences fits"),
        ("{stock} {data} --select-batches 0", "--select-batches 0: allowed is 1 or more"),
        ("{diverged} {data}", "CHECKPOINT {diverged}: .*self_attn computes values that are not finite numbers"),
        ("{nan} {data}", "CHECKPOINT {nan}: encoder.layers.0.self_attn.v_proj.weight has values that are not finite"),
    ],
)
def test_bad_input_is_named(corpus, stock_checkpoint, slim_file, tmp_path, arguments, message, capsys):
    names = {"data": corpus, "stock": stock_checkpoint, "slim": slim_file[0], "folder": tmp_path}
    for name, value in (("diverged", 1e38), ("nan", torch.nan)):
        names[name] = tmp_path / f"{name}.pt"
        if f"{{{name}}}" in arguments:
            state = read_checkpoint(slim_file[0])
            state["model"]["encoder.layers.0.self_attn.v_proj.weight"].fill_(value)
            torch.save(state, names[name])
    log = refusal(f"ghat-analyze {arguments.format(**names)} --cpu", capsys)
    assert re.search(message.format(**names), log) and "Traceback" not in log


def test_a_missing_package_is_named(corpus, stock_checkpoint, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    assert "pip install scikit-learn" in refusal(f"ghat-analyze {stock_checkpoint} {corpus}", capsys)
