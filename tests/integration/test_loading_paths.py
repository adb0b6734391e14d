"""Every way by which fairseq loads a checkpoint, with a voted, a slim and a stock one: what is loaded is what the file
holds."""

import re
import shutil

import pytest
import torch
from commands import GROUPED, MODEL, TRAIN, generated, hypotheses, same_weights, train, train_language_model
from fairseq import checkpoint_utils, options, tasks
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq.trainer import Trainer
from fairseq_cli.train import should_stop_early
from tiny_models import kept_part

from fairseq_ghat.checkpoints.dictionary_task import DictionaryTask
from fairseq_ghat.checkpoints.files import read_checkpoint, write_checkpoint
from fairseq_ghat.models.ghat_transformer import GHATTransformerModel
from fairseq_ghat.modules.attention_layers import heads_per_layer, is_voted
from fairseq_ghat.modules.grouped_attention import HEAD_MASK, VOTED_TO_STAY

KINDS = ("voted", "slim", "stock")
# What to name the file in the folder of the run (or beside it), and the options that load it.
WAYS = {
    "last": ("run/checkpoint_last.pt", "--reset-optimizer"),
    "restore": ("given.pt", "--restore-file {folder}/given.pt --reset-optimizer"),
    "restore by every worker": (
        "given.pt",
        "--restore-file {folder}/given.pt --load-checkpoint-on-all-dp-ranks --reset-optimizer",
    ),
    "finetune": ("given.pt", "--finetune-from-model {folder}/given.pt"),
    "once": ("given.pt", "--continue-once {folder}/given.pt --reset-optimizer"),
    "last of a suffix": ("run/checkpoint_lastB.pt", "--checkpoint-suffix B --reset-optimizer"),
    "restore of a suffix": ("givenB.pt", "--restore-file {folder}/given.pt --checkpoint-suffix B --reset-optimizer"),
}


@pytest.fixture
def paths(voted_run, slim_file, stock_checkpoint):
    return {"voted": voted_run[0] / "checkpoint4.pt", "slim": slim_file[0], "stock": stock_checkpoint}


@pytest.fixture(autouse=True)
def _best_score_and_patience_stay():
    """fairseq keeps them on functions."""
    before = [(function, dict(vars(function))) for function in (checkpoint_utils.save_checkpoint, should_stop_early)]
    yield
    for function, values in before:
        vars(function).clear()
        vars(function).update(values)


def trainer_with_checkpoint(data, save_dir, more):
    """fairseq-train up to the first update, in this process."""
    words = f"{data} --save-dir {save_dir} {GROUPED} {MODEL} {TRAIN} {more}".split()
    cfg = convert_namespace_to_omegaconf(options.parse_args_and_arch(options.get_training_parser(), words))
    task = tasks.setup_task(cfg.task)
    model = task.build_model(cfg.model)
    trainer = Trainer(cfg, task, model, task.build_criterion(cfg.criterion))
    checkpoint_utils.load_checkpoint(cfg.checkpoint, trainer)
    return trainer


def holds(model, state):
    """Whether a model has the weights of a checkpoint, which may not know of head masks."""
    loaded = model.state_dict()
    known = {name: weight for name, weight in loaded.items() if name in state or not name.endswith(HEAD_MASK)}
    return same_weights(known, state)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", WAYS)
def test_training_goes_on_from_the_file(corpus, paths, tmp_path, kind, way):
    name, more = WAYS[way]
    (tmp_path / "run").mkdir()
    shutil.copy(paths[kind], tmp_path / name)
    trainer = trainer_with_checkpoint(corpus, tmp_path / "run", more.format(folder=tmp_path))
    assert holds(trainer.get_model(), read_checkpoint(paths[kind])["model"])
    assert set(heads_per_layer(trainer.get_model()).values()) == {8 if kind == "stock" else 2}


def test_a_run_that_continues_once_has_the_optimizer_and_the_patience(corpus, paths, tmp_path):
    state = read_checkpoint(paths["voted"])
    trainer = trainer_with_checkpoint(corpus, tmp_path, f"--continue-once {paths['voted']}")
    assert trainer.get_num_updates() == state["optimizer_history"][-1]["num_updates"] > 0
    saved = state["last_optimizer_state"]["state"]
    restored = trainer.optimizer.state_dict()["state"]
    assert all(torch.equal(restored[n]["exp_avg"], saved[n]["exp_avg"]) for n in saved) and len(saved) > 10
    assert vars(should_stop_early) == state["task_state"]["voting_to_stay"]["patience"]


def loaded_for_inference(data, files, **more):
    """As fairseq-generate, -interactive, -validate and -eval-lm load them."""
    return checkpoint_utils.load_model_ensemble_and_task(
        [str(file) for file in files], arg_overrides={"data": str(data)}, **more
    )[0]


def test_an_ensemble_of_all_kinds(corpus, paths):
    models = loaded_for_inference(corpus, paths.values())
    for model, path in zip(models, paths.values()):
        assert holds(model, read_checkpoint(path)["model"])


@pytest.mark.parametrize("kind", KINDS)
def test_files_of_a_suffix_and_of_shards(corpus, paths, tmp_path, kind):
    for name in ("givenB.pt", "given_part0.pt", "given_part1.pt"):
        shutil.copy(paths[kind], tmp_path / name)
    state = read_checkpoint(paths[kind])["model"]
    for more in ({"suffix": "B"}, {"num_shards": 2, "strict": False}):
        (model,) = loaded_for_inference(corpus, [tmp_path / "given.pt"], **more)
        assert holds(model, state)


