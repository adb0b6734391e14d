"""Several data-parallel workers against one: the same votes, the same sums, the same masks on every worker."""

import re
from contextlib import nullcontext

import pytest
import torch
from commands import train, train_on_workers
from fairseq.distributed import LegacyDistributedDataParallel, ModuleProxyWrapper
from fairseq.optim import FairseqOptimizer
from tiny_models import VotingTask, build_criterion, build_grouped, kept_part, padded_batch
from torch import multiprocessing
from torch.nn.parallel import DistributedDataParallel

from fairseq_ghat.checkpoints.files import read_checkpoint
from fairseq_ghat.criterions.group_constrained import GroupConstrainedCrossEntropy
from fairseq_ghat.modules.attention_layers import grouped_attentions, remove_heads
from fairseq_ghat.modules.removable_layers import KeptUnits
from fairseq_ghat.modules.wrappers import unwrapped
from fairseq_ghat.pruning.slimming import kept_heads_in_checkpoint
from fairseq_ghat.training.distributed import (
    add_up_over_workers,
    agree_on,
    check_same_units,
    renew_gradient_buffers,
)
from fairseq_ghat.training.optimizer_state import cut_optimizer, cuts_of


def masks_of(save_dir):
    return kept_heads_in_checkpoint(read_checkpoint(save_dir / "checkpoint_last.pt"))


def votes_in(log):
    return re.findall(r"vote: (\S+ keeps heads .*)", log)


@pytest.mark.parametrize("rules", ["", "--vote-by score --group-feature output", "--refit none"])
def test_vote_of_two_workers_is_that_of_one(corpus, tmp_path, rules):
    """Same weights, same data: every vote is the same, and so are the heads."""
    options = f"--vote-epoch 1 --max-epoch 1 --no-epoch-checkpoints {rules}"
    alone = train(corpus, tmp_path / "1", options)
    first, second = train_on_workers(corpus, tmp_path / "2", options)
    assert votes_in(first) == votes_in(alone) != []
    assert votes_in(second) == [], "one worker announces the vote"
    assert masks_of(tmp_path / "1") == masks_of(tmp_path / "2")


def test_gram_sums_of_two_workers_are_those_of_one(corpus, tmp_path):
    """An epoch without learning or dropout: the accumulated Gram matrices agree within 1e-5."""
    options = "--vote-tolerance 1e-9 --max-epoch 3 --lr 0 --warmup-updates 0 --dropout 0 --lr-scheduler fixed"
    train(corpus, tmp_path / "1", options)
    train_on_workers(corpus, tmp_path / "2", options)
    sums = []
    for workers in ("1", "2"):
        state = read_checkpoint(tmp_path / workers / "checkpoint2.pt")["task_state"]
        sums.append(state["voting_to_stay"]["history"]["sums"])
    for name, alone in sums[0].items():
        assert alone.abs().max() > 0
        torch.testing.assert_close(sums[1][name], alone, rtol=1e-5, atol=1e-5 * alone.abs().max().item())


def test_two_workers_train_vote_and_go_on(corpus, tmp_path):
    """Both workers hold the same losses, before the vote and after it; the run resumes on two workers."""
    options = "--vote-epoch 2 --group-objective classification --no-epoch-checkpoints"
    logs = train_on_workers(corpus, tmp_path, options, "--max-epoch 2")
    assert "stage voted | heads 2,2,2,2,2,2" in logs[0]
    before = masks_of(tmp_path)
    logs = train_on_workers(corpus, tmp_path, options, "--max-epoch 3")
    assert "Loaded checkpoint" in logs[0] and votes_in(logs[0]) == []
    assert "stage voted | heads 2,2,2,2,2,2" in logs[0]
    assert masks_of(tmp_path) == before


# ---------------------------------------------------------------------- in the library, without fairseq-train


def in_two_processes(function, tmp_path):
    """What function(rank) returns in each of two workers."""
    multiprocessing.spawn(as_worker, args=(function, str(tmp_path)), nprocs=2)
    return [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]


def as_worker(rank, function, folder):
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    torch.save(function(rank), f"{folder}/{rank}.pt")
    # A thread of gloo that still holds a tensor aborts an interpreter that ends.
    torch.distributed.destroy_process_group()


