"""The training benchmark compares like with like: same weights, same batches, only the heads computed differ."""

import argparse

import benchmark_training as benchmark
import pytest
import torch
from fairseq.criterions.label_smoothed_cross_entropy import LabelSmoothedCrossEntropyCriterion
from fairseq.models.transformer import TransformerModel

from fairseq_ghat.models.ghat_transformer import GHATTransformerModel
from fairseq_ghat.pruning.head_masks import heads_per_layer

TINY = "--width 32 --layers 1 --heads 4 --tokens 64 --length 8 --vocabulary 50 --threads 1 --cpu".split()


def test_sides_have_the_same_weights_and_the_same_loss_before_the_vote():
    args = benchmark.parse(TINY)
    task, device = benchmark.Task(args.vocabulary), torch.device("cpu")
    (batch, *_) = benchmark.batches(args, device)
    assert batch["ntokens"] == 64 and batch["target"].shape == (8, 8)
    criterion = LabelSmoothedCrossEntropyCriterion(task, False, 0.1)
    ours, stock = (benchmark.build(kind, args, task).eval() for kind in (GHATTransformerModel, TransformerModel))
    assert criterion(ours, batch)[0].item() == pytest.approx(criterion(stock, batch)[0].item(), rel=1e-6)
    assert set(heads_per_layer(benchmark.voted(ours, 2)).values()) == {2}


def test_prints_the_median_and_ratio_of_every_side(capsys):
    assert benchmark.main([*TINY, "--rounds", "3", "--warm-up", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "CPU, 1 threads; 1+1 layers, width 32, 4 heads, 2 stay" in lines[0]
    assert [line[:22].strip() for line in lines[1:]] == ["stage 1", "stage 2", "fairseq's transformer"]
    assert "1.000 of stage 1 (quartiles 1.000 to 1.000)" in lines[1]
    assert all("ms per update" in line for line in lines[1:])


@pytest.mark.parametrize(
    "flags,message",
    [(["--groups", "4"], "--groups 4: allowed is 1 to 3"), (["--width", "30"], "--width 30: allowed is a multiple")],
)
def test_wrong_shapes_are_refused(flags, message, capsys):
    with pytest.raises(SystemExit):
        benchmark.parse([*TINY, *flags])
    assert message in capsys.readouterr().err


def test_one_update_changes_the_weights():
    args = benchmark.parse(TINY)
    task, device = benchmark.Task(args.vocabulary), torch.device("cpu")
    model = benchmark.build(GHATTransformerModel, args, task)
    before = [parameter.clone() for parameter in model.parameters()]
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    criterion = LabelSmoothedCrossEntropyCriterion(
        argparse.Namespace(target_dictionary=task.target_dictionary), False, 0.1
    )
    assert benchmark.timed_update(model, criterion, optimizer, benchmark.batches(args, device)[0], device) > 0
    assert all(not torch.equal(old, new) for old, new in zip(before, model.parameters()))
