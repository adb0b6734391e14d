"""Wrong flags and files end fairseq-train before the first update, naming flag or file and what is allowed."""

import os
import shutil

import pytest
import torch
from commands import MODEL, TRAIN, refusal, run, train

from fairseq_ghat.checkpoints.files import read_checkpoint

TRAINING_STARTED = "Start iterating over samples"


@pytest.mark.parametrize(
    "options,message",
    [
        ("--head-groups 0", "--head-groups 0: allowed is 1 to 8, the --encoder-attention-heads"),
        ("--head-groups 9", "--head-groups 9: allowed is 1 to 8"),
        ("--group-feature key", "argument --group-feature: invalid choice: 'key'"),
        ("--vote-epoch 0 --max-epoch 3", "--vote-epoch 0: allowed is 1 to --max-epoch 3"),
        ("--vote-epoch 4 --max-epoch 3", "--vote-epoch 4: allowed is 1 to --max-epoch 3"),
        (
            "--vote-epoch 2 --head-groups 8",
            "--head-groups 8 with a vote: one head stays in each group, so a vote removes none of 8",
        ),
        ("--group-loss-scale much", "--group-loss-scale much: allowed is 'batch' or a number >= 0"),
        ("--group-alpha -1", "--group-alpha -1.0: allowed is a number >= 0"),
        ("--restore-file nowhere.pt", "--restore-file nowhere.pt: no such file"),
        ("--finetune-from-model nowhere.pt", "--finetune-from-model nowhere.pt: no such file"),
    ],
)
def test_wrong_flag(corpus, tmp_path, options, message):
    log = train(corpus, tmp_path, options, check=False)
    assert message in log
    assert TRAINING_STARTED not in log


def test_our_task_with_a_foreign_arch(corpus, tmp_path):
    log = run(
        f"fairseq-train {corpus} --user-dir fairseq_ghat --save-dir {tmp_path} --task translation_v2s "
        f"--arch transformer --criterion cross_entropy {MODEL} {TRAIN}",
        check=False,
    )
    assert "--arch transformer has no grouped attention" in log and "starts with ghat_transformer" in log
    assert TRAINING_STARTED not in log


def test_our_criterion_with_a_model_without_grouped_attention(corpus, tmp_path):
    log = run(
        f"fairseq-train {corpus} --user-dir fairseq_ghat --save-dir {tmp_path} --task translation "
        f"--arch transformer --criterion group_constrained_cross_entropy {MODEL} {TRAIN}",
        check=False,
    )
    assert "TransformerModel has no grouped attention: use an --arch that starts with ghat_transformer" in log
    assert "num_updates" not in log and not list(tmp_path.glob("*.pt"))


def test_constraint_under_activation_checkpointing_in_a_task_that_does_not_vote(corpus, tmp_path):
    """translation_v2s refuses it before training (test_options); fairseq's own task leaves it to the criterion."""
    log = train(corpus, tmp_path, "--task translation --checkpoint-activations", check=False)
    assert "does not reach the model under --checkpoint-activations" in log
    assert "num_updates" not in log


@pytest.fixture
def broken_files(voted_run, tmp_path):
    whole = (voted_run[0] / "checkpoint4.pt").read_bytes()
    (tmp_path / "truncated.pt").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.pt").write_text("not a checkpoint\n")
    torch.save({"weights": torch.zeros(3)}, tmp_path / "foreign.pt")
    return tmp_path


@pytest.mark.parametrize(
    "name,message",
    [
        ("truncated.pt", "cannot be read as a checkpoint"),
        ("text.pt", "cannot be read as a checkpoint"),
        ("foreign.pt", "not a fairseq checkpoint"),
    ],
)
def test_broken_checkpoint_is_named_by_training_and_slimming(corpus, broken_files, name, message, capsys):
    file = broken_files / name
    for log in (
        train(corpus, broken_files / "out", f"--restore-file {file}", check=False),
        refusal(f"ghat-slim {file} {broken_files}/slim.pt", capsys),
    ):
        assert f"{file}: {message}" in log
        assert TRAINING_STARTED not in log
    assert not (broken_files / "slim.pt").exists()


def test_checkpoint_of_another_shape_names_the_layers(corpus, voted_run, tmp_path):
    log = train(
        corpus,
        tmp_path,
        f"--restore-file {voted_run[0]}/checkpoint4.pt",
        "--encoder-embed-dim 16 --decoder-embed-dim 16",
        check=False,
    )
    assert "encoder.layers.0.self_attn: the model expects" in log
    assert TRAINING_STARTED not in log


