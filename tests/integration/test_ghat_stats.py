"""`ghat-stats`: heads, parameters, FLOPs and file size, of checkpoints and of archs."""

import json
import re

import pytest
import torch
from commands import refusal, run

from fairseq_ghat.checkpoints.files import read_checkpoint


def cells(printed):
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in printed.splitlines() if line[:1] == "|"]
    return {row[0]: row[1:] for row in rows[2:]}


def test_voted_and_slim_compute_and_hold_the_same(voted_run, slim_file):
    voted, slim = f"{voted_run[0]}/checkpoint4.pt", str(slim_file[0])
    printed = run(f"ghat-stats {voted_run[0]}/checkpoint1.pt {voted} {slim}")
    rows = cells(printed)
    assert [row[:2] for row in rows.values()] == [["6 x 8", "4 x 64"], ["6 x 2", "4 x 64"], ["6 x 2", "4 x 64"]]
    assert rows[voted][5:7] == rows[slim][5:7]  # FLOPs
    held = re.search(r"parameters without embeddings\s+([\d,]+) -> ([\d,]+)", slim_file[1]).groups()
    assert (rows[voted][3], rows[slim][3]) == held
    assert rows[slim][7] == f"{slim_file[0].stat().st_size / 1e6:.1f}"
    figures = json.loads(run(f"ghat-stats {slim} --json"))[slim]
    assert figures["file_bytes"] == slim_file[0].stat().st_size
    assert set(figures["heads"].values()) == {2} and len(figures["heads"]) == 6
    # all that is held, each tensor once: encoder, decoder and output layer share one embedding
    state = read_checkpoint(slim)["model"]
    shared = state["encoder.embed_tokens.weight"].numel()
    assert figures["parameters"] == figures["parameters_without_embeddings"] + shared


def test_layers_that_differ_are_named(corpus, voted_run, tmp_path):
    state = read_checkpoint(voted_run[0] / "checkpoint2.pt")
    mask = "decoder.layers.1.encoder_attn.head_mask"
    state["model"][mask] = torch.tensor([2.0] * 3 + [0.0] * 5)
    torch.save(state, tmp_path / "mixed.pt")
    printed = run(f"ghat-stats {tmp_path}/mixed.pt")
    assert "1 x 3, 5 x 8" in printed and "decoder.layers.1.encoder_attn 3" in printed


def test_arch_without_a_checkpoint():
    """By hand: 29,961,984 parameters and three embeddings (source, target, output) of 42,672 x 512."""
    printed = run("ghat-stats --arch ghat_transformer --vocab 42672 --keep 2")
    assert cells(printed) == {
        "ghat_transformer, 2 heads": [
            "18 x 2",
            "12 x 2048",
            "95,506,176",
            "29,961,984",
            "4,718,592",
            "1,558.4M",
            "903.0M",
            "",
        ]
    }


@pytest.mark.parametrize(
    "options,message",
    [
        ("", "give either CHECKPOINT... or --arch"),
        ("x.pt --arch ghat_transformer", "give either CHECKPOINT... or --arch"),
        ("--arch ghat_transformer", "--arch needs --vocab"),
        ("x.pt --keep 2", "--vocab and --keep are for --arch"),
        ("--arch transformer --vocab 9", "--arch transformer: allowed are ghat_transformer"),
        ("--arch ghat_transformer_tiny --vocab 90 --keep 0", "--keep 0: allowed is 1 or more"),
        ("--arch ghat_transformer_tiny --vocab 90 --length 0", "--length 0: allowed is 1 or more"),
        ("--arch ghat_transformer_tiny --vocab 90 --length 1025", "--length 1025: "),
        ("x.pt", "x.pt: no such checkpoint file"),
    ],
)
def test_bad_options_are_refused_by_name(options, message, capsys):
    printed = refusal(f"ghat-stats {options}", capsys)
    assert message in printed and "Traceback" not in printed
