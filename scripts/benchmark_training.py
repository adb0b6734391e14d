"""Time and peak memory of a training update: fairseq's own transformer, ours, the constraint, and stage 2.

    python scripts/benchmark_training.py --width 512 --layers 6
    python scripts/benchmark_training.py --heads 8 16 32 --groups 2 4 8      every combination, and what grows how

All sides start from the same weights and run in one process on the same batches of random tokens, by turns. An update
is zero_grad, forward and loss (fairseq's label-smoothed cross-entropy, or ours with the constraint), backward and Adam.
Printed are medians with their intervals; ratios are those to fairseq's transformer within a round. Peak memory is that
of an update beyond weights and optimizer state: exact, not sampled. The last table has the constraint alone (Gram
matrices, K-means, loss and backward of all layers) on the features of a batch, measured in the same rounds.
"""

import argparse
import copy
import itertools
import sys
import time
from dataclasses import dataclass
from functools import partial

import torch
from fairseq.criterions.label_smoothed_cross_entropy import LabelSmoothedCrossEntropyCriterion
from fairseq.models.transformer import TransformerModel

from fairseq_ghat.cli.console import check_minimum, choose_device, describe_machine, markdown_table, progress_line
from fairseq_ghat.core.gram_matrix import feature_gram
from fairseq_ghat.core.group_constraint import group_constraint
from fairseq_ghat.criterions.group_constrained import (
    GroupConstrainedLabelSmoothedCrossEntropy,
    GroupConstrainedLabelSmoothedCrossEntropyConfig,
)
from fairseq_ghat.models.ghat_transformer import GHATTransformerModel, ghat_base_architecture
from fairseq_ghat.modules.grouped_attention import grouped_attentions, grouping_of, remove_heads
from fairseq_ghat.modules.grouping import FEATURES
from fairseq_ghat.modules.head_features import RecordedFeatures, target_padding
from fairseq_ghat.profiling.interleaved_runs import describe_interval, ratios, run_by_turns, spread
from fairseq_ghat.profiling.model_building import DictionaryTask
from fairseq_ghat.profiling.peak_memory import peak_bytes

STOCK, UNCONSTRAINED, STAGE_2 = "fairseq's transformer", "ours, no constraint", "ours, stage 2"
GROWING = ("width", "layers", "heads", "groups", "tokens", "length")


