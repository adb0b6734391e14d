"""--bf16 is no wish for a TPU, as fairseq's own parser takes it; --tpu is."""

import sys

import pytest
from fairseq import options
from fairseq.dataclass.utils import convert_namespace_to_omegaconf

COMMANDS = {
    "translation": "data --task translation_v2s --arch ghat_transformer_tiny",
    "big": "data --task translation_v2s --arch ghat_transformer_wmt_en_de_big",
    "language model": "data --task language_modeling_v2s --arch ghat_transformer_lm_tiny",
    "adaptive": "data --task language_modeling_v2s --arch ghat_transformer_lm_wiki103",
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize(
    "flags,precision,tpu",
    [
        ("--bf16", (True, False), False),
        ("--memory-efficient-bf16", (True, True), False),
        ("--bf16 --tpu", (True, False), True),
        ("--memory-efficient-bf16 --tpu", (True, True), True),
        ("--tpu", (False, False), True),
        ("", (False, False), False),
    ],
)
def test_what_fairseq_trains_on(command, flags, precision, tpu, monkeypatch):
    """Before fairseq sets up workers, and so for all that it hands the option to."""
    monkeypatch.setattr(sys, "argv", ["fairseq-train", *f"{command} --optimizer adam {flags}".split()])
    cfg = convert_namespace_to_omegaconf(options.parse_args_and_arch(options.get_training_parser()))
    assert (cfg.common.bf16, cfg.common.memory_efficient_bf16) == precision
    assert cfg.common.tpu == cfg.distributed_training.tpu == cfg.optimizer.tpu == tpu