def test_a_language_model_that_joins_in_the_search(text, tmp_path):
    """As --lm-path loads it."""
    train_language_model(text, tmp_path, "--max-epoch 1 --vote-epoch 1 --no-epoch-checkpoints")
    path = tmp_path / "checkpoint_last.pt"
    (model,), _ = checkpoint_utils.load_model_ensemble([str(path)], arg_overrides={"data": str(text)}, task=None)
    assert holds(model, read_checkpoint(path)["model"]) and set(heads_per_layer(model).values()) == {2}


@pytest.fixture(scope="module")
def shadowed(corpus, tmp_path_factory):
    """A voted checkpoint with a shadow model."""
    folder = tmp_path_factory.mktemp("shadowed")
    train(corpus, folder, "--store-ema --ema-decay 0.9 --vote-epoch 2 --max-epoch 2 --no-epoch-checkpoints")
    return folder / "checkpoint_last.pt"


def test_a_shadow_model_is_loaded_in_the_place_of_the_model(corpus, shadowed, tmp_path):
    checkpoint_utils.save_ema_as_checkpoint(str(shadowed), str(tmp_path / "shadow.pt"))
    shadow = read_checkpoint(shadowed)["extra_state"]["ema"]
    (model,) = loaded_for_inference(corpus, [tmp_path / "shadow.pt"])
    for name, weight in model.state_dict().items():
        assert name.endswith(HEAD_MASK) or torch.equal(weight, shadow[name])
    assert set(heads_per_layer(model).values()) == {2}


def test_a_shadow_model_begins_as_another_one_unless_there_is_a_vote(corpus, shadowed, tmp_path):
    seeded = f"--finetune-from-model {shadowed} --store-ema --ema-seed-model {shadowed}"
    shadow = trainer_with_checkpoint(corpus, tmp_path, seeded).ema.get_model()
    state = read_checkpoint(shadowed)
    assert torch.equal(shadow.encoder.layers[0].fc1.weight, state["extra_state"]["ema"]["encoder.layers.0.fc1.weight"])
    with pytest.raises(ValueError, match=f"--ema-seed-model {shadowed}: not with a vote"):
        trainer_with_checkpoint(corpus, tmp_path, f"--store-ema --ema-seed-model {shadowed} --vote-epoch 2")


KEPT = {  # heads that stay in each attention of a model of 3 + 3 layers
    **{f"encoder.layers.{n}.self_attn": kept for n, kept in enumerate(([0, 4], [7], [1, 2, 3]))},
    **{f"decoder.layers.{n}.self_attn": kept for n, kept in enumerate(([6], [0, 1], [2, 5, 6, 7]))},
    **{f"decoder.layers.{n}.encoder_attn": kept for n, kept in enumerate(([3, 5], [4], [0, 1, 2]))},
}


def test_layers_to_keep_translate_as_those_of_the_masked_model(corpus, voted_run, tmp_path):
    """A slim model of other heads in each layer, against fairseq's own class with the other heads zero; from Python."""
    state = read_checkpoint(voted_run[0] / "checkpoint1.pt")
    of_model = state["cfg"]["model"]
    of_model.encoder_layers = of_model.decoder_layers = 3
    torch.manual_seed(1)
    model = GHATTransformerModel.build_model(of_model, DictionaryTask.of_weights(state["model"]))
    weights = {name: weight for name, weight in model.state_dict().items() if not name.endswith(HEAD_MASK)}

    of_model.kept_heads = KEPT
    masks = {f"{layer}.{HEAD_MASK}": torch.full((len(heads),), VOTED_TO_STAY) for layer, heads in KEPT.items()}
    write_checkpoint({**state, "model": {**kept_part(weights, KEPT), **masks}}, tmp_path / "slim.pt")
    for layer, heads in KEPT.items():
        for head in set(range(8)) - set(heads):
            weights[f"{layer}.out_proj.weight"][:, 4 * head : 4 * head + 4] = 0
    of_model._name = of_model.arch = "transformer"
    write_checkpoint({**state, "model": weights}, tmp_path / "stock.pt")

    # Of fairseq's own class all layers of the other side must be named.
    keep = "{'encoder_layers_to_keep':'0,1,2','decoder_layers_to_keep':'0,2'}"
    expected = hypotheses(generated(corpus, tmp_path / "stock.pt", f"--model-overrides {keep}"))
    log = generated(corpus, tmp_path / "slim.pt", "--model-overrides {'decoder_layers_to_keep':'0,2'}")
    ours = hypotheses(log)
    assert {number: text for number, (_, text) in ours.items()} == {n: text for n, (_, text) in expected.items()}
    scores = [[translated[number][0] for number in range(24)] for translated in (ours, expected)]
    assert scores[0] == pytest.approx(scores[1], abs=1e-3)

    interface = GHATTransformerModel.from_pretrained(
        str(tmp_path), "slim.pt", str(corpus), decoder_layers_to_keep="0,2"
    )
    sources = dict(re.findall(r"^S-(\d+)\t(.*)$", log, re.MULTILINE))
    assert interface.translate(list(sources.values()), beam=4) == [ours[int(number)][1] for number in sources]
    assert heads_per_layer(interface.models[0])["decoder.layers.1.self_attn"] == 4


def test_a_model_of_before_its_vote_loads_without_the_table_of_its_budget(voted_run, tmp_path):
    """Nothing votes there, and the table may have stayed on another machine."""
    state = read_checkpoint(voted_run[0] / "checkpoint2.pt")
    state["cfg"]["task"].update(budget="latency=0.8", latency_table=f"{tmp_path}/gone.json")
    torch.save(state, tmp_path / "unvoted.pt")
    (model,), _, _ = checkpoint_utils.load_model_ensemble_and_task([str(tmp_path / "unvoted.pt")])
    assert not is_voted(model)
