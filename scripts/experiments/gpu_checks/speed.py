"""Speed of training and generation, of fairseq's own transformer: with the limits that hold on a GPU."""

import json
from typing import List

from experiments.gpu_checks.processes import Processes, words
from experiments.gpu_checks.rows import Check, Row, compared
from experiments.training_sides import STAGE_2, STOCK, UNCONSTRAINED

_CONSTRAINED = ("ours, value", "ours, attention", "ours, output")
_LIMITS = {**dict.fromkeys(_CONSTRAINED, 1.05), STAGE_2: 0.95}
_OF_LANGUAGE_MODELS = {UNCONSTRAINED: 0.90, STAGE_2: 0.90}
_SLIM_LEAST = 1.25  # at the largest batch and the most tokens

# Name and options on a GPU, the same on a CPU, and limits.
_BASE = "--width 512 --layers 6 --vocabulary 10000 --rounds 15"
_TINY = "--width 64 --layers 2 --vocabulary 500 --rounds 3 --warm-up 1"
UPDATES = [
    (
        ("4,096 tokens, float32", f"{_BASE} --length 32 --tokens 4096"),
        ("256 tokens, float32", f"{_TINY} --tokens 256"),
        _LIMITS,
    ),
    (
        ("16,384 tokens, float16", f"{_BASE} --length 32 --tokens 16384 --fp16"),
        ("512 tokens, float16", f"{_TINY} --tokens 512 --fp16"),
        _LIMITS,
    ),
    (
        ("language model, blocks of 512, bfloat16", f"{_BASE} --language-model --length 512 --tokens 16384 --bf16"),
        ("language model, blocks of 64, bfloat16", f"{_TINY} --language-model --length 64 --tokens 256 --bf16"),
        _OF_LANGUAGE_MODELS,
    ),
]
PRECISIONS = ("float32", "float16", "bfloat16")
_GENERATION = (
    "--sentences 1 32 256 --tokens 10 50",
    "--width 64 --layers 2 --vocabulary 500 --sentences 1 4 --tokens 5",
)


def updates(processes: Processes, cpu: bool) -> List[Check]:
    """An update of every side."""
    cases = [(*(small if cpu else large), {} if cpu else limits) for large, small, limits in UPDATES]
    return [Check(f"update, {case[0]}", lambda case=case: _updates(processes, cpu, *case)) for case in cases]


def generation(processes: Processes, cpu: bool) -> List[Check]:
    """Batches of several sizes; one process a precision."""
    return [Check(f"generation, {name}", lambda name=name: _generation(processes, cpu, name)) for name in PRECISIONS]


def _updates(processes: Processes, cpu: bool, name: str, options: str, limits) -> List[Row]:
    log = f"update_{name.replace(' ', '_').replace(',', '')}"
    command = f"python scripts/benchmark_training.py {options} --json{' --cpu' if cpu else ''}"
    (measured,) = _json(processes.run(log, words(command), threads=None))["combinations"]
    sides = measured["sides"]
    rows = []
    for side in (UNCONSTRAINED, *_CONSTRAINED, STAGE_2):
        ratio = sides[side]["ratio"]
        operations = sides[side]["operations"] / sides[STOCK]["operations"]
        figure = (
            f"{_spread(ratio)} of fairseq's {sides[STOCK]['milliseconds']['median']:.1f} ms; "
            f"{operations:.3f} of its operations"
        )
        rows.append(compared(f"update, {name}: {side}", figure, ratio["median"], most=limits.get(side)))
    return rows


def _generation(processes: Processes, cpu: bool, precision: str) -> List[Row]:
    large, small = _GENERATION
    options = f"{small} --cpu" if cpu else large
    command = f"python scripts/benchmark_generation.py --precisions {precision} {options} --json"
    runs = _json(processes.run(f"generation_{precision}", words(command), threads=None))["runs"]
    rows = []
    for run in runs:
        speed = run["slim"]["speed"]
        figure = (
            f"slim {_spread(speed)}, all heads {_spread(run['ours']['speed'])} of fairseq's "
            f"{run[STOCK]['sentences_per_second']['median']:,.1f} sentences/s"
        )
        least = None if cpu or run is not runs[-1] else _SLIM_LEAST
        name = f"generation, {precision}, {run['sentences']} sentences, {run['tokens']} tokens"
        rows.append(compared(name, figure, speed["median"], least=least))
    return rows


def _json(printed: str):
    """The figures, among what libraries printed."""
    return json.JSONDecoder().raw_decode(printed[printed.index("{\n") :])[0]


def _spread(values) -> str:
    return f"{values['median']:.3f} ({values['low']:.3f} to {values['high']:.3f})"
