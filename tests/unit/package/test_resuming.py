"""Which checkpoint fairseq-train will load, and what a slim one says of its heads."""

import argparse

import pytest
import torch
from commands import same_weights
from tiny_models import TinyTask, build_grouped, build_stock, padded_batch, tiny_args

from fairseq_ghat.checkpoints.file_to_restore import file_to_restore
from fairseq_ghat.checkpoints.files import CheckpointError, write_checkpoint
from fairseq_ghat.checkpoints.model_options import KEPT_HEADS, flat_options
from fairseq_ghat.checkpoints.resuming import (
    check_tied_weights,
    explain_mismatch,
    state_to_restore,
    task_state_to_resume,
)
from fairseq_ghat.models.ghat_transformer import GHATTransformerModel
from fairseq_ghat.modules.attention_layers import grouped_attentions, heads_per_layer, remove_heads
from fairseq_ghat.modules.feed_forward import remove_neurons


def command_line(tmp_path, restore_file="checkpoint_last.pt", **options):
    return argparse.Namespace(save_dir=str(tmp_path), restore_file=restore_file, **options)


def saved(path, **options):
    write_checkpoint({"model": {"w": torch.zeros(1)}, "args": argparse.Namespace(**options)}, path)
    return str(path)


# What exists, what is asked for, and the file that fairseq then loads; "+" where the run goes on as it was saved, "*"
# if only the best score does, "@" if only the position does.
CHOICES = [
    ("", {}, None),
    ("checkpoint_last", {}, "checkpoint_last+"),
    ("start", {"finetune_from_model": "start"}, "start"),
    ("start checkpoint_last", {"finetune_from_model": "start"}, "checkpoint_last+"),
    ("start", {"continue_once": "start"}, "start+"),
    ("start checkpoint_last", {"continue_once": "start"}, "checkpoint_last+"),
    ("start other", {"continue_once": "start", "finetune_from_model": "other"}, "start+"),
    ("start checkpoint_last", {"restore_file": "start"}, "start+"),
    ("start", {"restore_file": "start", "reset_dataloader": True}, "start*"),
    ("start", {"continue_once": "start", "reset_meters": True}, "start@"),
    ("start", {"continue_once": "start", "reset_optimizer": True}, "start@"),
    ("checkpoint_last checkpoint_lastB", {"checkpoint_suffix": "B"}, "checkpoint_lastB+"),
    ("checkpoint_last", {"checkpoint_suffix": "B"}, None),
    ("start startB", {"restore_file": "start", "checkpoint_suffix": "B"}, "startB+"),
    ("start startB", {"continue_once": "start", "checkpoint_suffix": "B"}, "start+"),
]


@pytest.mark.parametrize("existing,options,expected", CHOICES)
def test_the_file_that_fairseq_loads(tmp_path, existing, options, expected):
    files = {name: saved(tmp_path / f"{name}.pt", arch="x") for name in existing.split()}
    here = command_line(tmp_path)
    vars(here).update({name: files.get(value, value) for name, value in options.items()})
    chosen = file_to_restore(here)
    if expected is None:
        assert chosen is None
    else:
        assert chosen.path == files[expected.rstrip("+*@")]
        assert (chosen.keeps_best, chosen.keeps_position) == (expected[-1] in "+*", expected[-1] in "+@")


def test_options_that_do_not_go_together_are_refused_by_fairseq(tmp_path):
    start = saved(tmp_path / "start.pt", arch="x")
    with pytest.raises(ValueError, match="--finetune-from-model and --restore-file .* can not be specified together"):
        file_to_restore(command_line(tmp_path, restore_file=start, finetune_from_model=start))


def test_outside_training_there_is_nothing_to_restore():
    assert file_to_restore(argparse.Namespace()) is None


@pytest.mark.parametrize("flag", ["restore_file", "finetune_from_model", "continue_once"])
def test_missing_file_is_named_with_its_flag(tmp_path, flag):
    with pytest.raises(CheckpointError, match=f"--{flag.replace('_', '-')} gone.pt: no such file"):
        file_to_restore(command_line(tmp_path, **{flag: "gone.pt"}))


def test_a_file_that_the_vote_set_aside_is_named(tmp_path):
    """A run that began with its own best checkpoint, and was killed before it had another."""
    (tmp_path / "before_vote.checkpoint_best.pt").touch()
    named = str(tmp_path / "checkpoint_best.pt")
    with pytest.raises(CheckpointError, match="no such file; the vote.*: give .*/before_vote.checkpoint_best.pt"):
        file_to_restore(command_line(tmp_path, restore_file=named))


def test_names_that_only_fairseq_can_resolve(tmp_path, monkeypatch):
    """As iopath's store://; fairseq asks it for a file of this machine."""

    class Store:
        exists = isfile = staticmethod(lambda path: path == "store://start.pt")
        get_local_path = staticmethod(lambda path: path.replace("store:/", str(tmp_path)))

    monkeypatch.setattr("fairseq.file_io.IOPathManager", Store)
    saved(tmp_path / "start.pt", arch="x")
    assert state_to_restore(command_line(tmp_path, finetune_from_model="store://start.pt"))["args"].arch == "x"


