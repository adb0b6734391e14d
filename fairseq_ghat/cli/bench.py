"""`ghat-bench DATA CHECKPOINT...`: how fast translation models generate, side by side in one process."""

import argparse
import json
import logging
import sys
from argparse import Namespace
from functools import partial
from typing import Any, Dict, List

import torch
from fairseq import utils
from fairseq.dataclass.configs import GenerationConfig
from fairseq.tasks.translation import TranslationTask

from fairseq_ghat.checkpoints.files import CheckpointError
from fairseq_ghat.checkpoints.stock_conversion import NotGroupable, as_grouped_checkpoint
from fairseq_ghat.cli.console import add_run_options, markdown_table, progress_line, quiet_libraries
from fairseq_ghat.cli.measured_models import (
    NotMeasurable,
    check_data,
    checkpoint_of_task,
    describe_machine,
    measuring_device,
    task_and_model,
)
from fairseq_ghat.profiling.interleaved_runs import describe_interval, ratios, run_by_turns, spread
from fairseq_ghat.profiling.parameters import describe_heads, heads_in_checkpoint
from fairseq_ghat.profiling.peak_memory import peak_bytes, resident_bytes
from fairseq_ghat.profiling.speed import Generation, TimedGenerator


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(prog="ghat-bench", description=__doc__.split("`: ")[1])
    found.add_argument("data", metavar="DATA", help="folder that fairseq-preprocess made")
    found.add_argument(
        "checkpoints",
        metavar="CHECKPOINT",
        nargs="+",
        help="of fairseq's translation models or of ours, slim ones too; ratios are to the first",
    )
    found.add_argument(
        "--as-grouped",
        action="store_true",
        help="measure each checkpoint of fairseq's own transformer once more as our model with the same weights",
    )
    found.add_argument("--gen-subset", default="test", help="split (default: test)")
    found.add_argument("--sentences", type=int, metavar="N", help="about so many of it, of all lengths (default: all)")
    found.add_argument("--batch-size", type=int, default=256, metavar="N", help="sentences in a batch (default: 256)")
    found.add_argument("--beam", type=int, default=5, metavar="N", help="beam size (default: 5)")
    found.add_argument("--max-len-a", type=float, default=0.0, metavar="A", help="most tokens: A x source length + B")
    found.add_argument("--max-len-b", type=int, default=10, metavar="B", help="(default: A 0, B 10)")
    found.add_argument(
        "--min-len", type=int, default=1, metavar="N", help="fewest tokens, so that all models take as many steps"
    )
    found.add_argument("--repeats", type=int, default=7, metavar="N", help="passes that count (default: 7)")
    found.add_argument("--warm-up", type=int, default=1, metavar="N", help="passes before them (default: 1)")
    found.add_argument("--threads", type=int, metavar="N", help="of the CPU (default: torch's)")
    found.add_argument("--fp16", action="store_true", help="half precision, on a GPU")
    found.add_argument("--json", action="store_true", help="print the figures, unrounded, as JSON instead of a table")
    add_run_options(found)
    return found


def main(argv=None) -> int:
    command = parser()
    args = command.parse_args(argv)
    quiet_libraries(logging.WARNING, sys.stderr)
    device = measuring_device(args)
    try:
        _check_numbers(args, device)
        check_data(args.data)
        if args.threads:
            torch.set_num_threads(args.threads)
        sides = _load(args, device)
        batches = _batches(args, sides, device)
        measured = _measure(args, sides, batches, device)
    except (CheckpointError, NotMeasurable) as error:
        command.error(str(error))
    conditions = _conditions(args, measured[0]["sentences"], device)
    if args.json:
        print(json.dumps({**conditions, "checkpoints": measured}, indent=1, default=vars))
    else:
        print(conditions["setting"], conditions["machine"], _table(measured), sep="\n")
    return 0


