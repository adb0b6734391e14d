"""The data of a vote: passes over a whole split, in the batches of training, behind a progress bar."""

from typing import Dict, Iterator

from fairseq import utils
from fairseq.criterions.adaptive_loss import AdaptiveLoss
from fairseq.criterions.cross_entropy import CrossEntropyCriterion
from fairseq.logging import progress_bar

from fairseq_ghat.pruning.calibration import Loss, Passes
from fairseq_ghat.training.distributed import add_up_over_workers, share_of_data


def voting_passes(task, model, cfg, data: str, subset: str, epoch: int) -> Passes:
    """What a vote looks at: this worker's share of a split, on the model's device, and the task's loss.

    Args: as VotingBatches.
    """
    batches = VotingBatches(task, model, cfg, data, subset, epoch)
    on_gpu = next(model.parameters()).device.type == "cuda"
    return Passes(
        batches.once,
        batches.count,
        task.target_dictionary.pad(),
        to_device=utils.move_to_cuda if on_gpu else lambda sample: sample,
        limit=cfg.select_batches,
        loss=token_loss(task),
        add_up=add_up_over_workers,
    )


class VotingBatches:
    """This worker's share of the batches of a split; of sharded data, the batches of all shards.

    Args:
        task: fairseq task that has the split loaded; after each pass the loaded shard is there again.
        model: for its longest sentences.
        cfg: VotingToStayConfig.
        data: folder of the data, or of its shards.
        subset: name of the split.
        epoch: shown in the progress bar.
    """

    def __init__(self, task, model, cfg, data: str, subset: str, epoch: int):
        self._task, self._model, self._cfg, self._subset, self._epoch = task, model, cfg, subset, epoch
        self._shards = len(utils.split_paths(data))

    def once(self, shuffle: bool = False) -> Iterator[Dict]:
        """All batches once behind a progress bar, in fairseq's order (by length) or shuffled by the seed."""
        for iterator in self._iterators(shuffle):
            yield from _with_progress(iterator, self._cfg, self._epoch)

    def count(self) -> int:
        """How many batches `once` gives."""
        return sum(len(iterator) for iterator in self._iterators(shuffle=False))

    def _iterators(self, shuffle: bool) -> Iterator:
        """One iterator for each shard, which is loaded while it is in use."""
        loaded = self._task.datasets[self._subset]
        try:
            for shard in range(1, self._shards + 1):
                if self._shards > 1:
                    self._task.load_dataset(self._subset, epoch=shard, combine=True)
                yield _iterator(self._task, self._model, self._cfg, self._subset, shuffle)
        finally:
            self._task.datasets[self._subset] = loaded


def _iterator(task, model, cfg, subset: str, shuffle: bool):
    workers, number = share_of_data()
    return task.get_batch_iterator(
        dataset=task.dataset(subset),
        max_tokens=cfg.max_tokens,
        max_sentences=cfg.batch_size,
        max_positions=utils.resolve_max_positions(task.max_positions(), model.max_positions(), cfg.max_tokens),
        ignore_invalid_inputs=True,
        required_batch_size_multiple=cfg.required_batch_size_multiple,
        seed=cfg.seed,
        num_shards=workers,
        shard_id=number,
        num_workers=cfg.num_workers,
        epoch=1,
        # The iterator of the trainer must not be touched: its position is part of the checkpoint.
        disable_iterator_cache=True,
    ).next_epoch_itr(shuffle=shuffle)


def _with_progress(iterator, cfg, epoch: int) -> Iterator[Dict]:
    progress = progress_bar.progress_bar(
        iterator,
        log_format=cfg.log_format,
        log_interval=cfg.log_interval,
        epoch=epoch,
        prefix="vote",
        default_log_format="simple" if cfg.no_progress_bar else "tqdm",
    )
    for seen, batch in enumerate(progress, start=1):
        yield batch
        progress.log({"batches": seen}, tag="vote", step=seen)


def token_loss(task) -> Loss:
    """From a model and a sample: summed negative log-likelihood of the target tokens, in nats, and their number.

    An adaptive softmax has a criterion of its own, which need not compute every word's probability.
    """
    plain = CrossEntropyCriterion(task, sentence_avg=False)
    adaptive = AdaptiveLoss(task, sentence_avg=False)

    def loss(model, sample):
        criterion = adaptive if getattr(model.decoder, "adaptive_softmax", None) is not None else plain
        value, tokens, _ = criterion(model, sample)
        return value, tokens

    return loss