def differing_heads(rank):
    kept, results = {name: KeptUnits([0, 1], 8) for name in grouped_attentions(build_grouped())}, []
    for heads in ([1, 3], [1, 3 + rank]):
        kept["decoder.layers.1.self_attn"] = KeptUnits(heads, 8)
        try:
            check_same_units(kept)
            results.append("agree")
        except RuntimeError as error:
            results.append(str(error))
    total = torch.tensor([1.0 + rank], dtype=torch.float64)
    add_up_over_workers(total)
    weight = torch.nn.Parameter(torch.tensor([0.5, 1.0 + rank * 1e-3]))
    agree_on([weight])
    return {"results": results, "total": total, "weight": weight.data}


def test_workers_that_disagree_end_with_an_error_on_each(tmp_path):
    for found in in_two_processes(differing_heads, tmp_path):
        assert found["results"][0] == "agree"
        assert found["results"][1].startswith("the workers voted differently in decoder.layers.1.self_attn: ")
        assert found["total"].item() == 3
        assert found["weight"].tolist() == torch.tensor([0.5, 1.0005]).tolist()


LEFT = {layer: [2, 5] for layer in grouped_attentions(build_grouped())}
LEFT["decoder.layers.0.encoder_attn"] = []  # an attention without heads


def trained_over_the_vote(wrap, batches, vote):
    """Six updates of two batches a worker, the vote before the fourth as fairseq's trainer meets it."""
    model = build_grouped(dropout=0.0)
    wrapped = wrap(model)
    options = {"scale": "0.1", "group_objective": "classification"}
    criterion = build_criterion(GroupConstrainedCrossEntropy, VotingTask(model), **options)
    wrapped_criterion = wrap(criterion)
    parameters = [*wrapped.parameters(), *wrapped_criterion.parameters()]
    optimizer = FairseqOptimizer(None)
    optimizer._optimizer = torch.optim.SGD(parameters, lr=0.1, momentum=0.9, weight_decay=0.01)
    for step in range(6):
        optimizer.zero_grad()
        for number, seed in enumerate(batches):
            last = number == len(batches) - 1
            with nullcontext() if last or not hasattr(wrapped, "no_sync") else wrapped.no_sync():
                if step == 3 and number == 0:
                    vote(wrapped, optimizer)
                loss, size, _ = wrapped_criterion(wrapped, padded_batch(seed=seed))
                (loss / size / len(batches)).backward()
                del loss
        for module in (wrapped, wrapped_criterion):
            optimizer.all_reduce_grads(module)
        optimizer.step()
    return model


def removal(model, optimizer):
    remove_heads(unwrapped(model), LEFT)
    renew_gradient_buffers(model)
    cut_optimizer(optimizer, cuts_of(model, {name: KeptUnits(heads, 8) for name, heads in LEFT.items()}))


def masking(model, optimizer):
    for name, layer in grouped_attentions(model).items():
        layer.set_head_mask(torch.isin(torch.arange(8), torch.tensor(LEFT[name])), may_be_empty=True)


def default_ddp(rank):
    """torch's DistributedDataParallel, as --ddp-backend pytorch_ddp uses it, without find_unused_parameters."""
    wrap = lambda module: ModuleProxyWrapper(DistributedDataParallel(module))  # noqa: E731
    return trained_over_the_vote(wrap, [2 * rank, 2 * rank + 1], removal).state_dict()


def legacy_ddp(rank):
    wrap = lambda module: ModuleProxyWrapper(  # noqa: E731
        LegacyDistributedDataParallel(module, torch.distributed.group.WORLD)
    )
    return trained_over_the_vote(wrap, [2 * rank, 2 * rank + 1], removal).state_dict()


@pytest.mark.parametrize("worker", [default_ddp, legacy_ddp])
def test_fairseq_2389_workers_train_over_the_vote_as_one_that_masks(tmp_path, worker):
    """facebookresearch/fairseq#2389: no parameter is without gradient in any step, so no special flag is needed."""
    first, second = in_two_processes(worker, tmp_path)
    masked = trained_over_the_vote(lambda module: module, range(4), masking).state_dict()
    expected = kept_part(masked, LEFT)
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
        if name.endswith("head_mask"):
            assert value.tolist() == [2] * int(masked[name].count_nonzero())
        else:
            torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-5)
