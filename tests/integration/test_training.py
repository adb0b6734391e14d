"""Group-constrained training and the vote through fairseq-train."""

import re

import pytest
from commands import MODEL, TRAIN, run, same_weights, train

from fairseq_ghat.checkpoints.files import read_checkpoint
from fairseq_ghat.pruning.slimming import kept_heads_in_checkpoint

# Last parts of the names of trained parameters.
KINDS = ("weight", "bias")


def valid_lines(log):
    return re.findall(r"\| valid \|.*", log)


def number(line, name):
    return float(re.search(rf"\b{name} (-?[\d.]+)", line).group(1))


def test_constraint_is_logged_beside_the_task_loss_until_the_vote(voted_run):
    _, log = voted_run
    lines = valid_lines(log)
    assert [number(line, "epoch") for line in lines] == [1, 2, 3, 4]
    for line in lines[:2]:
        expected = -0.5 * number(line, "homogeneity") - 0.5 * number(line, "diversity")
        assert number(line, "constraint") == pytest.approx(expected, abs=2e-4)
        assert "stage grouped | heads 8,8,8,8,8,8" in line
    for line in lines[2:]:
        assert "homogeneity" not in line and "constraint" not in line
        assert "stage voted | heads 2,2,2,2,2,2" in line
    before, after = (re.findall(r"\| train(?:_inner)? \|.*", part) for part in log.split("vote: done"))
    assert len(before) == 4 and all("homogeneity" in line and "constraint" in line for line in before)
    assert len(after) == 4 and all("loss" in line and "ppl" in line and "None" not in line for line in after)
    assert not any("homogeneity" in line or "constraint" in line for line in after)


def test_vote_is_announced_layer_by_layer_with_progress(voted_run):
    _, log = voted_run
    votes = re.findall(r"vote: (\S+) keeps heads \[(\d), (\d)\] of 8; votes \[(.*?)\] of (\d+) batches", log)
    assert [v[0] for v in votes] == [
        "encoder.layers.0.self_attn",
        "encoder.layers.1.self_attn",
        "decoder.layers.0.self_attn",
        "decoder.layers.0.encoder_attn",
        "decoder.layers.1.self_attn",
        "decoder.layers.1.encoder_attn",
    ]
    for _, _, _, counts, batches in votes:
        assert sum(map(int, counts.split(", "))) == 2 * int(batches)
    assert re.search(r"\| vote \| epoch 003 \| vote:\s+5 / \d+ batches=5", log), "no progress of the voting pass"
    assert "best score and patience restarted" in log


def test_debug_log_says_once_which_kernel_computes_attention(corpus, tmp_path):
    """The short sentences of a large batch take products, as the layer does whose weights the decoder hands out."""
    log = train(corpus, tmp_path, "--max-update 3 --no-save --disable-validation", LOGLEVEL="DEBUG")
    (kernels,) = re.findall(r"DEBUG \| fairseq_ghat\S* \| attention: (.*)", log)
    counts = {kernel: int(count) for kernel, count in re.findall(r"([a-z ,]+?) in (\d) layers", kernels)}
    assert sum(counts.values()) == 6 and "matrix products" in counts


def test_record_of_heads_travels_with_the_checkpoints(voted_run):
    save_dir, log = voted_run
    kept = [kept_heads_in_checkpoint(read_checkpoint(save_dir / f"checkpoint{epoch}.pt")) for epoch in (1, 2, 3, 4)]
    assert all(heads == list(range(8)) for heads in kept[1].values())
    assert kept[0] == kept[1] != kept[2] == kept[3]
    announced = dict(re.findall(r"vote: (\S+) keeps heads (\[.*?\])", log))
    assert {name: str(heads) for name, heads in kept[3].items()} == announced


def test_vote_takes_no_update_and_leaves_schedule_and_optimizer(corpus, voted_run, tmp_path):
    """Up to the vote, and in update counts and learning rate after it, the run equals one without a vote."""
    save_dir, log = voted_run
    plain_log = train(corpus, tmp_path, "--max-epoch 4 --group-loss-scale 0.5")
    for name in ("num_updates", "lr"):
        found, expected = (re.findall(rf"\| train \| epoch .*\b{name} (\S+)", text) for text in (log, plain_log))
        assert found == expected and len(found) == 4
    with_vote, without = (read_checkpoint(f / "checkpoint2.pt")["model"] for f in (save_dir, tmp_path))
    assert same_weights(with_vote, without)


