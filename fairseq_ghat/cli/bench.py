"""`ghat-bench DATA CHECKPOINT...`: how fast translation models generate, side by side in one process."""

import argparse
import json
from argparse import Namespace
from functools import partial
from time import process_time
from typing import Any, Dict, List

import torch
from fairseq import utils
from fairseq.dataclass.configs import GenerationConfig
from fairseq.models import BaseFairseqModel
from fairseq.tasks import FairseqTask
from fairseq.tasks.translation import TranslationTask

from fairseq_ghat.checkpoints.files import CheckpointError
from fairseq_ghat.checkpoints.model_options import NotGroupable
from fairseq_ghat.cli import console
from fairseq_ghat.cli.loading import (
    InputError,
    check_data,
    data_files,
    load_checkpoint,
    load_split,
    load_task_and_grouped_model,
    load_task_and_model,
)
from fairseq_ghat.modules.attention_layers import is_voted
from fairseq_ghat.profiling import latency
from fairseq_ghat.profiling.interleaved_runs import describe_interval, ratios, run_by_turns, spread
from fairseq_ghat.profiling.parameters import describe_counts, heads_in_checkpoint
from fairseq_ghat.profiling.peak_memory import peak_bytes, resident_bytes
from fairseq_ghat.profiling.speed import Generation, TimedGenerator, batches_of_all_lengths

