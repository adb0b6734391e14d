"""Time, operations and peak memory of a training update: fairseq's own transformer, ours, the constraint, and stage 2.

    python scripts/benchmark_training.py --width 512 --layers 6
    python scripts/benchmark_training.py --language-model --length 512 --bf16
    python scripts/benchmark_training.py --heads 8 16 32 --groups 2 4 8      every combination, and what grows how

All sides start from the same weights and run in one process on the same batches of random tokens, by turns. An update
is zero_grad, forward and loss (fairseq's label-smoothed cross-entropy, or ours with the constraint), backward and Adam;
of language models the loss is cross-entropy. Printed are medians with their intervals; ratios are those to fairseq's
transformer within a round. Operations are what torch dispatches in an update without Adam, with and without views: on a
GPU they bound the time of small models. Peak memory is that of an update beyond weights and optimizer state: exact, not
sampled. The last table has the constraint alone (Gram matrices, K-means, loss and backward of all layers) on the
features of a batch, measured in the same rounds.
"""

import argparse
import itertools
import json
import sys
import time
from functools import partial

import torch
from experiments.training_sides import STOCK, build_sides, make_batches

from fairseq_ghat.cli.console import check_minimum, choose_device, describe_machine, markdown_table, progress_line
from fairseq_ghat.core.gram_matrix import feature_gram
from fairseq_ghat.core.group_constraint import group_constraint
from fairseq_ghat.modules.attention_layers import grouped_attentions, grouping_of
from fairseq_ghat.modules.grouping import FEATURES
from fairseq_ghat.modules.head_features import RecordedFeatures, target_padding
from fairseq_ghat.profiling.interleaved_runs import describe_interval, ratios, run_by_turns, spread
from fairseq_ghat.profiling.operations import count_operations
from fairseq_ghat.profiling.peak_memory import peak_bytes

GROWING = ("width", "layers", "heads", "groups", "tokens", "length")


def parse(argv):
    """Options of the command line, checked."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for flag, default, meaning in (
        ("--width", 256, "of the model; the feed-forward layer is four times as wide"),
        ("--layers", 3, "of encoder and of decoder, or of the language model"),
        ("--heads", 8, "of each attention"),
        ("--groups", 2, "of each attention; as many heads stay in stage 2"),
        ("--tokens", 4096, "target tokens in a batch, padding included"),
        (
            "--length",
            16,
            "tokens of the longest sentence, source and target; the shortest has three quarters; or of a block",
        ),
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
    parser.add_argument("--language-model", action="store_true", help="decoder only, on blocks of --length tokens")
    precision = parser.add_mutually_exclusive_group()
    for flag, name in (("--fp16", "float16"), ("--bf16", "bfloat16")):
        precision.add_argument(flag, action="store_true", help=f"{name}, by fairseq's own optimizer wrapper")
    parser.add_argument("--json", action="store_true", help="print the figures, unrounded, as JSON instead of tables")
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


def measure(args, device, progress):
    """Seconds of each counted update, and operations, of each side and of the constraint alone; peak bytes of sides."""
    sides, batches = build_sides(args, device), make_batches(args, device)

    def timed(work):
        return lambda number: seconds(lambda: work(number), device)

    works = {
        name: timed(lambda number, side=side: side.update(batches[number % len(batches)]))
        for name, side in sides.items()
    }
    dispatched = {name: partial(side.backward, batches[0]) for name, side in sides.items()}
    for name in FEATURES:
        dispatched[name] = alone = constraint_alone(sides[f"ours, {name}"], batches[0], args.groups)
        works[name] = timed(lambda number, alone=alone: alone())
    operations = {name: count_operations(work) for name, work in dispatched.items()}
    times = run_by_turns(works, args.rounds, args.warm_up, progress)
    peaks = {}
    for name, side in sides.items():
        progress(f"memory, {name}")
        side.optimizer.zero_grad()
        peaks[name] = peak_bytes(partial(side.update, batches[0]), device)
    return times, operations, peaks


def figures(times, operations, peaks):
    """What is printed of each side and of the constraint alone, by name."""
    named = {}
    for name in times:
        named[name] = {
            "milliseconds": spread([1000 * value for value in times[name]]),
            "ratio": ratios(times[name], times[STOCK]),
            "operations": operations[name].total,
            "without_views": operations[name].without_views,
        }
    for name, peak in peaks.items():
        named[name]["peak_bytes"] = peak
    return named


def show(sizes, named):
    """Prints the table of one combination."""
    layers = f"{sizes.layers} layers" if sizes.language_model else f"{sizes.layers}+{sizes.layers} layers"
    texts = "blocks of" if sizes.language_model else "sentences of up to"
    print(
        f"\n{layers}, width {sizes.width}, {sizes.heads} heads, {sizes.groups} groups, "
        f"{sizes.tokens} tokens in {texts} {sizes.length}"
    )
    rows = []
    for name, side in named.items():
        if name not in FEATURES:
            peak, base = side["peak_bytes"], named[STOCK]["peak_bytes"]
            counts = [f"{side[key]:,} ({side[key] / named[STOCK][key]:.3f})" for key in ("operations", "without_views")]
            times = [side["milliseconds"].describe(1), side["ratio"].describe(3)]
            rows.append([name, *times, f"{peak / 2**20:.1f}", f"{peak / base:.3f}", *counts])
    titles = ["update", "ms", "ratio to fairseq's", "peak memory, MiB", "ratio to fairseq's"]
    print(markdown_table([*titles, "operations (ratio)", "without views (ratio)"], rows), flush=True)


def _constraint(side):
    share = f"{side['ratio'].median:.1%}"
    return f"{side['milliseconds'].describe(1)}, {share}, {side['operations']:,} operations"


def main(argv=None) -> int:
    args = parse(argv)
    torch.set_num_threads(args.threads)
    device, progress = choose_device(args), progress_line()
    precision = "float16" if args.fp16 else "bfloat16" if args.bf16 else "float32"
    interval = f"{args.rounds} rounds, in brackets {describe_interval(args.rounds)}"
    machine = f"{describe_machine(device)}; {precision}, vocabulary {args.vocabulary}, {interval}"
    if not args.json:
        print(machine)
    measured = []
    for sizes in combinations(args):
        named = figures(*measure(sizes, device, progress))
        progress("")
        measured.append(({name: getattr(sizes, name) for name in GROWING}, named))
        if not args.json:
            show(sizes, named)
    if args.json:
        combined = [{"sizes": sizes, "sides": named} for sizes, named in measured]
        print(json.dumps({"machine": machine, "combinations": combined}, indent=1, default=vars))
        return 0
    print("\nthe constraint alone: ms, share of an update of fairseq's transformer, and operations")
    rows = [[*map(str, sizes.values()), *(_constraint(named[name]) for name in FEATURES)] for sizes, named in measured]
    print(markdown_table([*GROWING, *FEATURES], rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
