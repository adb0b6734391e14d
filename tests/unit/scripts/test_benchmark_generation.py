"""The generation benchmark compares like with like: same weights, same sources, as many steps."""

import json

import benchmark_generation as benchmark
import pytest
import torch
from commands import refusal_of

from fairseq_ghat.modules.attention_layers import heads_per_layer

TINY = "--width 16 --layers 1 --heads 4 --vocabulary 50 --length 6 --threads 1 --cpu --rounds 2 --warm-up 0".split()
SIDES = ["fairseq's transformer", "ours", "slim"]


def test_every_side_takes_the_steps_asked_for_and_ours_translates_as_fairseqs():
    args = benchmark.parse([*TINY, "--precisions", "float32", "--sentences", "3", "--tokens", "4", "7"])
    models, combinations = [], []
    prepared = benchmark.prepared

    def remember(*given):
        models.append(prepared(*given))
        return models[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(benchmark, "prepared", remember)
        for precision, sentences, tokens, runs in benchmark.measure(args, torch.device("cpu"), lambda text: None):
            combinations.append((precision, sentences, tokens))
            assert list(runs) == SIDES
            for generation in (generation for generations in runs.values() for generation in generations):
                # The tokens and their end, of each sentence.
                assert (generation.sentences, generation.tokens, generation.steps) == (3, 3 * (tokens + 1), tokens + 1)
    assert combinations == [("float32", 3, 4), ("float32", 3, 7)]
    (sides,) = models
    (batch,) = benchmark.make_batches(benchmark.sizes_of(args, 3), torch.device("cpu"), count=1)
    stock, ours, slim = (sides[name](**batch["net_input"])[0] for name in SIDES)
    torch.testing.assert_close(ours, stock, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(slim, stock, atol=1e-2) and set(heads_per_layer(sides["slim"]).values()) == {2}


def test_prints_every_combination_as_a_table_and_for_programs(capsys):
    command = [*TINY, "--precisions", "float32", "bfloat16", "--sentences", "1", "--tokens", "3"]
    assert benchmark.main(command) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("CPU, 1 threads") and "1+1 layers, width 16, 4 heads, slim with 2" in printed
    assert [line.split("|")[1:4] for line in printed.splitlines()[4:]] == [
        [" float32   ", " 1         ", " 3      "],
        [" bfloat16  ", " 1         ", " 3      "],
    ]
    assert benchmark.main([*command, "--json"]) == 0
    runs = json.loads(capsys.readouterr().out)["runs"]
    assert [run["precision"] for run in runs] == ["float32", "bfloat16"]
    for run in runs:
        assert run["fairseq's transformer"]["speed"] == {"median": 1.0, "low": 1.0, "high": 1.0}
        assert all(run[name]["sentences_per_second"]["low"] > 0 for name in SIDES)


@pytest.mark.parametrize(
    "flags,message",
    [
        (["--keep", "4"], "--keep 4: allowed is 1 to 3"),
        (["--width", "18"], "--width 18: allowed is a multiple"),
        (["--sentences", "0"], "--sentences 0: allowed is 1 or more"),
        (["--tokens", "3", "0"], "--tokens 0: allowed is 1 or more"),
        (["--precisions", "int8"], "invalid choice: 'int8'"),
    ],
)
def test_wrong_sizes_are_refused(flags, message, capsys):
    assert message in refusal_of(benchmark.parse, [*TINY, *flags], capsys)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_on_a_gpu(capsys):
    assert benchmark.main([*(word for word in TINY if word != "--cpu"), "--sentences", "2", "--tokens", "3"]) == 0
    assert torch.cuda.get_device_name() in capsys.readouterr().out