def test_nni_4521_kept_heads_train_on_and_removed_heads_do_not_return(voted_run):
    save_dir, _ = voted_run
    early, late = (read_checkpoint(save_dir / f"checkpoint{e}.pt") for e in (3, 4))
    state = late["last_optimizer_state"]["state"]
    assert {tuple(of_one["exp_avg"].shape) for of_one in state.values()} >= {(8, 32), (32, 8), (8,)}
    assert sum(of_one["exp_avg"].numel() for of_one in state.values()) == parameters(late["model"])
    early, late = early["model"], late["model"]
    for layer in (name[: -len(".head_mask")] for name in late if name.endswith("head_mask")):
        moved = (early[f"{layer}.v_proj.weight"] != late[f"{layer}.v_proj.weight"]).view(2, -1).any(1)
        assert moved.all() and late[f"{layer}.out_proj.weight"].shape == (32, 8)
        assert late[f"{layer}.head_mask"].tolist() == [2, 2]


def parameters(weights):
    """Number of trained parameters of a model's state dict."""
    of_model = {value.data_ptr(): value.numel() for name, value in weights.items() if name.rpartition(".")[2] in KINDS}
    return sum(of_model.values())


def test_fairseq_1302_best_score_restarts_at_the_vote(voted_run):
    save_dir, log = voted_run
    best = read_checkpoint(save_dir / "checkpoint_best.pt")
    assert all(len(heads) == 2 for heads in kept_heads_in_checkpoint(best).values())
    before, after = ([number(line, "loss") for line in lines] for lines in (valid_lines(log)[:2], valid_lines(log)[2:]))
    assert best["extra_state"]["best"] == pytest.approx(min(after), abs=1e-3)
    unpruned = read_checkpoint(save_dir / "before_vote.checkpoint_best.pt")
    assert all(len(heads) == 8 for heads in kept_heads_in_checkpoint(unpruned).values())
    assert unpruned["extra_state"]["best"] == pytest.approx(min(before), abs=1e-3)


def test_kept_best_checkpoints_are_voted_ones(corpus, tmp_path):
    """The best files of stage 1 are set aside: those of stage 2 are not measured against them."""
    train(corpus, tmp_path, "--max-epoch 4 --vote-epoch 4 --keep-best-checkpoints 2 --no-epoch-checkpoints --lr 0.02")
    kept = {path.name: kept_heads_in_checkpoint(read_checkpoint(path)) for path in tmp_path.glob("*best*.pt")}
    assert len([name for name in kept if name.startswith("checkpoint.best_loss")]) == 1
    assert len([name for name in kept if name.startswith("before_vote.checkpoint.best_loss")]) == 2
    for name, masks in kept.items():
        assert {len(heads) for heads in masks.values()} == {8 if name.startswith("before_vote") else 2}, name


def test_tensorboard_holds_the_constraint(voted_run):
    save_dir, _ = voted_run
    for split in ("train", "valid"):
        events = b"".join(path.read_bytes() for path in (save_dir / "tb" / split).glob("events*"))
        for name in (b"homogeneity", b"diversity", b"constraint", b"nll_loss"):
            assert name in events, (split, name)


def test_grouping_off_trains_exactly_as_stock_fairseq(corpus, tmp_path):
    """Same seed, dropout on, weight decay on: the same losses, epoch by epoch."""
    losses = []
    for arch in ("transformer", "ghat_transformer"):
        log = run(
            f"fairseq-train {corpus} --user-dir fairseq_ghat --save-dir {tmp_path}/{arch} --task translation "
            f"--arch {arch} --criterion label_smoothed_cross_entropy --label-smoothing 0.1 "
            f"--max-epoch 3 {MODEL} {TRAIN}"
        )
        losses.append([(number(line, "loss"), number(line, "ppl")) for line in valid_lines(log)])
    assert losses[0] == losses[1] and len(losses[0]) == 3


def test_constraint_pulls_heads_together(corpus, tmp_path):
    """Same run with and without weight on L_z: homogeneity and diversity end higher with it."""
    ends = []
    for scale in (0, 1):
        log = train(corpus, tmp_path / str(scale), f"--max-epoch 3 --group-loss-scale {scale} --no-save")
        ends.append(valid_lines(log)[-1])
    assert number(ends[1], "homogeneity") > number(ends[0], "homogeneity") + 0.05
    assert number(ends[1], "diversity") > number(ends[0], "diversity") + 0.05


@pytest.mark.parametrize("feature", ["attention", "output"])
def test_other_features_train_and_vote(corpus, tmp_path, feature):
    log = train(corpus, tmp_path, f"--group-feature {feature} --max-epoch 2 --vote-epoch 2 --no-save")
    assert "stage voted | heads 2,2,2,2,2,2" in valid_lines(log)[-1]


def test_plain_cross_entropy_criterion(corpus, tmp_path):
    log = run(
        f"fairseq-train {corpus} --user-dir fairseq_ghat --save-dir {tmp_path} --task translation_v2s "
        f"--arch ghat_transformer --criterion group_constrained_cross_entropy --max-epoch 1 --no-save {MODEL} {TRAIN}"
    )
    (line,) = valid_lines(log)
    assert number(line, "ppl") == pytest.approx(2 ** number(line, "loss"), rel=0.01)
    assert "homogeneity" in line
