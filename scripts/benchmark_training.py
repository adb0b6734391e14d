"""Time of one training update before the vote (stage 1) and after it (stage 2), beside fairseq's own transformer.

    python scripts/benchmark_training.py --width 256 --layers 3 --groups 2

All sides run in one process on the same batches of random tokens, by turns, without the group constraint; each
update is zero_grad, forward, backward and Adam. Printed are the median time of each side and its ratio to stage 1: the
median over rounds of the ratio within a round, with quartiles, so that a machine that slows down for a while hits all
sides alike.
"""

import argparse
import copy
import platform
import statistics
import sys
import time
from importlib.metadata import version

import torch
from fairseq.criterions.label_smoothed_cross_entropy import LabelSmoothedCrossEntropyCriterion
from fairseq.data import Dictionary
from fairseq.models.transformer import TransformerModel

from fairseq_ghat.models.ghat_transformer import GHATTransformerModel, ghat_base_architecture
from fairseq_ghat.modules.grouped_attention import grouped_attentions
from fairseq_ghat.pruning.head_masks import set_head_masks


class Task:
    """What models and criteria ask of a task."""

    def __init__(self, vocabulary):
        self.source_dictionary = self.target_dictionary = Dictionary()
        for word in range(vocabulary - len(self.target_dictionary)):
            self.target_dictionary.add_symbol(f"w{word}")


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for flag, default, meaning in (
        ("--width", 256, "of the model; the feed-forward layer is four times as wide"),
        ("--layers", 3, "of encoder and of decoder"),
        ("--heads", 8, "of each attention"),
        ("--groups", 2, "heads that stay in stage 2"),
        ("--vocabulary", 6000, "joint, embeddings shared"),
        ("--tokens", 4096, "target tokens in a batch"),
        ("--length", 16, "tokens in a sentence, source and target"),
        ("--rounds", 15, "updates of each side that count"),
        ("--warm-up", 3, "updates of each side that do not"),
        ("--threads", torch.get_num_threads(), "of the CPU"),
    ):
        parser.add_argument(flag, type=int, default=default, metavar="N", help=f"{meaning} (default: {default})")
    parser.add_argument("--cpu", action="store_true", help="also where there is a GPU")
    args = parser.parse_args(argv)
    if not 1 <= args.groups < args.heads:
        parser.error(f"--groups {args.groups}: allowed is 1 to {args.heads - 1}, less than --heads {args.heads}")
    if args.width % args.heads:
        parser.error(f"--width {args.width}: allowed is a multiple of --heads {args.heads}")
    return args


def build(model_class, args, task):
    options = argparse.Namespace(share_all_embeddings=True, head_groups=args.groups, dropout=0.1)
    for side in ("encoder", "decoder"):
        for name, value in (("layers", args.layers), ("embed_dim", args.width), ("attention_heads", args.heads)):
            setattr(options, f"{side}_{name}", value)
        setattr(options, f"{side}_ffn_embed_dim", 4 * args.width)
    options.max_source_positions = options.max_target_positions = args.length + 1
    ghat_base_architecture(options)
    torch.manual_seed(1)
    return model_class.build_model(copy.deepcopy(options), task)


def voted(model, groups):
    """The model after a vote that kept the first heads; which ones does not matter for speed."""
    layers = list(grouped_attentions(model).values())
    set_head_masks(layers, (torch.arange(layers[0].num_heads) < groups).expand(len(layers), -1))
    return model


def batches(args, device, count=4):
    generator = torch.Generator().manual_seed(1)
    sentences = max(args.tokens // args.length, 1)
    made = []
    for _ in range(count):
        source, target, previous = torch.randint(4, args.vocabulary, (3, sentences, args.length), generator=generator)
        lengths = torch.full((sentences,), args.length)
        net_input = {"src_tokens": source, "src_lengths": lengths, "prev_output_tokens": previous}
        made.append(
            {
                "net_input": {name: tensor.to(device) for name, tensor in net_input.items()},
                "target": target.to(device),
                "ntokens": sentences * args.length,
            }
        )
    return made


def timed_update(model, criterion, optimizer, batch, device):
    """Seconds of one update."""
    _finish(device)
    start = time.perf_counter()
    optimizer.zero_grad()
    loss, size, _ = criterion(model, batch)
    (loss / size).backward()
    optimizer.step()
    _finish(device)
    return time.perf_counter() - start


def _finish(device):
    if device.type == "cuda":
        torch.cuda.synchronize()


def main(argv=None) -> int:
    args = parse(argv)
    torch.set_num_threads(args.threads)
    device = torch.device("cuda" if torch.cuda.is_available() and not args.cpu else "cpu")
    task = Task(args.vocabulary)
    sides = {
        "stage 1": build(GHATTransformerModel, args, task),
        "stage 2": voted(build(GHATTransformerModel, args, task), args.groups),
        "fairseq's transformer": build(TransformerModel, args, task),
    }
    runs = {}
    for name, model in sides.items():
        model.to(device).train()
        criterion = LabelSmoothedCrossEntropyCriterion(task, False, 0.1)
        runs[name] = (model, criterion, torch.optim.Adam(model.parameters(), lr=1e-4))
    data = batches(args, device)
    seconds = {name: [] for name in runs}
    order = list(runs)
    for number in range(args.warm_up + args.rounds):
        print(f"\rround {number + 1} of {args.warm_up + args.rounds}", end="", file=sys.stderr, flush=True)
        for name in order:
            took = timed_update(*runs[name], data[number % len(data)], device)
            if number >= args.warm_up:
                seconds[name].append(took)
        order.append(order.pop(0))  # every side runs first, second and last equally often
    print(file=sys.stderr)

    where = torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {args.threads} threads"
    print(
        f"{where}; {args.layers}+{args.layers} layers, width {args.width}, {args.heads} heads, {args.groups} stay; "
        f"{args.tokens} target tokens of length {args.length}, vocabulary {args.vocabulary}; {args.rounds} rounds; "
        f"torch {torch.__version__}, Python {platform.python_version()}, ghat {version('fairseq_ghat')}"
    )
    for name, times in seconds.items():
        ratios = [time / first for time, first in zip(times, seconds["stage 1"])]
        low, middle, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
        print(
            f"{name:22} {1000 * statistics.median(times):8.1f} ms per update, {middle:.3f} of stage 1 "
            f"(quartiles {low:.3f} to {high:.3f})"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
