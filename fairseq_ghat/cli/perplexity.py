"""`ghat-perplexity DATA CHECKPOINT...`: perplexity of language models, all under one stated window."""

import argparse
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any, Dict

from fairseq import utils
from fairseq.logging import progress_bar
from fairseq.tasks.language_modeling import LanguageModelingTask

from fairseq_ghat.checkpoints.files import CheckpointError
from fairseq_ghat.cli import console
from fairseq_ghat.cli.loading import InputError, load_checkpoint, load_split, load_task_and_model
from fairseq_ghat.evaluation.perplexity import SUBWORDS, Perplexity, measure_perplexity
from fairseq_ghat.profiling.parameters import describe_counts, heads_in_checkpoint, non_embedding_parameters


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ghat-perplexity", description=__doc__.split("`: ")[1])
    add = parser.add_argument
    add("data", metavar="DATA", help="folder that fairseq-preprocess made")
    add("checkpoints", metavar="CHECKPOINT", nargs="+", help="of fairseq's language models or of ours, slim ones too")
    add("--gen-subset", default="test", help="splits, separated by commas (default: test)")
    add("--tokens-per-sample", type=int, metavar="N", help="tokens in a block (default: as the first checkpoint)")
    add("--context-window", type=int, default=0, metavar="N", help="of them, context that is not scored (default: 0)")
    add("--remove-bpe", "--post-process", choices=SUBWORDS, help="the text is in subwords: perplexity per word as well")
    add("--max-tokens", type=int, default=4096, help="to score in a batch (default: 4096)")
    add("--batch-size", type=int, help="blocks in a batch")
    add("--softmax-batch", type=int, default=1024, help="as fairseq-eval-lm's (default: 1024)")
    add("--json", action="store_true", help="print the figures, unrounded, as JSON instead of a table")
    console.add_run_options(parser)
    return parser


def main(argv=None) -> int:
    parser = build_parser()
    args = parser.parse_args(argv)
    console.quiet_libraries()
    subsets = args.gen_subset.split(",")
    folder = Path(utils.split_paths(args.data)[0])  # of several shards the first, as fairseq-eval-lm
    for file in (folder / "dict.txt", *(folder / f"{subset}.idx" for subset in subsets)):
        if not file.is_file():
            parser.error(f"DATA {args.data}, --gen-subset {args.gen_subset}: there is no {file}")
    try:
        allowed = "language_modeling(_v2s)"
        states = {path: load_checkpoint(path, LanguageModelingTask, allowed) for path in args.checkpoints}
        block = args.tokens_per_sample or next(iter(states.values()))["cfg"].task.tokens_per_sample
        stride = block - args.context_window
        if not 0 < stride <= block:
            parser.error(
                f"--context-window {args.context_window}: leaves {stride} tokens of a block of {block} to score; "
                f"allowed is 0 to {block - 1} (or a longer block: --tokens-per-sample)"
            )
        console.check_minimum(parser, args, max_tokens=stride, batch_size=1, softmax_batch=1, tokens_per_sample=1)
        loaded = {path: _load(path, state, args, block) for path, state in states.items()}
        measured = {
            path: {
                "heads": describe_counts(heads_in_checkpoint(states[path]).values()),
                "parameters_without_embeddings": non_embedding_parameters(states[path]["model"]),
                "subsets": {subset: _measure(path, task, model, subset, args) for subset in subsets},
            }
            for path, (task, model) in loaded.items()
        }
    except (CheckpointError, InputError) as error:
        parser.error(str(error))
    conditions = _conditions(args, block, stride)
    if args.json:
        print(json.dumps({**conditions, "checkpoints": measured}, indent=1, default=vars))
    else:
        splits = ((path, subset, result) for path in measured for subset, result in measured[path]["subsets"].items())
        table = console.table_of_records([_cells(*split) for split in splits])
        print(conditions["window"], conditions["machine"], table, sep="\n")
    return 0


def _conditions(args, block: int, stride: int) -> Dict[str, Any]:
    """The conditions that the figures were measured under."""
    return {
        "data": args.data,
        "block": block,
        "context_window": args.context_window,
        "stride": stride,
        "subwords": args.remove_bpe,
        "window": f"blocks of {block} tokens, context window {args.context_window}, stride {stride}",
        "machine": f"batches of {args.batch_size or args.max_tokens} {'blocks' if args.batch_size else 'tokens'}; "
        f"{console.describe_machine(console.choose_device(args))}",
    }


def _load(path: str, state: Dict[str, Any], args, block: int):
    """Task and model of one checkpoint, ready to be measured; all are loaded before any work starts."""
    options = {
        "tokens_per_sample": block - args.context_window,
        "sample_break_mode": "none",  # as fairseq-eval-lm, whatever the training had: one window for all models
        "shorten_method": "none",
        "use_plasma_view": False,
    }
    task, model = load_task_and_model(path, state, args.data, **options)
    most = model.max_positions()
    if block > most:
        raise InputError(f"--tokens-per-sample {block}: CHECKPOINT {path} has {most} positions; allowed is no more")
    return task, model


def _measure(path: str, task, model, subset: str, args) -> Perplexity:
    print(f"{path}: {subset}", file=sys.stderr)
    load_split(task, args.data, "--gen-subset", subset)
    silent = args.no_progress_bar or not sys.stderr.isatty()
    progress = partial(progress_bar.progress_bar, log_format="none" if silent else "tqdm", prefix=subset)
    model = model.to(console.choose_device(args))
    options = {name: getattr(args, name) for name in ("context_window", "max_tokens", "batch_size", "softmax_batch")}
    try:
        return measure_perplexity(task, model, subset, **options, subwords=args.remove_bpe, progress=progress)
    except ValueError as error:
        raise InputError(f"CHECKPOINT {path}: {error}") from error


def _cells(path: str, subset: str, result: Perplexity) -> Dict[str, str]:
    """A row of the table: title -> cell."""
    in_words = result.words is not None
    return {
        "checkpoint": path,
        "split": subset,
        "tokens": f"{result.tokens:,}",
        **({"words": f"{result.words:,}"} if in_words else {}),
        "bits per token": f"{result.bits_per_token:.4f}",
        "perplexity": f"{result.perplexity:.2f}",
        **({"perplexity per word": f"{result.word_perplexity:.2f}"} if in_words else {}),
        "tokens/s": f"{result.tokens / result.seconds:,.0f}",
    }