def _check_numbers(args, device: torch.device) -> None:
    """Refuses, before anything is loaded, what cannot be measured."""
    for name, least in (
        ("sentences", 1),
        ("batch_size", 1),
        ("beam", 1),
        ("max_len_a", 0),
        ("max_len_b", 1),
        ("min_len", 1),
        ("repeats", 1),
        ("warm_up", 0),
        ("threads", 1),
    ):
        value = getattr(args, name)
        if value is not None and not least <= value < float("inf"):
            raise NotMeasurable(f"--{name.replace('_', '-')} {value}: allowed is {least} or more")
    if args.min_len > args.max_len_b:
        raise NotMeasurable(f"--min-len {args.min_len}: allowed is up to {args.max_len_b}, --max-len-b")
    if args.fp16 and device.type != "cuda":
        raise NotMeasurable("--fp16: allowed on a GPU only; this would run on a CPU")


class _Side:
    """One model to measure."""

    def __init__(self, path: str, state: Dict[str, Any], args, device: torch.device, kind: str):
        self.path, self.kind = path, kind
        self.heads = describe_heads(heads_in_checkpoint(state).values())
        self.task, model = task_and_model(path, state, args.data)
        lengths = {name: getattr(args, name) for name in ("max_len_a", "max_len_b", "min_len")}
        generation = GenerationConfig(beam=args.beam, **lengths)
        model.prepare_for_inference_(Namespace(generation=generation))
        self.model = (model.half() if args.fp16 else model).to(device)
        try:
            self.generator = TimedGenerator(self.task, self.model, generation)
        except ValueError as error:
            raise NotMeasurable(f"CHECKPOINT {path}: {error}") from error
        most = self.model.max_decoder_positions() - 1
        if args.max_len_b > most:
            raise NotMeasurable(f"--max-len-b {args.max_len_b}: allowed is up to {most}, the positions of {path}")

    def run(self, batches: List[Dict[str, Any]], parts: bool) -> Generation:
        """Raises NotMeasurable where fairseq fails, as 0.12.2 does for its own transformer with torch >= 1.13."""
        try:
            return self.generator.run(batches, parts)
        except RuntimeError as error:
            raise NotMeasurable(f"CHECKPOINT {self.path}: fairseq does not generate with it: {error}") from error


def _load(args, device: torch.device) -> List[_Side]:
    allowed = "translation(_v2s); ghat-perplexity tells the speed of language models"
    states = {path: checkpoint_of_task(path, TranslationTask, allowed) for path in args.checkpoints}
    sides = []
    for path in args.checkpoints:
        state = states[path]
        grouped = getattr(state["cfg"].model, "_name", "").startswith("ghat_")
        sides.append(_Side(path, state, args, device, "ours" if grouped else "fairseq's"))
        if args.as_grouped and not grouped:
            try:
                sides.append(_Side(path, as_grouped_checkpoint(state), args, device, "ours, same weights"))
            except (NotGroupable, ValueError) as error:
                raise NotMeasurable(f"CHECKPOINT {path}: --as-grouped: {error}") from error
    for side in sides[1:]:
        for name in ("source_lang", "target_lang", "left_pad_source"):
            first, other = (getattr(each.task.cfg, name, None) for each in (sides[0], side))
            if first != other:
                raise NotMeasurable(
                    f"CHECKPOINT {side.path}: its {name} is {other}; allowed is {first}, that of {sides[0].path}"
                )
    return sides


