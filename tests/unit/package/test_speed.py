"""Timing a generator changes nothing of what it generates, and counts what it did."""

from types import SimpleNamespace

import pytest
import torch
from fairseq.dataclass.configs import GenerationConfig
from fairseq.sequence_generator import SequenceGenerator
from fairseq.tasks import FairseqTask
from tiny_models import TinyTask, build_grouped

from fairseq_ghat.profiling.speed import TimedGenerator, batches_of_all_lengths


@pytest.mark.parametrize("count,chosen", [(1, [5]), (2, [2, 7]), (3, [1, 5, 8]), (20, list(range(10)))])
def test_some_batches_are_of_all_lengths(count, chosen):
    assert batches_of_all_lengths(list(range(10)), count) == chosen


class Task(TinyTask):
    """A task with fairseq's own way to build a generator and to use it."""

    build_generator = FairseqTask.build_generator
    inference_step = FairseqTask.inference_step


def test_translations_and_counts_are_fairseqs_own(batch):
    task, model = Task(), build_grouped().eval()
    steps = []
    forward = model.decoder.forward
    model.decoder.forward = lambda *args, **kwargs: steps.append(1) or forward(*args, **kwargs)
    plain = SequenceGenerator([model], task.target_dictionary, beam_size=3, max_len_a=0, max_len_b=6)
    expected = plain.generate([model], batch)
    taken = len(steps)

    timed = TimedGenerator(task, model, GenerationConfig(beam=3, max_len_a=0, max_len_b=6))
    found = timed.generator.generate([model], batch)
    assert [[h["tokens"].tolist() for h in sentence] for sentence in found] == [
        [h["tokens"].tolist() for h in sentence] for sentence in expected
    ]
    for parts in (True, False):  # a second pass starts anew
        run = timed.run([batch, batch], parts)
        assert (run.sentences, run.batches, run.steps) == (6, 2, 2 * taken)
        assert run.tokens == 2 * sum(len(sentence[0]["tokens"]) for sentence in expected)
        assert 0 < run.encoder_seconds and 0 < run.decoder_seconds
        assert run.encoder_seconds + run.decoder_seconds < run.seconds


def test_clock_waits_for_a_gpu_at_the_ends_and_inside_only_where_parts_are_timed(batch, monkeypatch):
    waited = []
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)
    timed = TimedGenerator(Task(), build_grouped(), GenerationConfig(max_len_b=3, max_len_a=0, beam=2))
    timed.run([batch], parts=True)
    assert waited == []
    timed.model.device = SimpleNamespace(type="cuda")
    timed.run([batch], parts=False)
    assert len(waited) == 2
    found = timed.run([batch], parts=True)
    assert len(waited) == 2 + 2 + 2 * (found.batches + found.steps)


def test_other_generators_are_refused():
    class Other(Task):
        def build_generator(self, models, args):
            return object()

    with pytest.raises(ValueError, match="generates by object, allowed is SequenceGenerator"):
        TimedGenerator(Other(), build_grouped(), GenerationConfig())
