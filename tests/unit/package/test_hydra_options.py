"""Options of fairseq-hydra-train become those of fairseq-train."""

from argparse import Namespace

import pytest
from fairseq import models, options
from omegaconf import OmegaConf
from tiny_models import TinyTask

from fairseq_ghat.checkpoints.model_options import KEPT_HEADS
from fairseq_ghat.training.hydra_options import as_command_line


def run_of(model, **parts):
    return OmegaConf.create(
        {"task": {"_name": "translation"}, "checkpoint": {"save_dir": "none"}, **parts, "model": model}
    )


def by_fairseq_train(arch, flags):
    parser = options.get_training_parser()
    return vars(options.parse_args_and_arch(parser, ["data", "--arch", arch, *flags.split()]))


@pytest.mark.parametrize(
    "arch,model,flags",
    [
        ("ghat_transformer", {}, ""),
        (
            "ghat_transformer_tiny",
            {"encoder": {"layers": 3, "layerdrop": 0.5}, "decoder_attention_heads": 4, "group_feature": "output"},
            "--encoder-layers 3 --encoder-layerdrop 0.5 --decoder-attention-heads 4 --group-feature output",
        ),
        (
            "ghat_transformer_lite",
            {"quant_noise": {"pq_block_size": 4}, "adaptive_softmax_cutoff": [10, 20], "dropout": None},
            "--quant-noise-pq-block-size 4 --adaptive-softmax-cutoff 10,20",
        ),
        (
            "ghat_transformer_lm_wiki103",
            {"decoder": {"layers": 2}, "adaptive_softmax_cutoff": [10, 20], "head_groups": "4"},
            "--task language_modeling --decoder-layers 2 --adaptive-softmax-cutoff 10,20 --head-groups 4",
        ),
    ],
)
def test_same_options_as_the_same_flags_give(arch, model, flags):
    found = vars(as_command_line(run_of({"_name": arch, **model}).model))
    expected = by_fairseq_train(arch, flags)
    assert found.pop("_name") == arch and found.pop("save_dir") == "none"
    assert found == {name: expected[name] for name in found}
    assert {"encoder_layers", "decoder_layers"} & set(found) and "head_groups" in found


def test_a_switch_may_be_off_where_the_arch_has_it_on():
    given = run_of({"_name": "ghat_transformer_lite", "share_decoder_input_output_embed": False}).model
    assert as_command_line(given).share_decoder_input_output_embed is False


def test_the_run_holds_the_flat_options_from_then_on():
    run = run_of({"_name": "ghat_transformer_tiny", "encoder": {"layers": 1}}, common={"seed": 3, "_name": None})
    model = models.build_model(run.model, TinyTask())
    assert isinstance(run.model, Namespace)
    assert run.model.encoder_layers == len(model.encoder.layers) == 1
    assert (run.model.seed, run.model.save_dir, run.model.arch) == (3, "none", "ghat_transformer_tiny")
    assert as_command_line(run.model) is run.model


def test_a_checkpoint_brings_its_own_options():
    run = run_of(
        {"_name": "ghat_transformer_tiny", "encoder_layers": 1, KEPT_HEADS: {"encoder.layers.0.self_attn": [2]}}
    )
    options = as_command_line(run.model)
    assert options.kept_heads == {"encoder.layers.0.self_attn": [2]} and not hasattr(options, "save_dir")


@pytest.mark.parametrize(
    "model,message",
    [
        (
            {"head_grops": 4},
            r"model.head_grops: ghat_transformer has no such option; allowed are those of fairseq's model",
        ),
        ({"encoder": {"heads": 4}}, "model.encoder.heads: ghat_transformer has no such option"),
        ({"encoder": {"layers": 4}, "encoder_layers": 2}, "model.encoder_layers and model.encoder.layers are the same"),
        ({"head_groups": "two"}, "argument --head-groups: invalid int value: 'two'"),
        ({"group_feature": "key"}, "argument --group-feature: invalid choice: 'key'"),
        ({"share_all_embeddings": "yes"}, "argument --share-all-embeddings: ignored explicit argument 'yes'"),
    ],
)
def test_what_fairseq_train_would_not_take_is_refused_by_name(model, message):
    with pytest.raises(ValueError, match=message):
        as_command_line(run_of({"_name": "ghat_transformer", **model}).model)


def test_fairseq_own_models_are_left_to_fairseq():
    given = run_of({"_name": "transformer_lm", "decoder_layers": 2}).model
    assert as_command_line(given) is given
