"""Ways of choosing heads through fairseq-train, ghat-vote, ghat-slim and fairseq-generate."""

import re

import pytest
from commands import (
    ADAPTIVE,
    generated,
    hypotheses,
    refusal,
    run,
    train,
    train_language_model,
    train_on_workers,
)

from fairseq_ghat.checkpoints.files import read_checkpoint
from fairseq_ghat.pruning.slimming import kept_heads_in_checkpoint


def masks_of(path):
    return kept_heads_in_checkpoint(read_checkpoint(path))


@pytest.mark.parametrize(
    "way",
    [
        "--keep-heads gradient",
        "--keep-heads l0 --vote-heads 3 --select-batches 8 --gate-lr 0.3",
        "--keep-heads reconstruction --vote-budget model --vote-heads 1 --remove-sublayers",
        "--keep-heads fisher --vote-heads 5 --ffn-neurons 0.5 --keep-neurons flap",
    ],
)
def test_same_heads_in_training_and_after_the_fact(corpus, tmp_path, way):
    """The checkpoint before the vote, voted on by ghat-vote, keeps the heads that training kept."""
    log = train(corpus, tmp_path, "--max-epoch 3 --vote-epoch 3", way)
    run(f"ghat-vote {tmp_path}/checkpoint2.pt {corpus} {tmp_path}/voted.pt --cpu {way}")
    kept = masks_of(tmp_path / "voted.pt")
    assert kept == masks_of(tmp_path / "checkpoint3.pt")
    heads = ",".join(str(len(of_layer)) for of_layer in kept.values())
    assert f"stage voted | heads {heads}" in log
    assert sum(map(len, kept.values())) == {"gradient": 12, "l0": 18, "reconstruction": 6, "fisher": 30}[way.split()[1]]


def test_emptied_attentions_slim_translate_and_train_on(corpus, stock_checkpoint, tmp_path):
    """Six of 48 heads wherever chance puts them: some attentions have none."""
    way = "--select random --vote-budget model --vote-heads 1 --remove-sublayers"
    run(f"ghat-vote {stock_checkpoint} {corpus} {tmp_path}/voted.pt {way} --cpu")
    kept = masks_of(tmp_path / "voted.pt")
    assert [] in kept.values() and sum(map(len, kept.values())) == 6
    run(f"ghat-slim {tmp_path}/voted.pt {tmp_path}/slim.pt")
    translated = [hypotheses(generated(corpus, tmp_path / f"{name}.pt")) for name in ("voted", "slim")]
    assert translated[0] == translated[1] and len(translated[0]) == 24
    log = train(
        corpus, tmp_path / "on", f"--finetune-from-model {tmp_path}/slim.pt --max-epoch 1 --no-epoch-checkpoints"
    )
    assert "stage voted | heads " + ",".join(str(len(heads)) for heads in kept.values()) in log
    stats = run(f"ghat-stats {tmp_path}/voted.pt {tmp_path}/slim.pt")
    assert "x 0" in stats


def test_language_model_with_adaptive_softmax_by_gradients(text, tmp_path):
    way = "--vote-epoch 2 --keep-heads gradient-iterative --vote-budget model --vote-heads 4 --max-epoch 2"
    log = train_language_model(text, tmp_path, ADAPTIVE, way)
    kept = masks_of(tmp_path / "checkpoint_last.pt")
    assert sum(map(len, kept.values())) == 4 * len(kept) and min(map(len, kept.values())) >= 1
    assert re.search(r"gradient importance: round 4 of 4, 8 of 16 heads left", log)


def test_two_workers_choose_the_same_heads(corpus, tmp_path):
    """Gates are learned on the batches of both; importance is that of all the data, as one worker finds it."""
    for way in ("gradient", "subset"):
        logs = train_on_workers(corpus, tmp_path / way, f"--vote-epoch 1 --keep-heads {way} --max-epoch 1 --refit none")
        chosen = re.findall(r"vote: (\S+) keeps heads (\[.*?\])", logs[0])  # the other says nothing
        assert len(chosen) == 6 and not any("voted differently" in log for log in logs)
        if way == "gradient":
            alone = train(corpus, tmp_path / "alone", "--vote-epoch 1 --keep-heads gradient --max-epoch 1 --refit none")
            assert re.findall(r"vote: (\S+) keeps heads (\[.*?\])", alone) == chosen


@pytest.mark.parametrize(
    "options,message",
    [
        ("--select l1 --vote-heads 8", "--vote-heads 8: .*allowed is 1 to 7"),
        ("--vote-heads 3 --head-groups 2", "--vote-heads 3: --keep-heads pillars .*allowed is 2"),
        ("--vote-budget model", "--vote-budget model: not with --keep-heads pillars"),
        ("--select l1 --gate-lr 0.1", "--gate-lr 0.1: allowed only with --keep-heads l0 or subset"),
        ("--select l0 --select-batches 0", "--select-batches 0: allowed is 1 or more"),
        ("--select best", "invalid choice: 'best'"),
    ],
)
def test_bad_choices_are_refused_before_any_work(corpus, stock_checkpoint, tmp_path, options, message, capsys):
    log = refusal(f"ghat-vote {stock_checkpoint} {corpus} {tmp_path}/out.pt {options} --cpu", capsys)
    assert re.search(message, log) and "Traceback" not in log
    assert list(tmp_path.iterdir()) == []


def test_checkpoint_activations_with_gates_are_refused(corpus, tmp_path):
    for way in ("--keep-heads l0", "--keep-neurons fisher"):
        options = f"--vote-epoch 2 {way} --ffn-neurons 0.5 --checkpoint-activations"
        assert f"--checkpoint-activations: not with {way}" in train(corpus, tmp_path, options, check=False)
