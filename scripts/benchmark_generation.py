"""How fast models of random weights generate, of fairseq's own transformer: ours, and ours without most of its heads.

    python scripts/benchmark_generation.py                    base size, on a GPU if there is one
    python scripts/benchmark_generation.py --precisions float16 --sentences 256 --tokens 10 50

Needs no data: sources are random tokens, and every hypothesis has exactly as many tokens as are asked for, so that all
models take as many steps. Everything runs fairseq's own generator by turns in one process; ratios are those of the
speeds within a round. `ghat-bench` does the same for trained models on real sentences.
"""

import argparse
import copy
import itertools
import json
import sys
from functools import partial

import torch
from experiments.training_sides import STOCK, build_model, make_batches
from fairseq.dataclass.configs import GenerationConfig
from fairseq.tasks.translation import TranslationConfig, TranslationTask

from fairseq_ghat.checkpoints.dictionary_task import DictionaryTask
from fairseq_ghat.cli.console import check_minimum, choose_device, describe_machine, markdown_table, progress_line
from fairseq_ghat.modules.attention_layers import grouped_attentions, remove_heads
from fairseq_ghat.profiling.interleaved_runs import describe_interval, ratios, run_by_turns, spread
from fairseq_ghat.profiling.speed import TimedGenerator

OURS, SLIM = "ours", "slim"
PRECISIONS = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def parse(argv):
    """Options of the command line, checked."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--precisions", nargs="+", default=list(PRECISIONS), choices=PRECISIONS, help="default: all")
    for flag, default, meaning in (
        ("--sentences", [1, 32, 256], "in a batch"),
        ("--tokens", [10, 50], "of each hypothesis, its end left out"),
    ):
        add(flag, type=int, nargs="+", default=default, metavar="N", help=f"{meaning} (default: {default})")
    for flag, default, meaning in (
        ("--width", 512, "of the model; the feed-forward layer is four times as wide"),
        ("--layers", 6, "of encoder and of decoder"),
        ("--heads", 8, "of each attention"),
        ("--keep", 2, "heads of each attention of the slim model"),
        ("--length", 16, "tokens of the longest source; the shortest has three quarters"),
        ("--vocabulary", 10000, "joint, embeddings shared"),
        ("--beam", 5, "hypotheses of a sentence"),
        ("--rounds", 3, "passes of each side that count"),
        ("--warm-up", 1, "passes of each side that do not"),
        ("--threads", torch.get_num_threads(), "of the CPU"),
    ):
        add(flag, type=int, default=default, metavar="N", help=f"{meaning} (default: {default})")
    add("--json", action="store_true", help="print the figures, unrounded, as JSON instead of a table")
    add("--cpu", action="store_true", help="also where there is a GPU")
    args = parser.parse_args(argv)
    check_minimum(parser, args, sentences=1, tokens=1, width=1, layers=1, heads=2, keep=1, length=1, vocabulary=5)
    check_minimum(parser, args, beam=1, rounds=1, warm_up=0, threads=1)
    if args.keep >= args.heads:
        parser.error(f"--keep {args.keep}: allowed is 1 to {args.heads - 1}, less than --heads {args.heads}")
    if args.width % args.heads:
        parser.error(f"--width {args.width}: allowed is a multiple of --heads {args.heads}")
    return args


def sizes_of(args, sentences):
    """Sizes of models and batches as training benchmarks name them."""
    sizes = copy.copy(args)
    sizes.groups, sizes.language_model, sizes.tokens = args.keep, False, sentences * args.length
    return sizes


def build_models(args, task):
    """Name -> model of the same weights, as far as it has them, in float32 on the CPU."""
    sizes = sizes_of(args, 1)
    sizes.length = max(args.length, *args.tokens) + 1  # positions
    models = {STOCK: build_model(False, sizes, task), OURS: build_model(True, sizes, task)}
    models[SLIM] = copy.deepcopy(models[OURS])
    remove_heads(models[SLIM], {name: list(range(args.keep)) for name in grouped_attentions(models[SLIM])})
    return models


def prepared(models, precision, device, generation):
    """The models as fairseq-generate prepares them, in its order."""
    ready = {}
    for name, model in models.items():
        ready[name] = copy.deepcopy(model).to(device, PRECISIONS[precision]).eval()
        ready[name].prepare_for_inference_(argparse.Namespace(generation=generation))
    return ready


def measure(args, device, progress):
    """Yields precision, sentences, tokens, and the Generations of each round by name, of every combination."""
    dictionary = DictionaryTask(args.vocabulary, args.vocabulary).source_dictionary
    task = TranslationTask(TranslationConfig(), dictionary, dictionary)
    models = build_models(args, task)
    for precision in args.precisions:
        ready = prepared(models, precision, device, GenerationConfig(beam=args.beam))
        for sentences, tokens in itertools.product(args.sentences, args.tokens):
            (batch,) = make_batches(sizes_of(args, sentences), device, count=1)
            del batch["net_input"]["prev_output_tokens"]
            exactly = GenerationConfig(beam=args.beam, max_len_a=0, max_len_b=tokens, min_len=tokens)
            generators = {name: TimedGenerator(task, model, exactly) for name, model in ready.items()}
            works = {name: partial(_translate, generator, batch) for name, generator in generators.items()}
            yield precision, sentences, tokens, run_by_turns(works, args.rounds, args.warm_up, progress)


def _translate(generator, batch, _):
    return generator.run([batch], parts=False)


def main(argv=None) -> int:
    args = parse(argv)
    torch.set_num_threads(args.threads)
    device, progress = choose_device(args), progress_line()
    records = []
    for precision, sentences, tokens, runs in measure(args, device, progress):
        record = {"precision": precision, "sentences": sentences, "tokens": tokens}
        for name, generations in runs.items():
            taken = [generation.seconds for generation in generations]
            base = [generation.seconds for generation in runs[STOCK]]
            record[name] = {
                "sentences_per_second": spread([sentences / s for s in taken]),
                "speed": ratios(base, taken),
            }
        records.append(record)
    progress("")
    machine = f"{describe_machine(device)}; beam {args.beam}, in brackets {describe_interval(args.rounds)}"
    if args.json:
        print(json.dumps({"machine": machine, "runs": records}, indent=1, default=vars))
        return 0
    sizes = f"{args.layers}+{args.layers} layers, width {args.width}, {args.heads} heads, slim with {args.keep}"
    print(f"{machine}\n{sizes}, sources of up to {args.length} tokens")
    titles = ["precision", "sentences", "tokens", f"{STOCK}, sentences/s", "ours, of its speed", "slim, of its speed"]
    rows = [
        [record["precision"], str(record["sentences"]), str(record["tokens"])]
        + [record[STOCK]["sentences_per_second"].describe(1)]
        + [record[name]["speed"].describe(3) for name in (OURS, SLIM)]
        for record in records
    ]
    print(markdown_table(titles, rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