def parse(argv):
    """Options of the command line, checked."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for flag, default, meaning in (
        ("--width", 256, "of the model; the feed-forward layer is four times as wide"),
        ("--layers", 3, "of encoder and of decoder"),
        ("--heads", 8, "of each attention"),
        ("--groups", 2, "of each attention; as many heads stay in stage 2"),
        ("--tokens", 4096, "target tokens in a batch, padding included"),
        ("--length", 16, "tokens of the longest sentence, source and target; the shortest has three quarters"),
    ):
        parser.add_argument(
            flag, type=int, nargs="+", default=[default], metavar="N", help=f"{meaning} (default: {default})"
        )
    for flag, default, meaning in (
        ("--vocabulary", 6000, "joint, embeddings shared"),
        ("--rounds", 15, "updates of each side that count"),
        ("--warm-up", 3, "updates of each side that do not"),
        ("--threads", torch.get_num_threads(), "of the CPU"),
    ):
        parser.add_argument(flag, type=int, default=default, metavar="N", help=f"{meaning} (default: {default})")
    parser.add_argument("--fp16", action="store_true", help="half precision, by fairseq's own optimizer wrapper")
    parser.add_argument("--cpu", action="store_true", help="also where there is a GPU")
    args = parser.parse_args(argv)
    check_minimum(parser, args, width=1, layers=1, heads=2, groups=1, tokens=1, length=1)
    check_minimum(parser, args, vocabulary=5, rounds=1, threads=1, warm_up=0)
    for width, heads, groups in itertools.product(args.width, args.heads, args.groups):
        if not 1 <= groups < heads:
            parser.error(f"--groups {groups}: allowed is 1 to {heads - 1}, less than --heads {heads}")
        if width % heads:
            parser.error(f"--width {width}: allowed is a multiple of --heads {heads}")
    return args


def combinations(args):
    """The options of each combination of the given sizes."""
    for values in itertools.product(*(getattr(args, name) for name in GROWING)):
        yield argparse.Namespace(**{**vars(args), **dict(zip(GROWING, values))})


def build_model(model_class, args, task, feature="value"):
    """A model of the given sizes, with the same weights each time."""
    options = argparse.Namespace(share_all_embeddings=True, head_groups=args.groups, group_feature=feature, dropout=0.1)
    for side in ("encoder", "decoder"):
        for name, value in (("layers", args.layers), ("embed_dim", args.width), ("attention_heads", args.heads)):
            setattr(options, f"{side}_{name}", value)
        setattr(options, f"{side}_ffn_embed_dim", 4 * args.width)
    options.max_source_positions = options.max_target_positions = args.length + 1
    ghat_base_architecture(options)
    torch.manual_seed(1)
    return model_class.build_model(copy.deepcopy(options), task)


def vote(model, groups):
    """Removes all but the first heads of each layer: which ones stay does not matter for speed."""
    remove_heads(model, {name: list(range(groups)) for name in grouped_attentions(model)})
    return model


def build_models(args, task):
    """Name of each side -> its model and criterion."""
    stock_criterion = LabelSmoothedCrossEntropyCriterion(task, False, 0.1)
    config = GroupConstrainedLabelSmoothedCrossEntropyConfig(label_smoothing=0.1, sentence_avg=False)
    ours = GroupConstrainedLabelSmoothedCrossEntropy.build_criterion(config, task)
    return {
        STOCK: (build_model(TransformerModel, args, task), stock_criterion),
        UNCONSTRAINED: (build_model(GHATTransformerModel, args, task), stock_criterion),
        **{f"ours, {name}": (build_model(GHATTransformerModel, args, task, name), ours) for name in FEATURES},
        STAGE_2: (vote(build_model(GHATTransformerModel, args, task), args.groups), ours),
    }


def make_batches(args, device, pad=1, count=4):
    """Batches of random tokens, padded as fairseq pads them: sources on the left, targets on the right."""
    generator = torch.Generator().manual_seed(1)
    sentences = max(args.tokens // args.length, 1)
    positions, batches = torch.arange(args.length), []
    for _ in range(count):
        source, target, previous = torch.randint(4, args.vocabulary, (3, sentences, args.length), generator=generator)
        lengths = torch.randint(-(-3 * args.length // 4), args.length + 1, (2, sentences, 1), generator=generator)
        lengths[:, 0] = args.length
        source[positions < args.length - lengths[0]] = pad
        for tokens in (target, previous):
            tokens[positions >= lengths[1]] = pad
        net_input = {"src_tokens": source, "src_lengths": lengths[0].squeeze(1), "prev_output_tokens": previous}
        batches.append(
            {
                "net_input": {name: tensor.to(device) for name, tensor in net_input.items()},
                "target": target.to(device),
                "ntokens": int(lengths[1].sum()),
            }
        )
    return batches


def build_optimizer(model, args, device):
    """Adam; with --fp16 in fairseq's wrapper, which keeps float32 copies of the weights."""
    if not args.fp16:
        return torch.optim.Adam(model.parameters(), lr=1e-4)
    from fairseq.dataclass.configs import FairseqConfig
    from fairseq.optim.adam import FairseqAdamConfig
    from fairseq.optim.fp16_optimizer import FP16Optimizer
    from omegaconf import OmegaConf

    config = OmegaConf.structured(FairseqConfig)
    config.optimizer = OmegaConf.structured(FairseqAdamConfig(lr=[1e-4]))
    config.optimizer._name = "adam"
    config.common.fp16, config.common.fp16_no_flatten_grads = True, device.type == "cpu"
    return FP16Optimizer.build_optimizer(config, list(model.parameters()))


@dataclass
class Side:
    """A model that is trained, with its criterion and optimizer."""

    model: torch.nn.Module
    criterion: torch.nn.Module
    optimizer: object
    fp16: bool

    def update(self, batch):
        """Trains on one batch."""
        self.optimizer.zero_grad()
        loss, size, _ = self.criterion(self.model, batch)
        if self.fp16:
            self.optimizer.backward(loss)
            self.optimizer.multiply_grads(1 / size)
            try:
                self.optimizer.clip_grad_norm(0.0)  # undoes the loss scale
            except OverflowError:  # the scale was too large, in the first updates, and is smaller now
                return self.update(batch)
        else:
            (loss / size).backward()
        return self.optimizer.step()


