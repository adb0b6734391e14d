"""`ghat-vote`: the vote after the fact, on checkpoints of ours, of stock fairseq, and of strangers."""

import re
import shutil

import pytest
import torch
from commands import generated, hypotheses, refusal, run, train

from fairseq_ghat.checkpoints.files import read_checkpoint
from fairseq_ghat.pruning.slimming import kept_heads_in_checkpoint


def valid_loss(corpus, checkpoint):
    log = run(
        f"fairseq-validate {corpus} --user-dir fairseq_ghat --task translation --path {checkpoint} "
        "--max-tokens 400 --cpu"
    )
    return float(re.search(r"\| valid on 'valid' subset \| loss ([\d.]+)", log).group(1))


@pytest.mark.parametrize("rules", ["", "--refit none", "--group-objective classification"])
def test_same_vote_as_in_training(corpus, tmp_path, rules):
    """The checkpoint before the vote, voted on after the fact, keeps the heads that training kept."""
    train(corpus, tmp_path, "--max-epoch 3 --vote-epoch 3", rules)
    log = run(f"ghat-vote {tmp_path}/checkpoint2.pt {corpus} {tmp_path}/voted.pt --cpu {rules}")
    kept = kept_heads_in_checkpoint(read_checkpoint(tmp_path / "voted.pt"))
    in_training = kept_heads_in_checkpoint(read_checkpoint(tmp_path / "checkpoint3.pt"))
    assert kept == in_training
    voted = read_checkpoint(tmp_path / "voted.pt")  # the best score and patience were of all heads
    assert "best" not in voted["extra_state"] and "voting_to_stay" not in voted["task_state"]
    assert log.count(" keeps heads [") == 6
    assert f"{tmp_path}/voted.pt: 12 of 48 heads stay" in log


def test_stock_checkpoint_votes_slims_and_translates(corpus, stock_checkpoint, tmp_path):
    log = run(f"ghat-vote {stock_checkpoint} {corpus} {tmp_path}/voted.pt --head-groups 3 --cpu")
    assert "18 of 48 heads stay" in log
    run(f"ghat-slim {tmp_path}/voted.pt {tmp_path}/slim.pt")
    translated = [hypotheses(generated(corpus, tmp_path / f"{name}.pt")) for name in ("voted", "slim")]
    assert translated[0] == translated[1] and len(translated[0]) == 24


def test_all_parts_of_the_training_data_vote(corpus, stock_checkpoint, tmp_path):
    """fairseq-train takes train1 with train."""
    data = shutil.copytree(corpus, tmp_path / "data")
    for file in corpus.glob("train.*"):
        shutil.copy(file, data / file.name.replace("train.", "train1."))
    state = read_checkpoint(stock_checkpoint)
    state["cfg"]["task"]["upsample_primary"] = 1  # without it fairseq does not take such data
    torch.save(state, tmp_path / "stock.pt")
    votes = {}
    for folder in (corpus, data):
        log = run(f"ghat-vote {tmp_path}/stock.pt {folder} {tmp_path}/voted.pt --head-groups 2 --batch-size 8 --cpu")
        votes[folder] = set(re.findall(r"votes \[.*\] of (\d+) batches", log))
    assert votes == {corpus: {"30"}, data: {"60"}}


def test_refit_is_never_worse_than_dropping(corpus, stock_checkpoint, tmp_path):
    losses = {}
    for refit in ("none", "output"):
        out = tmp_path / f"{refit}.pt"
        run(f"ghat-vote {stock_checkpoint} {corpus} {out} --refit {refit} --cpu")
        losses[refit] = valid_loss(corpus, out)
    assert losses["output"] < losses["none"]


def test_voted_file_trains_on(corpus, stock_checkpoint, tmp_path):
    run(f"ghat-vote {stock_checkpoint} {corpus} {tmp_path}/voted.pt --cpu")
    log = train(
        corpus, tmp_path / "on", f"--finetune-from-model {tmp_path}/voted.pt --max-epoch 1 --no-epoch-checkpoints"
    )
    assert "stage voted | heads 2,2,2,2,2,2" in log
    voted = kept_heads_in_checkpoint(read_checkpoint(tmp_path / "voted.pt"))
    assert kept_heads_in_checkpoint(read_checkpoint(tmp_path / "on/checkpoint_last.pt")) == voted


