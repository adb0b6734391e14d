"""Voted and slim checkpoints in fairseq-generate, -interactive, -validate, averaging and further training."""

import re

import pytest
import torch
from commands import MODEL, REPOSITORY, TRAIN, generated, hypotheses, run, train
from fairseq.data import Dictionary
from fairseq.models.transformer import TransformerModel
from fairseq.sequence_generator import SequenceGenerator

from fairseq_ghat.checkpoints.files import read_checkpoint
from fairseq_ghat.models.ghat_transformer import GHATTransformerModel
from fairseq_ghat.pruning.slimming import kept_heads_in_checkpoint

PROJECTIONS = {
    f"{name}_proj.{kind}": shape for name in "qkv" for kind, shape in (("weight", (32, 32)), ("bias", (32,)))
}
PROJECTIONS["out_proj.weight"] = (32, 32)


@pytest.fixture(scope="module")
def voted_log(corpus, voted_run):
    return generated(corpus, voted_run[0] / "checkpoint4.pt")


def stock_twin(state, dictionary):
    """fairseq's own transformer with the weights of a voted checkpoint, the heads voted out of zeros."""

    class Task:
        source_dictionary = target_dictionary = dictionary

    model = TransformerModel.build_model(state["cfg"]["model"], Task)
    weights = {key: value.clone() for key, value in state["model"].items() if not key.endswith("head_mask")}
    for layer, kept in kept_heads_in_checkpoint(state).items():
        features = torch.cat([torch.arange(4 * head, 4 * head + 4) for head in kept])
        for part, shape in PROJECTIONS.items():
            name, whole = f"{layer}.{part}", torch.zeros(shape)
            whole[features if len(shape) == 1 or "out" not in part else (slice(None), features)] = weights[name]
            weights[name] = whole
    if "encoder.layers.0.fc1_weight" in model.state_dict():  # fairseq 0.12.2
        for layer in model.encoder.layers:
            layer.can_use_fastpath = False
    model.load_state_dict(weights, strict=False)
    return model.eval()


def test_fairseq_4858_voted_checkpoint_generates_what_the_unfused_stock_path_does(corpus, voted_run, voted_log):
    """Fresh process, sources of unequal length in one batch (facebookresearch/fairseq#4858)."""
    dictionary = Dictionary.load(str(corpus / "dict.xx.txt"))
    model = stock_twin(read_checkpoint(voted_run[0] / "checkpoint4.pt"), dictionary)
    sources = dict(re.findall(r"^S-(\d+)\t(.*)$", voted_log, re.MULTILINE))
    assert len({len(text.split()) for text in sources.values()}) > 3
    found = hypotheses(voted_log)
    assert len(found) == 24
    generator = SequenceGenerator([model], dictionary, beam_size=4, max_len_b=200)
    for number, text in sources.items():
        tokens = dictionary.encode_line(text, add_if_not_exist=False).long().unsqueeze(0)
        sample = {"net_input": {"src_tokens": tokens, "src_lengths": torch.tensor([tokens.size(1)])}}
        best = generator.generate([model], sample)[0][0]
        score, hypothesis = found[int(number)]
        assert hypothesis == dictionary.string(best["tokens"])
        assert score == pytest.approx(best["score"].item() / torch.tensor(2.0).log().item(), abs=1e-3)


def test_slim_and_voted_translations_are_identical(corpus, slim_file, voted_log):
    assert hypotheses(generated(corpus, slim_file[0])) == hypotheses(voted_log)


def test_slim_prints_sizes_and_drops_the_optimizer(voted_run, slim_file):
    path, printed = slim_file
    assert "heads per attention    6 x 2 -> 6 x 2" in printed
    full, slim = read_checkpoint(voted_run[0] / "checkpoint4.pt"), read_checkpoint(path)
    assert "last_optimizer_state" in full and "last_optimizer_state" not in slim
    attention = 4 * 32 * 32 + 4 * 32
    feed_forward = 2 * 32 * 64 + 32 + 64
    before = 2 * (attention + feed_forward + 4 * 32) + 2 * (2 * attention + feed_forward + 6 * 32)
    after = before - 6 * (4 * 32 * 24 + 3 * 24)
    assert f"{after:,} -> {after:,}" in printed
    assert "attention weights    6,144 -> 6,144 (+0.0 %)" in printed
    sizes = re.search(r"file size, MB    ([\d.]+) -> ([\d.]+)", printed)
    assert float(sizes[2]) < float(sizes[1])
    assert not list(path.parent.glob("*.part"))


def test_validate_gives_the_same_loss_for_voted_and_slim(corpus, voted_run, slim_file):
    losses = []
    for checkpoint in (voted_run[0] / "checkpoint4.pt", slim_file[0]):
        log = run(
            f"fairseq-validate {corpus} --user-dir fairseq_ghat --task translation_v2s "
            f"--path {checkpoint} --max-tokens 400 --cpu"
        )
        losses.append(re.findall(r"\| valid on 'valid' subset \| loss ([\d.]+)", log))
    assert losses[0] == losses[1] and len(losses[0]) == 1