def test_feed_forward_layers_are_as_narrow_as_in_the_checkpoint_and_never_wider(tmp_path):
    path = saved(tmp_path / "start.pt", arch="ghat_transformer", encoder_ffn_embed_dim=96, decoder_ffn_embed_dim=160)
    options = vars(tiny_args(encoder_ffn_embed_dim=128, decoder_ffn_embed_dim=128))
    here = command_line(tmp_path, path, **options)
    GHATTransformerModel.build_model(here, TinyTask())
    assert (here.encoder_ffn_embed_dim, here.decoder_ffn_embed_dim) == (96, 128)


def test_heads_of_slim_full_and_stock_checkpoints(tmp_path):
    kept = {"encoder.layers.0.self_attn": [1, 5]}
    for options, expected in (({"kept_heads": kept}, kept), ({"kept_heads": None}, None), ({"arch": "stock"}, None)):
        saved(tmp_path / "checkpoint_last.pt", **options)
        state = state_to_restore(command_line(tmp_path))
        assert getattr(flat_options(state), KEPT_HEADS, None) == expected


@pytest.mark.parametrize(
    "name,trained,asked",
    [("encoder_attention_heads", 4, 8), ("activation_fn", "gelu", "relu"), ("no_scale_embedding", True, False)],
)
def test_options_that_no_shape_shows_must_be_those_of_the_checkpoint(tmp_path, name, trained, asked):
    """4 heads of 16 features have weights of the same shapes as 8 of 8."""
    saved(tmp_path / "checkpoint_last.pt", **{name: trained})
    here = command_line(tmp_path)
    setattr(here, name, asked)
    message = f"--{name.replace('_', '-')}: {asked} here, but .*checkpoint_last.pt was trained with {trained};"
    with pytest.raises(CheckpointError, match=message):
        state_to_restore(here)
    setattr(here, name, trained)
    assert set(state_to_restore(here)) == {"model", "args"}


def test_a_stock_checkpoint_that_would_compute_otherwise_is_not_gone_on_from(tmp_path):
    """The shapes fit whether or not self-attention sees the source too."""
    sizes = {"share_all_embeddings": True, "no_cross_attention": True}
    trained = tiny_args(**sizes, cross_self_attention=True)
    trained.arch = "transformer"
    state = {"model": build_stock(**sizes, cross_self_attention=True).state_dict(), "args": trained}
    write_checkpoint(state, tmp_path / "checkpoint_last.pt")

    def build(**options):
        args = tiny_args(**sizes, **options, **vars(command_line(tmp_path)))
        return GHATTransformerModel.build_model(args, TinyTask())

    with pytest.raises(CheckpointError, match="differs by .* may differ: cross_self_attention False for True"):
        build(cross_self_attention=False)
    torch.manual_seed(3)
    model = build(cross_self_attention=True)
    torch.manual_seed(3)
    assert same_weights(model.state_dict(), build_grouped_at(3, **sizes, cross_self_attention=True))


def build_grouped_at(seed, **options):
    """Initial weights by name, of a model without a checkpoint to go on from."""
    torch.manual_seed(seed)
    return GHATTransformerModel.build_model(tiny_args(**options), TinyTask()).state_dict()


def test_weights_that_differ_are_not_loaded_into_one(caplog):
    """Tied as asked, separate as trained: the shapes fit. The other way round nothing is lost."""
    separate, tied = build_grouped(share_all_embeddings=False), build_grouped(share_all_embeddings=True)
    message = "encoder.embed_tokens.weight and decoder.embed_tokens.weight are one weight here and differ"
    with pytest.raises(CheckpointError, match=message):
        tied.load_state_dict(separate.state_dict())
    assert message in caplog.text
    assert not torch.equal(tied.encoder.embed_tokens.weight, separate.decoder.embed_tokens.weight)
    separate.load_state_dict(tied.state_dict())
    assert same_weights(separate.state_dict(), tied.state_dict())


def test_a_weight_is_not_compared_with_itself(monkeypatch):
    """A shadow model (--store-ema) loads its state at each update: on a GPU each comparison waits for it."""
    model = build_grouped()
    monkeypatch.setattr(torch, "allclose", None)
    model.load_state_dict(model.state_dict())


def test_weights_of_a_training_that_diverged_are_no_two_weights():
    """NaN is not equal to itself."""
    model = build_grouped(share_all_embeddings=True)
    state = {name: torch.full_like(weight, torch.nan) for name, weight in model.state_dict().items()}
    check_tied_weights(model, state)
    with pytest.raises(CheckpointError, match="are one weight here and differ"):
        check_tied_weights(model, {**state, "decoder.embed_tokens.weight": model.decoder.embed_tokens.weight})


KEPT_OF_THREE = {  # heads that stay in each attention of a model of 3 + 3 layers
    **{f"encoder.layers.{n}.self_attn": kept for n, kept in enumerate(([0, 4], [7], [1, 2, 3]))},
    **{f"decoder.layers.{n}.self_attn": kept for n, kept in enumerate(([6], [0, 1], [2, 5, 6, 7]))},
    **{f"decoder.layers.{n}.encoder_attn": kept for n, kept in enumerate(([3, 5], [4], [0, 1, 2]))},
}

