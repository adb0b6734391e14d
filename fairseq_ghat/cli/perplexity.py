"""`ghat-perplexity DATA CHECKPOINT...`: perplexity of language models, all under one stated window."""

import argparse
import json
import logging
import sys
from pathlib import Path
from typing import Any, Dict, List

from fairseq import utils
from fairseq.logging import progress_bar
from fairseq.tasks.language_modeling import LanguageModelingTask

from fairseq_ghat.checkpoints.files import CheckpointError
from fairseq_ghat.cli.console import add_run_options, markdown_table, quiet_libraries
from fairseq_ghat.cli.measured_models import (
    NotMeasurable,
    checkpoint_of_task,
    describe_machine,
    measuring_device,
    task_and_model,
)
from fairseq_ghat.evaluation.perplexity import SUBWORDS, Perplexity, measure_perplexity
from fairseq_ghat.profiling.parameters import describe_heads, heads_in_checkpoint, non_embedding_parameters


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(prog="ghat-perplexity", description=__doc__.split("`: ")[1])
    found.add_argument("data", metavar="DATA", help="folder that fairseq-preprocess made")
    found.add_argument(
        "checkpoints", metavar="CHECKPOINT", nargs="+", help="of fairseq's language models or of ours, slim ones too"
    )
    found.add_argument("--gen-subset", default="test", help="splits, separated by commas (default: test)")
    found.add_argument(
        "--tokens-per-sample", type=int, metavar="N", help="tokens in a block (default: as the first checkpoint)"
    )
    found.add_argument(
        "--context-window", type=int, default=0, metavar="N", help="of them, context that is not scored (default: 0)"
    )
    found.add_argument(
        "--remove-bpe", "--post-process", choices=SUBWORDS, help="the text is in subwords: perplexity per word as well"
    )
    found.add_argument("--max-tokens", type=int, default=4096, help="to score in a batch (default: 4096)")
    found.add_argument("--batch-size", type=int, help="blocks in a batch")
    found.add_argument("--softmax-batch", type=int, default=1024, help="as fairseq-eval-lm's (default: 1024)")
    found.add_argument("--json", action="store_true", help="print the figures, unrounded, as JSON instead of a table")
    add_run_options(found)
    return found


def main(argv=None) -> int:
    command = parser()
    args = command.parse_args(argv)
    quiet_libraries(logging.WARNING, sys.stderr)
    subsets = args.gen_subset.split(",")
    folder = Path(utils.split_paths(args.data)[0])  # of several shards the first, as fairseq-eval-lm
    for file in (folder / "dict.txt", *(folder / f"{subset}.idx" for subset in subsets)):
        if not file.is_file():
            command.error(f"DATA {args.data}, --gen-subset {args.gen_subset}: there is no {file}")
    try:
        states = {
            path: checkpoint_of_task(path, LanguageModelingTask, "language_modeling(_v2s)") for path in args.checkpoints
        }
        block = args.tokens_per_sample or next(iter(states.values()))["cfg"].task.tokens_per_sample
        _check_sizes(args, block)
        loaded = {path: _load(path, state, args, block) for path, state in states.items()}
        conditions = _conditions(args, block)
        measured = {}
        for path, (task, model) in loaded.items():
            measured[path] = {
                "heads": describe_heads(heads_in_checkpoint(states[path]).values()),
                "parameters_without_embeddings": non_embedding_parameters(states[path]["model"]),
                "subsets": {subset: _measure(path, task, model, subset, args) for subset in subsets},
            }
    except (CheckpointError, NotMeasurable) as error:
        command.error(str(error))
    if args.json:
        print(json.dumps({**conditions, "checkpoints": measured}, indent=1, default=_figures))
    else:
        print(conditions["window"], conditions["machine"], _table(measured, args), sep="\n")
    return 0


def _check_sizes(args, block: int) -> None:
    """Refuses, before any model is built, sizes that cannot work."""
    if not 0 <= args.context_window < block:
        raise NotMeasurable(
            f"--context-window {args.context_window}: leaves {block - args.context_window} tokens of a block of "
            f"{block} to score; allowed is 0 to {block - 1} (or a longer block: --tokens-per-sample)"
        )
    for flag in ("max_tokens", "batch_size", "softmax_batch", "tokens_per_sample"):
        least = block - args.context_window if flag == "max_tokens" else 1
        if getattr(args, flag) is not None and getattr(args, flag) < least:
            raise NotMeasurable(f"--{flag.replace('_', '-')} {getattr(args, flag)}: allowed is {least} or more")


def _conditions(args, block: int) -> Dict[str, Any]:
    """What the figures hold for."""
    stride = block - args.context_window
    return {
        "data": args.data,
        "block": block,
        "context_window": args.context_window,
        "stride": stride,
        "subwords": args.remove_bpe,
        "window": f"blocks of {block} tokens, context window {args.context_window}, stride {stride}",
        "machine": f"batches of {args.batch_size or args.max_tokens} {'blocks' if args.batch_size else 'tokens'}; "
        f"{describe_machine(measuring_device(args))}",
    }


def _load(path: str, state: Dict[str, Any], args, block: int):
    """Task and model of one checkpoint, ready to be measured; all are loaded before any work starts."""
    options = {"tokens_per_sample": block - args.context_window, "use_plasma_view": False}
    task, model = task_and_model(path, state, args.data, **options)
    if block > model.max_positions():
        raise NotMeasurable(
            f"--tokens-per-sample {block}: CHECKPOINT {path} has {model.max_positions()} positions; allowed is no more"
        )
    return task, model


def _measure(path: str, task, model, subset: str, args) -> Perplexity:
    print(f"{path}: {subset}", file=sys.stderr)
    task.load_dataset(subset)
    try:
        return measure_perplexity(
            task,
            model.to(measuring_device(args)),
            subset,
            context_window=args.context_window,
            max_tokens=args.max_tokens,
            batch_size=args.batch_size,
            softmax_batch=args.softmax_batch,
            subwords=args.remove_bpe,
            progress=lambda batches: _with_progress(batches, subset, args),
        )
    except ValueError as error:
        raise NotMeasurable(f"CHECKPOINT {path}: {error}") from error


def _with_progress(batches, name: str, args):
    silent = args.no_progress_bar or not sys.stderr.isatty()
    return progress_bar.progress_bar(batches, log_format="none" if silent else "tqdm", prefix=name)


def _table(measured: Dict[str, Dict[str, Any]], args) -> str:
    titles = ["checkpoint", "split", "tokens", "bits per token", "perplexity", "tokens/s"]
    if args.remove_bpe:
        titles[3:3] = ["words"]
        titles[6:6] = ["perplexity per word"]
    rows: List[List[str]] = []
    for path, found in measured.items():
        for subset, result in found["subsets"].items():
            row = [path, subset, f"{result.tokens:,}", f"{result.loss:.4f}", f"{result.perplexity:.2f}"]
            row.append(f"{result.tokens / result.seconds:,.0f}")
            if args.remove_bpe:
                row[3:3] = [f"{result.words:,}"]
                row[6:6] = [f"{result.word_perplexity:.2f}"]
            rows.append(row)
    return markdown_table(titles, rows)


def _figures(result: Perplexity) -> Dict[str, Any]:
    return {
        "tokens": result.tokens,
        "words": result.words,
        "bits_per_token": result.loss,
        "perplexity": result.perplexity,
        "word_perplexity": result.word_perplexity,
        "seconds": result.seconds,
    }


if __name__ == "__main__":
    sys.exit(main())