def test_checkpoint_with_other_heads_of_the_same_shapes_is_refused(corpus, voted_run, tmp_path):
    """4 heads of 8 features have the weights of 8 heads of 4."""
    options = f"--restore-file {voted_run[0]}/checkpoint4.pt --encoder-attention-heads 4"
    log = train(corpus, tmp_path, options, check=False)
    assert "--encoder-attention-heads: 4 here, but" in log and "was trained with 8" in log
    assert TRAINING_STARTED not in log


def test_checkpoint_with_a_foreign_class_is_refused_by_its_name(corpus, voted_run, tmp_path, capsys):
    """Safe loading stays on: nothing in the file is run, the class is named."""
    state = read_checkpoint(voted_run[0] / "checkpoint4.pt")
    state["extra_state"]["surprise"] = MakesFolder(tmp_path / "ran")
    torch.save(state, tmp_path / "surprise.pt")
    for log in (
        run(f"fairseq-generate {corpus} --user-dir fairseq_ghat --path {tmp_path}/surprise.pt --cpu", check=False),
        refusal(f"ghat-slim {tmp_path}/surprise.pt {tmp_path}/slim.pt", capsys),
    ):
        assert f"{os.mkdir.__module__}.mkdir" in log
    assert not (tmp_path / "ran").exists() and not (tmp_path / "slim.pt").exists()


class MakesFolder:
    """Unpickling it would make a folder."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


@pytest.mark.parametrize(
    "make,message",
    [
        (lambda d: f"ghat-slim {d}/checkpoint2.pt {d}/out.pt", "checkpoint2.pt: it was never voted on"),
        (lambda d: f"ghat-slim {d}/nowhere.pt {d}/out.pt", "nowhere.pt: no such checkpoint file"),
        (lambda d: f"ghat-slim {d}/checkpoint4.pt {d}/checkpoint4.pt", "is CHECKPOINT itself"),
        (lambda d: f"ghat-slim {d}/checkpoint4.pt {d}/no/out.pt", "does not exist"),
        (
            lambda d: f"ghat-average {d}/checkpoint2.pt {d}/checkpoint3.pt --output {d}/out.pt",
            "voted and unvoted checkpoints, or ones that keep other heads or neurons, cannot be averaged",
        ),
        (
            lambda d: f"ghat-average {d}/checkpoint2.pt {d}/slim.pt --output {d}/out.pt",
            "voted and unvoted checkpoints, or ones that keep other heads or neurons, cannot be averaged",
        ),
    ],
)
def test_commands_refuse_what_they_cannot_do(voted_run, slim_file, make, message):
    folder = voted_run[0]
    log = run(make(folder), check=False)
    assert message in log
    assert not (folder / "out.pt").exists()


@pytest.mark.parametrize("ending,kept", [("idx", 50), ("idx", 0), ("bin", 50)], ids=["truncated", "empty", "sentences"])
@pytest.mark.parametrize(
    "command,flag",
    [
        ("ghat-vote {slim} {data} {out} --cpu --subset test", "--subset test"),
        ("ghat-bench {data} {slim} --cpu", "--gen-subset test"),
        ("ghat-export ctranslate2 {slim} {data} {out} --subset test", "--subset test"),
    ],
    ids=["ghat-vote", "ghat-bench", "ghat-export"],
)
def test_damaged_data_are_named(corpus, slim_file, tmp_path, capsys, command, flag, ending, kept):
    data = shutil.copytree(corpus, tmp_path / "data")
    file = data / f"test.xx-yy.xx.{ending}"
    file.write_bytes(file.read_bytes()[:kept])
    log = refusal(command.format(data=data, slim=slim_file[0], out=tmp_path / "out"), capsys)
    assert f"error: {flag}: cannot be read from DATA {data} (" in log and "make it anew with fairseq-preprocess" in log
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "command",
    [
        "ghat-vote {slim} {data} {out} --cpu",
        "ghat-analyze {slim} {data} --cpu",
        "ghat-export ctranslate2 {slim} {data} {out}",
    ],
)
def test_sentences_without_translations_are_named(corpus, slim_file, tmp_path, capsys, command):
    """As of fairseq-preprocess --only-source."""
    data = shutil.copytree(corpus, tmp_path / "data")
    for file in data.glob("test.xx-yy.yy.*"):
        file.unlink()
    log = refusal(command.format(data=data, slim=slim_file[0], out=tmp_path / "out") + " --subset test", capsys)
    assert f"error: --subset test: has no targets in DATA {data}; give a split that has both languages" in log
    assert not (tmp_path / "out").exists()