def seconds(work, device):
    """Wall-clock time of a function call in seconds."""
    finish(device)
    start = time.perf_counter()
    work()
    finish(device)
    return time.perf_counter() - start


def finish(device):
    """Waits until a GPU has done all its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class KeptFeatures(RecordedFeatures):
    """Keeps the feature maps in use, as they lie in memory, and their padding."""

    features = ()

    def receive(self, layer, maps):
        features, padding = self.in_use(layer, maps)
        self.features = (*self.features, (features.detach().requires_grad_(), padding))


def constraint_alone(side, batch, groups):
    """A function that computes the constraint on the features of a batch, forward and backward."""
    padding = target_padding(batch["net_input"], side.criterion.padding_idx)
    attentions = grouped_attentions(side.model)
    with torch.no_grad(), KeptFeatures(attentions, grouping_of(side.model), padding) as kept:
        side.model(**batch["net_input"])

    def work():
        grams = torch.stack([feature_gram(maps, outside) for maps, outside in kept.features])
        loss = group_constraint([grams], groups, 0.5, 0.5).loss
        torch.autograd.grad(loss, [maps for maps, _ in kept.features])

    return work


def build_sides(args, device):
    """Name -> side, ready to train."""
    sides = {}
    for name, (model, criterion) in build_models(args, DictionaryTask(args.vocabulary, args.vocabulary)).items():
        model = model.to(device).train()
        model = model.half() if args.fp16 else model
        sides[name] = Side(model, criterion, build_optimizer(model, args, device), args.fp16)
    return sides


def measure(args, device, progress):
    """Seconds of each counted update and of the constraint alone, and peak bytes of an update, of each side."""
    sides, batches = build_sides(args, device), make_batches(args, device)

    def timed(work):
        return lambda number: seconds(lambda: work(number), device)

    works = {
        name: timed(lambda number, side=side: side.update(batches[number % len(batches)]))
        for name, side in sides.items()
    }
    for name in FEATURES:
        alone = constraint_alone(sides[f"ours, {name}"], batches[0], args.groups)
        works[name] = timed(lambda number, alone=alone: alone())
    times = run_by_turns(works, args.rounds, args.warm_up, progress)
    peaks = {}
    for name, side in sides.items():
        progress(f"memory, {name}")
        side.optimizer.zero_grad()
        peaks[name] = peak_bytes(partial(side.update, batches[0]), device)
    return times, peaks


def _row(name, times, peaks):
    ratio = ratios(times[name], times[STOCK]).describe(3)
    return [name, _ms(times[name]), ratio, f"{peaks[name] / 2**20:.1f}", f"{peaks[name] / peaks[STOCK]:.3f}"]


def _ms(times):
    return spread([1000 * value for value in times]).describe(1)


def main(argv=None) -> int:
    args = parse(argv)
    torch.set_num_threads(args.threads)
    device = choose_device(args)
    precision = "float16" if args.fp16 else "float32"
    print(
        f"{describe_machine(device)}; {precision}, vocabulary {args.vocabulary}, {args.rounds} rounds, "
        f"in brackets {describe_interval(args.rounds)}"
    )
    progress = progress_line()

    growth = []
    for sizes in combinations(args):
        times, peaks = measure(sizes, device, progress)
        progress("")
        print(
            f"\n{sizes.layers}+{sizes.layers} layers, width {sizes.width}, {sizes.heads} heads, {sizes.groups} groups, "
            f"{sizes.tokens} tokens in sentences of up to {sizes.length}"
        )
        titles = ["update", "ms", "ratio to fairseq's", "peak memory, MiB", "ratio to fairseq's"]
        print(markdown_table(titles, [_row(name, times, peaks) for name in peaks]), flush=True)
        shares = [f"{_ms(times[name])}, {ratios(times[name], times[STOCK]).median:.1%}" for name in FEATURES]
        growth.append([*(str(getattr(sizes, name)) for name in GROWING), *shares])
    print("\nthe constraint alone, ms and share of an update of fairseq's transformer")
    print(markdown_table([*GROWING, *FEATURES], growth))
    return 0


if __name__ == "__main__":
    sys.exit(main())
