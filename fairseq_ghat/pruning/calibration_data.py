"""The batches of a split of fairseq's data, and the task's loss on them, as a calibration takes them."""

from functools import partial
from typing import Any, Iterator, Optional, Tuple

from fairseq import utils
from fairseq.criterions.adaptive_loss import AdaptiveLoss
from fairseq.criterions.cross_entropy import CrossEntropyCriterion
from fairseq.distributed import utils as distributed_utils
from fairseq.logging import progress_bar
from fairseq.tasks import FairseqTask
from torch import Tensor, nn

from fairseq_ghat.pruning.calibration import Calibration, Loss, Reduce, Sample


def calibration_of(
    task: FairseqTask,
    model: nn.Module,
    cfg: Any,
    data: str,
    subset: str,
    epoch: int = 1,
    reduce: Optional[Reduce] = None,
) -> Calibration:
    """A model and this worker's share of a split, on the model's device.

    Args:
        task: has the split loaded; after each pass the loaded shard is there again.
        model: with grouped attention, not inside a wrapper.
        cfg: options of the vote, of batches and progress as in fairseq (training/schedule: VotingToStayConfig), and
            the name of the split that is in shards.
        data: folder of the data, or of its shards.
        subset: name of the split.
        epoch: shown in the progress bar.
        reduce: sums a tensor over all workers, in place; not called by a worker that is alone.
    """
    batches = _SplitBatches(task, model, cfg, data, subset, epoch)
    device = next(model.parameters()).device
    return Calibration(
        model,
        batches.once,
        batches.count,
        task.target_dictionary.pad(),
        to_device=partial(utils.move_to_cuda, device=device) if device.type == "cuda" else lambda sample: sample,
        limit=cfg.select_batches,
        loss=token_loss(task),
        reduce=reduce if batches.workers > 1 else None,
    )


class _SplitBatches:
    """This worker's share of the batches of a split; of sharded training data, the batches of all shards."""

    def __init__(self, task: FairseqTask, model: Any, cfg: Any, data: str, subset: str, epoch: int):
        self._task, self._model, self._cfg, self._subset, self._epoch = task, model, cfg, subset, epoch
        # Of another split fairseq has the first folder's only.
        self._shards = len(utils.split_paths(data)) if subset == cfg.train_subset else 1
        self.workers = distributed_utils.get_data_parallel_world_size()

    def once(self, shuffle: bool) -> Iterator[Sample]:
        """All batches once behind a progress bar, in fairseq's order (by length) or shuffled by the seed."""
        cfg = self._cfg
        for iterator in self._iterators(shuffle):
            progress = progress_bar.progress_bar(
                iterator,
                log_format=cfg.log_format,
                log_interval=cfg.log_interval,
                epoch=self._epoch,
                prefix="vote",
                default_log_format="simple" if cfg.no_progress_bar else "tqdm",
            )
            for seen, batch in enumerate(progress, start=1):
                yield batch
                progress.log({"batches": seen}, tag="vote", step=seen)

    def count(self) -> int:
        """How many batches `once` gives."""
        return sum(len(iterator) for iterator in self._iterators(shuffle=False))

    def _iterators(self, shuffle: bool) -> Iterator[Any]:
        """One iterator for each shard, which is loaded while it is in use."""
        loaded = self._task.datasets[self._subset]
        try:
            for shard in range(1, self._shards + 1):
                if self._shards > 1:
                    self._task.load_dataset(self._subset, epoch=shard, combine=True)
                yield self._iterator(shuffle)
        finally:
            self._task.datasets[self._subset] = loaded

    def _iterator(self, shuffle: bool) -> Any:
        task, cfg = self._task, self._cfg
        # fairseq's own method: tasks may have another for the iterator of training, which must not be touched, since
        # its position is part of the checkpoint.
        return FairseqTask.get_batch_iterator(
            task,
            dataset=task.dataset(self._subset),
            max_tokens=cfg.max_tokens,
            max_sentences=cfg.batch_size,
            max_positions=utils.resolve_max_positions(
                task.max_positions(), self._model.max_positions(), cfg.max_tokens
            ),
            ignore_invalid_inputs=True,
            required_batch_size_multiple=cfg.required_batch_size_multiple,
            seed=cfg.seed,
            num_shards=self.workers,
            shard_id=distributed_utils.get_data_parallel_rank() if self.workers > 1 else 0,
            num_workers=cfg.num_workers,
            epoch=1,
            disable_iterator_cache=True,
        ).next_epoch_itr(shuffle=shuffle)


def token_loss(task: FairseqTask) -> Loss:
    """From a model and a sample: summed negative log-likelihood of the target tokens, in nats, and their number.

    Without smoothing and without the group constraint. An adaptive softmax has a criterion of its own, which need not
    compute every word's probability.
    """
    plain = CrossEntropyCriterion(task, sentence_avg=False)
    adaptive = AdaptiveLoss(task, sentence_avg=False)

    def loss(model: nn.Module, sample: Sample) -> Tuple[Tensor, int]:
        criterion = adaptive if getattr(model.decoder, "adaptive_softmax", None) is not None else plain
        value, tokens, _ = criterion(model, sample)
        return value, tokens

    return loss