def _batches(args, sides: List[_Side], device: torch.device) -> List[Dict[str, Any]]:
    """The batches that every side translates: those of fairseq-generate, or some of them of all lengths."""
    task = sides[0].task
    try:
        task.load_dataset(args.gen_subset)
    except FileNotFoundError as error:
        raise NotMeasurable(f"--gen-subset {args.gen_subset}: not in DATA {args.data} ({error})") from error
    batches = list(
        task.get_batch_iterator(
            task.dataset(args.gen_subset),
            max_sentences=args.batch_size,
            max_positions=utils.resolve_max_positions(*(side.model.max_positions() for side in sides)),
            ignore_invalid_inputs=True,
            required_batch_size_multiple=1,
        ).next_epoch_itr(shuffle=False)
    )
    if not batches:
        raise NotMeasurable(f"--gen-subset {args.gen_subset}: no sentence of it fits the positions of the models")
    if args.sentences is not None:
        wanted = min(-(-args.sentences // args.batch_size), len(batches))
        # The batches are in the order of lengths: from each of `wanted` equal parts the middle one.
        batches = [batches[(2 * part + 1) * len(batches) // (2 * wanted)] for part in range(wanted)]
    return [utils.move_to_cuda(batch) for batch in batches] if device.type == "cuda" else batches


def _measure(args, sides: List[_Side], batches, device: torch.device) -> List[Dict[str, Any]]:
    progress = progress_line(args.no_progress_bar)

    def passes(parts: bool) -> List[List[Generation]]:
        named = {
            f"{number + 1}: {side.path}": lambda _, side=side: side.run(batches, parts)
            for number, side in enumerate(sides)
        }
        return list(run_by_turns(named, args.repeats, args.warm_up, progress).values())

    runs = passes(parts=False)
    # On a CPU the clocks inside cost nothing; on a GPU they make each step wait, so they get passes of their own.
    split = passes(parts=True) if device.type == "cuda" else runs
    largest = max(batches, key=lambda batch: batch["net_input"]["src_tokens"].numel())
    peaks = []
    for side in sides:
        progress(f"memory, {side.path}")
        peaks.append(resident_bytes(side.model) + peak_bytes(partial(side.run, [largest], False), device))
    progress("")
    return [_figures(side, *of_side, runs[0], peak) for side, *of_side, peak in zip(sides, runs, split, peaks)]


def _figures(
    side: _Side, taken: List[Generation], split: List[Generation], first: List[Generation], peak: int
) -> Dict[str, Any]:
    return {
        "checkpoint": side.path,
        "model": side.kind,
        "heads": side.heads,
        "sentences": taken[0].sentences,
        "tokens": taken[0].tokens,
        "sentences_per_second": spread([run.sentences / run.seconds for run in taken]),
        "tokens_per_second": spread([run.tokens / run.seconds for run in taken]),
        "speed_ratio": ratios([run.seconds for run in first], [run.seconds for run in taken]),
        "encoder_seconds_per_batch": spread([run.encoder_seconds / run.batches for run in split]),
        "decoder_seconds_per_step": spread([run.decoder_seconds / run.steps for run in split]),
        "steps": taken[0].steps,
        "peak_bytes": peak,
    }


def _conditions(args, sentences: int, device: torch.device) -> Dict[str, Any]:
    """What the figures hold for."""
    most = f"{args.max_len_a:g} x source + {args.max_len_b}" if args.max_len_a else f"{args.max_len_b}"
    fewest = f", minimum {args.min_len}" if args.min_len > 1 else ""
    precision = "float16" if args.fp16 else "float32"
    return {
        "data": args.data,
        "subset": args.gen_subset,
        "beam": args.beam,
        "batch_size": args.batch_size,
        "max_len_a": args.max_len_a,
        "max_len_b": args.max_len_b,
        "min_len": args.min_len,
        "precision": precision,
        "repeats": args.repeats,
        "warm_up": args.warm_up,
        "setting": f"{sentences} sentences of {args.gen_subset}, beam {args.beam}, batches of {args.batch_size}, "
        f"maximum length {most}{fewest}, {precision}; median of {args.repeats} alternating "
        f"passes after {args.warm_up} to warm up, in brackets {describe_interval(args.repeats)}",
        "machine": describe_machine(device),
    }


def _table(measured: List[Dict[str, Any]]) -> str:
    titles = ["checkpoint", "model", "attentions x heads", "sentences/s", "ratio to the first", "tokens/s"]
    titles += ["encoder, ms a batch", "decoder, ms a step", "peak memory, MiB"]
    rows = [
        [
            found["checkpoint"],
            found["model"],
            found["heads"],
            f"{found['sentences_per_second'].median:.1f}",
            found["speed_ratio"].describe(3),
            f"{found['tokens_per_second'].median:.1f}",
            f"{1000 * found['encoder_seconds_per_batch'].median:.1f}",
            f"{1000 * found['decoder_seconds_per_step'].median:.1f}",
            f"{found['peak_bytes'] / 2**20:.1f}",
        ]
        for found in measured
    ]
    return markdown_table(titles, rows)


if __name__ == "__main__":
    sys.exit(main())