NEURONS_OF_THREE = {"encoder.layers.1": 20, "decoder.layers.2": 40}


@torch.no_grad()
@pytest.mark.parametrize("encoder,decoder", [(None, "0,2"), ("1,2", "0,2"), ("2", None), (None, None)])
def test_layers_to_keep_bring_their_heads_and_neurons(encoder, decoder):
    """The layers of a slim model, against those of the model with all of them where the others are masked."""
    sizes = {"encoder_layers": 3, "decoder_layers": 3, "arch": "ghat_transformer"}
    masked = build_grouped(**sizes)
    state = masked.state_dict()
    for name, layer in grouped_attentions(masked).items():
        layer.set_head_mask(torch.tensor([head in KEPT_OF_THREE[name] for head in range(8)]))
    for name, count in NEURONS_OF_THREE.items():
        masked.get_submodule(name).fc2.weight[:, count:] = 0
    for side, kept in (("encoder", encoder), ("decoder", decoder)):
        stack = getattr(masked, side)
        stack.layers = torch.nn.ModuleList(stack.layers[int(number)] for number in (kept or "0,1,2").split(","))

    slim = build_grouped(**sizes)
    slim.load_state_dict(state)
    remove_heads(slim, KEPT_OF_THREE)
    remove_neurons(slim, NEURONS_OF_THREE)
    options = tiny_args(**sizes, encoder_layers_to_keep=encoder, decoder_layers_to_keep=decoder)
    options.kept_heads = KEPT_OF_THREE
    options.kept_neurons = {name: [count, 0] for name, count in NEURONS_OF_THREE.items()}
    model = GHATTransformerModel.build_model(options, TinyTask())
    model.load_state_dict(slim.state_dict(), model_cfg=options)
    batch = padded_batch()["net_input"]
    torch.testing.assert_close(model.eval()(**batch)[0], masked.eval()(**batch)[0], rtol=1e-5, atol=1e-5)

    again = GHATTransformerModel.build_model(options, TinyTask())  # as from a checkpoint that is saved now
    again.load_state_dict(model.state_dict(), model_cfg=options)
    assert heads_per_layer(again) == heads_per_layer(masked)


def test_mismatch_names_missing_layers_and_counts_of_heads_and_neurons():
    model = build_grouped()
    state = model.state_dict()
    del state["decoder.layers.1.encoder_attn.q_proj.weight"]
    state["encoder.layers.0.self_attn.q_proj.weight"] = torch.zeros(24, 64)
    state["decoder.layers.0.fc2.weight"] = torch.zeros(64, 100)
    lines = explain_mismatch(model, state)
    assert len(lines) == 3
    assert "encoder.layers.0.self_attn: the model expects 8 heads of 8 features" in lines[0]
    assert "the checkpoint holds 3" in lines[0]
    assert lines[1].endswith("has 8 heads, the checkpoint has no such layer")
    assert lines[2] == "decoder.layers.0: the model expects 128 neurons, the checkpoint holds 100"


def test_matching_state_needs_no_words():
    assert explain_mismatch(build_grouped(), build_grouped().state_dict()) == []


def run_folder(tmp_path, **updates):
    """Whole checkpoints of a run, named checkpoint<key>.pt, with the number of updates of each."""
    for name, count in updates.items():
        state = {"model": {"w": torch.zeros(1)}, "args": argparse.Namespace(arch="x"), "task_state": {"mine": count}}
        write_checkpoint({**state, "optimizer_history": [{"num_updates": count}]}, tmp_path / f"checkpoint{name}.pt")


def test_fairseq_2684_truncated_last_checkpoint_names_the_newest_whole_one(tmp_path):
    """facebookresearch/fairseq#2684: killed while saving."""
    run_folder(tmp_path, _best=300, _1_200=200, _last=400)
    last = tmp_path / "checkpoint_last.pt"
    last.write_bytes(last.read_bytes()[:-100])
    (tmp_path / "checkpoint9.pt").write_bytes(b"half")
    message = (
        f"{last}: cannot be read .*Newest whole checkpoint: `cp {tmp_path}/checkpoint_best.pt {last}` goes on from it"
    )
    with pytest.raises(CheckpointError, match=message):
        state_to_restore(command_line(tmp_path))


def test_truncated_checkpoint_without_a_whole_one_beside_it(tmp_path):
    (tmp_path / "checkpoint_last.pt").write_bytes(b"half")
    with pytest.raises(CheckpointError, match="cannot be read") as caught:
        state_to_restore(command_line(tmp_path))
    assert "Newest whole" not in str(caught.value)


def test_state_of_the_task_comes_from_the_file_that_is_loaded(tmp_path):
    assert task_state_to_resume(command_line(tmp_path)) == ({}, None)
    run_folder(tmp_path, _last=7)
    state, file = task_state_to_resume(command_line(tmp_path))
    assert state == {"mine": 7} and file.path == str(tmp_path / "checkpoint_last.pt")
