"""Options printed for a checkpoint build its model again."""

import shlex

import pytest
from commands import refusal_of
from fairseq import options
from test_stock_conversion import stock_state

from fairseq_ghat.checkpoints.files import write_checkpoint
from fairseq_ghat.cli.options import main, training_options

SHAPES = [
    {},
    {"encoder_attention_heads": 4, "decoder_attention_heads": 2, "activation_fn": "gelu"},
    {"encoder_normalize_before": True, "decoder_learned_pos": True, "encoder_layers": 3},
]


@pytest.mark.parametrize("as_args", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_parsed_by_fairseq_they_are_those_of_the_checkpoint(shape, as_args):
    state = stock_state(as_args, **shape)
    trained = vars(state["args"] if as_args else state["cfg"]["model"])
    parsed = options.parse_args_and_arch(options.get_training_parser(), ["data", *training_options(state)])
    assert parsed.arch == "ghat_transformer"
    for name in ("layers", "embed_dim", "ffn_embed_dim", "attention_heads", "normalize_before", "learned_pos"):
        for side in ("encoder", "decoder"):
            assert getattr(parsed, f"{side}_{name}") == trained[f"{side}_{name}"], name
    for name in ("activation_fn", "share_all_embeddings", "dropout", "max_source_positions", "max_target_positions"):
        assert getattr(parsed, name) == trained[name]


def test_command_prints_them_and_refuses_other_models(tmp_path, capsys):
    write_checkpoint(stock_state(), tmp_path / "stock.pt")
    assert main([str(tmp_path / "stock.pt")]) == 0
    assert shlex.split(capsys.readouterr().out) == training_options(stock_state())
    state = stock_state()
    state["args"].arch = "lstm"
    write_checkpoint(state, tmp_path / "other.pt")
    assert "other.pt: its model is lstm" in refusal_of(main, [tmp_path / "other.pt"], capsys)
