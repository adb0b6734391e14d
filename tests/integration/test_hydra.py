"""The page about fairseq-hydra-train: its command gives the run of fairseq-train with the same flags."""

import re

import pytest
from commands import REPOSITORY, generated, hypotheses, run, same_weights, train, train_language_model

from fairseq_ghat.checkpoints.files import read_checkpoint
from fairseq_ghat.pruning.slimming import kept_heads_in_checkpoint

PAGE = (REPOSITORY / "docs" / "hydra.md").read_text(encoding="utf-8")
# Of the toy runs of fairseq-train, in the names of a configuration.
TOY = (
    "common.cpu=true common.log_format=simple optimization.lr=[0.005] lr_scheduler.warmup_updates=10 "
    "dataset.max_tokens=400 dataset.num_workers=0"
)
SMALL = "model.dropout=0.1 " + " ".join(
    f"model.{side}.{name}={value}"
    for side in ("encoder", "decoder")
    for name, value in (("layers", 2), ("embed_dim", 32), ("ffn_embed_dim", 64))
)
LANGUAGE_MODEL = """# @package _global_
task: {_name: language_modeling_v2s, data: '???', tokens_per_sample: 32, vote_epoch: 2}
model: {_name: ghat_transformer_lm_tiny, head_groups: 2, decoder_layers: 1}
criterion: {_name: group_constrained_cross_entropy}
optimizer: {_name: adam}
lr_scheduler: {_name: inverse_sqrt, warmup_updates: 10}
optimization: {lr: [0.005], max_epoch: 2}
dataset: {max_tokens: 256}
"""


def page_block(language):
    (block,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return block


def hydra_run(folder, config, data, overrides):
    """Runs the command of the page with this file; returns the folder of its checkpoints."""
    (folder / "translation.yaml").write_text(config)
    command = page_block("bash").replace("\\\n", " ").replace("--config-dir .", f"--config-dir {folder}")
    for shown, path in (
        ("$PWD/fairseq_ghat", REPOSITORY / "fairseq_ghat"),
        ("$PWD/data-bin", data),
        ("$PWD/checkpoints", folder / "hydra"),
    ):
        assert shown in command
        command = command.replace(shown, str(path))
    run(f"{command} {overrides} hydra.run.dir={folder}/log", HYDRA_FULL_ERROR="1")
    return folder / "hydra"


def last_of(folder):
    state = read_checkpoint(folder / "checkpoint_last.pt")
    return state["model"], kept_heads_in_checkpoint(state)


@pytest.fixture(scope="module")
def runs(corpus, tmp_path_factory):
    """Three epochs by fairseq-train; the same by fairseq-hydra-train, started again after the vote."""
    folder = tmp_path_factory.mktemp("hydra")
    config, toy = page_block("yaml"), f"{TOY} {SMALL} task.vote_epoch=2"
    hydra_run(folder, config, corpus, f"{toy} optimization.max_epoch=2")
    hydra_run(folder, config, corpus, f"{toy} optimization.max_epoch=3")
    train(corpus, folder / "train", "--max-epoch 3 --vote-epoch 2 --group-alpha 0.7")
    return folder


def test_groups_give_the_run_of_fairseq_train(runs):
    (weights, heads), (expected, expected_heads) = last_of(runs / "hydra"), last_of(runs / "train")
    assert heads == expected_heads and {len(kept) for kept in heads.values()} == {2}
    assert same_weights(weights, expected)


def test_every_command_takes_its_checkpoints(corpus, runs):
    voted, slim = runs / "hydra" / "checkpoint3.pt", runs / "slim.pt"
    run(f"ghat-slim {voted} {slim}")
    assert "6 x 2" in run(f"ghat-stats {slim}")
    assert len(hypotheses(generated(corpus, slim))) == 24


def test_flat_language_model_gives_the_run_of_fairseq_train(text, tmp_path):
    toy = TOY.replace("dataset.max_tokens=400", "")
    (weights, heads) = last_of(hydra_run(tmp_path, LANGUAGE_MODEL, text, toy))
    train_language_model(text, tmp_path / "train", "--max-epoch 2 --vote-epoch 2 --decoder-layers 1")
    expected, expected_heads = last_of(tmp_path / "train")
    assert heads == expected_heads and {len(kept) for kept in heads.values()} == {2}
    assert same_weights(weights, expected)