def test_interactive_translates_with_the_slim_file(corpus, slim_file, voted_log):
    sources = dict(re.findall(r"^S-(\d+)\t(.*)$", voted_log, re.MULTILINE))
    log = run(
        f"fairseq-interactive {corpus} --user-dir fairseq_ghat --path {slim_file[0]} --beam 4 --cpu",
        STDIN="\n".join(sources.values()) + "\n",
    )
    expected = hypotheses(voted_log)
    assert [text for _, (_, text) in sorted(hypotheses(log).items())] == [expected[int(n)][1] for n in sources]


def test_fairseq_1403_slim_file_trains_on_and_resumes(corpus, slim_file, tmp_path):
    """fairseq-train builds from the command line, which says 8 heads (facebookresearch/fairseq#1403)."""
    options = f"--finetune-from-model {slim_file[0]}"
    first = train(corpus, tmp_path, options, "--max-epoch 1")
    assert "stage voted | heads 2,2,2,2,2,2" in first and "homogeneity" not in first
    resumed = train(corpus, tmp_path, options, "--max-epoch 2")
    assert "Loaded checkpoint" in resumed and "stage voted | heads 2,2,2,2,2,2" in resumed
    slim, trained = (read_checkpoint(p)["model"] for p in (slim_file[0], tmp_path / "checkpoint2.pt"))
    assert {k: v.shape for k, v in slim.items()} == {k: v.shape for k, v in trained.items()}
    assert not torch.equal(slim["encoder.layers.0.fc1.weight"], trained["encoder.layers.0.fc1.weight"])
    assert len(hypotheses(generated(corpus, tmp_path / "checkpoint2.pt"))) == 24


def test_slim_file_restores_at_its_epoch(corpus, slim_file, tmp_path):
    log = train(corpus, tmp_path, f"--restore-file {slim_file[0]} --max-epoch 5 --reset-optimizer")
    assert "begin training epoch 5" in log and "begin training epoch 4" not in log
    assert "stage voted | heads 2,2,2,2,2,2" in log


def test_stock_checkpoint_continues_as_a_grouped_model(corpus, tmp_path):
    stock = run(
        f"fairseq-train {corpus} --save-dir {tmp_path}/stock --task translation --arch transformer "
        f"--criterion label_smoothed_cross_entropy --max-epoch 1 {MODEL} {TRAIN}"
    )
    log = train(
        corpus,
        tmp_path / "grouped",
        f"--finetune-from-model {tmp_path}/stock/checkpoint1.pt --max-epoch 2 --vote-epoch 2",
    )
    assert "| INFO | fairseq_cli.train | model: TransformerModel" in stock
    assert "stage grouped" in log and "stage voted | heads 2,2,2,2,2,2" in log


def test_python_interface_aligns_where_a_call_asks_for_it(corpus, slim_file):
    """The options of the checkpoint, which it was prepared for inference with, do not ask."""
    slim = slim_file[0]
    interface = GHATTransformerModel.from_pretrained(str(slim.parent), slim.name, str(corpus))
    sentence = interface.encode("a3 a7 a1 a0")
    plain = interface.generate([sentence])[0][0]
    aligned = interface.generate([sentence], print_alignment="hard")[0][0]
    assert torch.equal(plain["tokens"], aligned["tokens"])
    weights = aligned["attention"]
    assert weights.shape == (len(sentence), len(aligned["tokens"]))
    torch.testing.assert_close(weights.sum(0), torch.ones(len(aligned["tokens"])))
    assert [target for _, target in aligned["alignment"]] == list(range(len(aligned["tokens"]) - 1))


def test_average_of_voted_checkpoints_generates(corpus, voted_run, tmp_path):
    save_dir, _ = voted_run
    printed = run(f"ghat-average {save_dir}/checkpoint3.pt {save_dir}/checkpoint4.pt --output {tmp_path}/mean.pt")
    assert "average of 2 checkpoints" in printed
    assert len(hypotheses(generated(corpus, tmp_path / "mean.pt"))) == 24
    assert "6 x 2 -> 6 x 2" in run(f"ghat-slim {tmp_path}/mean.pt {tmp_path}/slim.pt")


def test_fairseq_3299_child_process_imports_the_plugin_by_relative_user_dir(corpus):
    """facebookresearch/fairseq#3299: worker processes find model, criterion and task."""
    import multiprocessing

    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(_registered) == (True, True, True)


def _registered():
    from argparse import Namespace

    from fairseq import utils
    from fairseq.criterions import CRITERION_REGISTRY
    from fairseq.models import MODEL_REGISTRY
    from fairseq.tasks import TASK_REGISTRY

    utils.import_user_module(Namespace(user_dir=str(REPOSITORY / "fairseq_ghat")))
    return (
        "ghat_transformer" in MODEL_REGISTRY,
        "group_constrained_cross_entropy" in CRITERION_REGISTRY,
        "translation_v2s" in TASK_REGISTRY,
    )