def test_random_heads_follow_the_seed(corpus, stock_checkpoint, tmp_path):
    kept = []
    for number, seed in enumerate((1, 1, 2)):
        out = tmp_path / f"{number}.pt"
        run(f"ghat-vote {stock_checkpoint} {corpus} {out} --keep-heads random --seed {seed} --cpu")
        kept.append(kept_heads_in_checkpoint(read_checkpoint(out)))
    assert kept[0] == kept[1] != kept[2]


def test_a_colon_in_the_name_of_a_file(corpus, stock_checkpoint, tmp_path):
    shutil.copy(stock_checkpoint, tmp_path / "a:b.pt")
    run(f"ghat-vote {tmp_path}/a:b.pt {corpus} {tmp_path}/c:d.pt --keep-heads l1 --vote-heads 3 --cpu")
    run(f"ghat-bench {corpus} {tmp_path}/c:d.pt --repeats 1 --sentences 4 --cpu")


@pytest.mark.parametrize(
    "arguments,message",
    [
        ("{stock} {data} {stock}", "is CHECKPOINT itself"),
        ("{stock} {data} {folder}/no/out.pt", "does not exist"),
        ("{stock} {folder}/nowhere {folder}/out.pt", "nowhere: no such folder"),
        ("{folder}/nowhere.pt {data} {folder}/out.pt", "nowhere.pt: no such checkpoint file"),
        ("{stock} {data} {folder}/out.pt --head-groups 9", "--head-groups 9: allowed is 1 to 8"),
        ("{stock} {data} {folder}/out.pt --head-groups 8", "--head-groups 8 with a vote: .*allowed is 1 to 7"),
        ("{stock} {data} {folder}/out.pt --vote-heads 0", "--vote-heads 0: allowed is 1 or more"),
        ("{stock} {data} {folder}/out.pt --vote-heads 9", ": --vote-heads 9: allowed is 1 to 8"),
        ("{stock} {data} {folder}/out.pt --vote-heads 8", ": --vote-heads 8 with a vote: .*allowed is 1 to 7"),
        (
            "{stock} {data} {folder}/out.pt --budget flops=0.1 --keep-heads all",
            ": --budget flops=0.1: allowed is",
        ),
        ("{stock} {data} {folder}/out.pt --max-tokens 0", "--max-tokens 0: allowed is 1 or more"),
        ("{stock} {data} {folder}/out.pt --max-tokens 2", "--subset train: none of its 240 .*--max-tokens 2"),
        ("{stock} {folder} {folder}/out.pt", "DATA {folder}: Could not infer language pair"),
        ("{stock} {data} {folder}/out.pt --subset tests", "--subset tests: not in DATA"),
        ("{stock} {data} {folder}/out.pt --group-objective classification", "it holds no classifiers"),
        ("{voted}/checkpoint4.pt {data} {folder}/out.pt", "checkpoint4.pt: it was voted on already"),
        ("{voted}/slim.pt {data} {folder}/out.pt", "slim.pt: it was voted on already"),
    ],
)
def test_bad_input_is_refused_before_the_vote_and_leaves_no_file(
    corpus, stock_checkpoint, voted_run, slim_file, tmp_path, arguments, message, capsys, monkeypatch
):
    monkeypatch.setattr("fairseq_ghat.cli.vote.vote", lambda *_: pytest.fail("the vote began"))
    filled = arguments.format(stock=stock_checkpoint, data=corpus, folder=tmp_path, voted=voted_run[0])
    before = stock_checkpoint.read_bytes()
    log = refusal(f"ghat-vote {filled} --cpu", capsys)
    assert re.search(message.format(folder=tmp_path), log) and "Traceback" not in log
    assert list(tmp_path.iterdir()) == [] and stock_checkpoint.read_bytes() == before


def test_data_of_another_vocabulary_are_named(corpus, stock_checkpoint, tmp_path, capsys):
    other = shutil.copytree(corpus, tmp_path / "other")
    for side in ("xx", "yy"):
        (other / f"dict.{side}.txt").write_text("a1 1\n")
    log = refusal(f"ghat-vote {stock_checkpoint} {other} {tmp_path}/out.pt --cpu", capsys)
    assert f"CHECKPOINT {stock_checkpoint}: does not fit DATA {other}, whose dictionary has 5 types" in log
    assert not (tmp_path / "out.pt").exists()