# The kind of a side that is a stock checkpoint's weights in our model.
_AS_GROUPED = "ours, same weights"
_ALLOWED = "translation(_v2s); ghat-perplexity tells the speed of language models"


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ghat-bench", description=__doc__.split("`: ")[1])
    add = parser.add_argument
    add("data", metavar="DATA", help="folder that fairseq-preprocess made")
    of_models = "of fairseq's translation models or of ours, slim ones too; ratios are to the first"
    add("checkpoints", metavar="CHECKPOINT", nargs="+", help=of_models)
    again = "measure each checkpoint of fairseq's own transformer once more as our model with the same weights"
    add("--as-grouped", action="store_true", help=again)
    add("--gen-subset", default="test", help="split (default: test)")
    add("--sentences", type=int, metavar="N", help="about so many of it, of all lengths (default: all)")
    add("--batch-size", type=int, default=256, metavar="N", help="sentences in a batch (default: 256)")
    add("--beam", type=int, default=5, metavar="N", help="beam size (default: 5)")
    add("--max-len-a", type=float, default=0.0, metavar="A", help="most tokens: A x source length + B")
    add("--max-len-b", type=int, default=10, metavar="B", help="(default: A 0, B 10)")
    add("--min-len", type=int, default=1, metavar="N", help="fewest tokens, so that all models take as many steps")
    add("--repeats", type=int, default=7, metavar="N", help="passes that count (default: 7)")
    add("--warm-up", type=int, default=1, metavar="N", help="passes before them (default: 1)")
    add("--threads", type=int, metavar="N", help="of the CPU (default: torch's)")
    add("--fp16", action="store_true", help="half precision, on a GPU")
    add("--json", action="store_true", help="print the figures, unrounded, as JSON instead of a table")
    saves = "measure what one CHECKPOINT saves where layers hold fewer heads or neurons, for --budget latency=SHARE of"
    add("--latency-table", metavar="FILE", help=f"{saves} ghat-vote; every translation then has --max-len-b tokens")
    console.add_run_options(parser)
    return parser


def main(argv=None) -> int:
    parser = build_parser()
    args = parser.parse_args(argv)
    console.quiet_libraries()
    device = console.choose_device(args)
    console.check_minimum(parser, args, sentences=1, batch_size=1, beam=1, max_len_a=0, max_len_b=1)
    console.check_minimum(parser, args, min_len=1, repeats=1, warm_up=0, threads=1)
    if args.min_len > args.max_len_b:
        parser.error(f"--min-len {args.min_len}: allowed is up to {args.max_len_b}, --max-len-b")
    if args.latency_table is not None:
        _check_latency_options(parser, args)
    if args.fp16 and device.type != "cuda":
        parser.error("--fp16: allowed on a GPU only; this would run on a CPU")
    try:
        check_data(args.data)
        if args.threads:
            torch.set_num_threads(args.threads)
        if args.latency_table is not None:
            _write_latency_table(parser, args, device)
            return 0
        sides = _load_sides(args, device)
        figures = _measure(args, sides, _load_batches(args, sides, device), device)
    except (CheckpointError, InputError) as error:
        parser.error(str(error))
    conditions = _conditions(args, figures[0]["sentences"], device)
    if args.json:
        print(json.dumps({**conditions, "checkpoints": figures}, indent=1, default=vars))
    else:
        table = console.table_of_records([_cells(side) for side in figures])
        print(conditions["setting"], conditions["machine"], table, sep="\n")
    return 0


class _Side:
    """One model to measure, and its generator."""

    def __init__(self, path: str, kind: str, heads: str, task: FairseqTask, model: BaseFairseqModel, args, device):
        self.path, self.kind, self.heads, self.task = path, kind, heads, task
        options = ("beam", "max_len_a", "max_len_b", "min_len")
        generation = GenerationConfig(**{name: getattr(args, name) for name in options})
        model.prepare_for_inference_(Namespace(generation=generation))
        self.model = (model.half() if args.fp16 else model).to(device)
        try:
            self.generator = TimedGenerator(self.task, self.model, generation)
        except ValueError as error:
            raise InputError(f"CHECKPOINT {path}: {error}") from error
        most = self.model.max_decoder_positions() - 1
        if args.max_len_b > most:
            raise InputError(f"--max-len-b {args.max_len_b}: allowed is up to {most}, the positions of {path}")

    def run(self, batches: List[Dict[str, Any]], parts: bool) -> Generation:
        """Raises InputError where fairseq fails, as 0.12.2 does for its own transformer with torch >= 1.13."""
        try:
            return self.generator.run(batches, parts)
        except RuntimeError as error:
            raise InputError(f"CHECKPOINT {self.path}: generation with it fails: {error}") from error

    def seconds(self, batch: Dict[str, Any]) -> float:
        """Time of one batch; of one thread of a CPU its own time, which other programs do not lengthen."""
        alone = self.generator.model.device.type == "cpu" and torch.get_num_threads() == 1
        start = process_time()
        seconds = self.run([batch], False).seconds
        return process_time() - start if alone else seconds


def _load_sides(args, device: torch.device) -> List[_Side]:
    """The models to compare, on one device and of one language pair."""
    states = [(path, load_checkpoint(path, TranslationTask, _ALLOWED)) for path in args.checkpoints]
    sides = []
    for path, state in states:
        grouped = getattr(state["cfg"].model, "_name", "").startswith("ghat_")
        heads = describe_counts(heads_in_checkpoint(state).values())
        loaded = load_task_and_model(path, state, args.data)
        sides.append(_Side(path, "ours" if grouped else "fairseq's", heads, *loaded, args, device))
        if args.as_grouped and not grouped:
            try:
                loaded = load_task_and_grouped_model(path, state, args.data, {})
                sides.append(_Side(path, _AS_GROUPED, heads, *loaded, args, device))
            except ValueError as error:
                raise InputError(f"CHECKPOINT {path}: --as-grouped: {error}") from error
    for side in sides[1:]:
        for name in ("source_lang", "target_lang", "left_pad_source"):
            first, other = (getattr(task.cfg, name, None) for task in (sides[0].task, side.task))
            if first != other:
                wanted = f"allowed is {first}, that of {sides[0].path}"
                raise InputError(f"CHECKPOINT {side.path}: its {name} is {other}; {wanted}")
    return sides


def _load_batches(args, sides: List[_Side], device: torch.device) -> List[Dict[str, Any]]:
    """The batches that every side translates: those of fairseq-generate, or some of them of all lengths."""
    task = sides[0].task
    load_split(task, args.data, "--gen-subset", args.gen_subset)
    iterator = task.get_batch_iterator(
        task.dataset(args.gen_subset),
        max_sentences=args.batch_size,
        max_positions=utils.resolve_max_positions(*(side.model.max_positions() for side in sides)),
        ignore_invalid_inputs=True,
        required_batch_size_multiple=1,
    )
    batches = list(iterator.next_epoch_itr(shuffle=False))
    if not batches:
        raise InputError(f"--gen-subset {args.gen_subset}: no sentence of it fits the positions of the models")
    if args.sentences is not None:
        batches = batches_of_all_lengths(batches, -(-args.sentences // args.batch_size))
    return [utils.move_to_cuda(batch) for batch in batches] if device.type == "cuda" else batches


def _measure(args, sides: List[_Side], batches, device: torch.device) -> List[Dict[str, Any]]:
    """Figures of each side, as --json prints them."""
    progress = console.progress_line(args.no_progress_bar)

    def passes(parts: bool) -> List[List[Generation]]:
        named = {f"{number}: {side.path}": side for number, side in enumerate(sides, start=1)}
        runs = {name: lambda _, side=side: side.run(batches, parts) for name, side in named.items()}
        return list(run_by_turns(runs, args.repeats, args.warm_up, progress).values())

    whole = passes(parts=False)
    # On a CPU the clocks inside cost nothing; on a GPU they make each step wait, so they get passes of their own.
    split = passes(parts=True) if device.type == "cuda" else whole
    largest = max(batches, key=lambda batch: batch["net_input"]["src_tokens"].numel())
    peaks = []
    for side in sides:
        progress(f"memory, {side.path}")
        peaks.append(resident_bytes(side.model) + peak_bytes(partial(side.run, [largest], False), device))
    progress("")
    return [
        {
            "checkpoint": side.path,
            "model": side.kind,
            "heads": side.heads,
            "sentences": runs[0].sentences,
            "tokens": runs[0].tokens,
            "sentences_per_second": spread([run.sentences / run.seconds for run in runs]),
            "tokens_per_second": spread([run.tokens / run.seconds for run in runs]),
            "speed_ratio": ratios([run.seconds for run in whole[0]], [run.seconds for run in runs]),
            "encoder_seconds_per_batch": spread([run.encoder_seconds / run.batches for run in split_runs]),
            "decoder_seconds_per_step": spread([run.decoder_seconds / run.steps for run in split_runs]),
            "steps": runs[0].steps,
            "peak_bytes": peak,
        }
        for side, runs, split_runs, peak in zip(sides, whole, split, peaks)
    ]


def _check_latency_options(parser: argparse.ArgumentParser, args) -> None:
    """Refuses options that do not go with --latency-table, and a file that cannot be written."""
    if len(args.checkpoints) > 1:
        parser.error(f"CHECKPOINT {args.checkpoints[1]}: allowed with --latency-table is one")
    for flag, given in (("--as-grouped", args.as_grouped), ("--json", args.json)):
        if given:
            parser.error(f"{flag}: not with --latency-table, which measures our model and writes JSON")
    if args.max_len_a or args.min_len not in (1, args.max_len_b):
        parser.error("--latency-table: every translation has --max-len-b tokens; leave out --max-len-a and --min-len")
    args.min_len = args.max_len_b
    inputs = {"CHECKPOINT": args.checkpoints, "DATA": data_files(args.data)}
    console.check_out(parser, args.latency_table, inputs, "--latency-table")


def _write_latency_table(parser: argparse.ArgumentParser, args, device: torch.device) -> None:
    """Measures the cut copies of a model, and writes and prints what they save."""
    (path,) = args.checkpoints
    state = load_checkpoint(path, TranslationTask, _ALLOWED)
    try:
        task, model = load_task_and_grouped_model(path, state, args.data, {})
        if is_voted(model):
            raise NotGroupable("it was voted on already; allowed is a whole model")
        models = latency.cut_models(model)
    except ValueError as error:
        raise InputError(f"CHECKPOINT {path}: --latency-table: {error}") from error
    whole = _Side(path, "ours", "", task, model, args, device)
    cuts = {cut: _Side(path, "ours", "", task, copy, args, device) for cut, copy in models.items()}
    batches = _load_batches(args, [whole], device)
    seconds = latency.seconds_of_cuts(
        {cut: lambda number, side=side: side.seconds(batches[number]) for cut, side in cuts.items()},
        lambda number: whole.seconds(batches[number]),
        (len(batches), args.repeats, args.warm_up),
        console.progress_line(args.no_progress_bar),
    )
    table = {
        **_conditions(args, sum(batch["nsentences"] for batch in batches), device),
        **latency.table_of(model, seconds),
    }
    console.write_json(parser, table, args.latency_table, "--latency-table")
    print(table["setting"], table["machine"], console.table_of_records(latency.rows(table)), sep="\n")


def _conditions(args, sentences: int, device: torch.device) -> Dict[str, Any]:
    """The conditions that the figures were measured under."""
    most = f"{args.max_len_a:g} x source + {args.max_len_b}" if args.max_len_a else f"{args.max_len_b}"
    fewest = f", minimum {args.min_len}" if args.min_len > 1 else ""
    precision = "float16" if args.fp16 else "float32"
    options = ("beam", "batch_size", "max_len_a", "max_len_b", "min_len", "repeats", "warm_up")
    return {
        "data": args.data,
        "subset": args.gen_subset,
        **{name: getattr(args, name) for name in options},
        "precision": precision,
        "setting": f"{sentences} sentences of {args.gen_subset}, beam {args.beam}, batches of {args.batch_size}, "
        f"maximum length {most}{fewest}, {precision}; median of {args.repeats} alternating "
        f"passes after {args.warm_up} to warm up, in brackets {describe_interval(args.repeats)}",
        "machine": console.describe_machine(device),
    }


def _cells(side: Dict[str, Any]) -> Dict[str, str]:
    """A row of the table: title -> cell."""
    return {
        "checkpoint": side["checkpoint"],
        "model": side["model"],
        "attentions x heads": side["heads"],
        "sentences/s": f"{side['sentences_per_second'].median:.1f}",
        "ratio to the first": side["speed_ratio"].describe(3),
        "tokens/s": f"{side['tokens_per_second'].median:.1f}",
        "encoder, ms a batch": f"{1000 * side['encoder_seconds_per_batch'].median:.1f}",
        "decoder, ms a step": f"{1000 * side['decoder_seconds_per_step'].median:.1f}",
        "peak memory, MiB": f"{side['peak_bytes'] / 2**20:.1f}",
    }
