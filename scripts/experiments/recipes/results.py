"""Reads what the runs of benchmarks made, and tests each system against the first one of its data set."""

import json
import math
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import mean
from typing import Any, Dict, List, Optional, Sequence, Tuple

from experiments.checks import BadInput
from fairseq_ghat.evaluation.generation_log import read_generation_log
from fairseq_ghat.evaluation.scoring import read_references, score_systems

# Which of the FLOPs the paper counts.
FLOPS = {"language_modeling": "flops_without_output_layer"}
_SCORING = ("metric", "lowercase", "tokenize", "target_lang", "split_sentences")  # of ghat-score, in its JSON
_UPDATES = re.compile(r"num_updates['\": =]+(\d+)")


@dataclass
class Row:
    """One system on one data set, with all its seeds.

    Attributes:
        set: name of the data set.
        kind: of task.
        system: its name in settings.yaml.
        heads: kept in each attention layer.
        parameters: without embeddings.
        flops: of one sentence of 30 tokens.
        updates: of the training; None where its log does not tell.
        speed: sentences/s or tokens/s, mean over the seeds; None if it was not measured.
        seeds: of its runs.
        scores: by metric, one for each seed; of a language model perplexities by split, per word for text in subwords.
        intervals: by metric, half the bootstrap's 95 % interval, of a single run.
        p_sentences: by metric, of the paired bootstrap against the first system of the data set, the sentences of the
            seeds that both have laid end to end.
        p_seeds: by metric, of the paired t-test over the seeds that both have, if there are two or more.
    """

    set: str
    kind: str
    system: str
    heads: str
    parameters: int
    flops: float
    updates: Optional[int]
    speed: Optional[float]
    seeds: List[int]
    scores: Dict[str, List[float]]
    intervals: Dict[str, float] = field(default_factory=dict)
    p_sentences: Dict[str, float] = field(default_factory=dict)
    p_seeds: Dict[str, float] = field(default_factory=dict)

    def of_seeds(self, metric: str, seeds: Sequence[int]) -> List[float]:
        """The scores of some of its seeds, in their order."""
        by_seed = dict(zip(self.seeds, self.scores[metric]))
        return [by_seed[seed] for seed in seeds]


def shared_seeds(rows: Sequence[Row]) -> List[int]:
    """The seeds that all rows have, in the order of the first."""
    return [seed for seed in rows[0].seeds if all(seed in row.seeds for row in rows)]


@dataclass
class _Run:
    folder: Path
    set: str
    kind: str
    system: str
    seed: int
    stats: Dict[str, Any]
    speed: Optional[float]
    scores: Dict[str, float] = field(default_factory=dict)
    interval: Dict[str, float] = field(default_factory=dict)


def read_results(folders: Sequence[Path], benches: Sequence[Path]) -> Tuple[List[Row], List[str]]:
    """The results of all runs, and under what conditions they hold.

    Args:
        folders: of the runs; the system of the first of a data set is what the others of it are compared with.
        benches: files of ghat-bench --json.

    Raises:
        ValueError: if a file is missing or does not fit, or if two folders have one system and seed; names them.
    """
    speeds, conditions = {}, []
    for bench in benches:
        measured = _json(bench, "setting", "machine", "checkpoints")
        conditions.append(f"speed: {measured['setting']}; {measured['machine']}")
        for side in measured["checkpoints"]:
            speeds[Path(side["checkpoint"]).resolve()] = side["sentences_per_second"]["median"]
    runs = [_read_run(folder, speeds) for folder in folders]
    seen: Dict[Tuple[str, str, int], Path] = {}
    for run in runs:
        other = seen.setdefault((run.set, run.system, run.seed), run.folder)
        if other is not run.folder:
            told = f"{other} and {run.folder}: both are {run.system} of {run.set} with seed {run.seed}"
            raise BadInput(f"{told}; make a table of each")
    rows = []
    for name, kind in dict.fromkeys((run.set, run.kind) for run in runs):
        of_set = [run for run in runs if run.set == name]
        of_rows, told = (_perplexities if kind == "language_modeling" else _scored)(of_set)
        rows += of_rows
        conditions += [f"{name}: {line}" for line in told]
    return rows, list(dict.fromkeys(conditions))


def joined(inputs: Sequence[Sequence[Row]]) -> List[Row]:
    """The rows of several inputs, each of which may have other systems of the same data set.

    Those of a later input are tested anew, against the first system of all, over the seeds; figures hold no sentences.

    Raises:
        BadInput: if a system of a data set is in two inputs, or if they are not scored alike.
    """
    rows: Dict[Tuple[str, str], Row] = {}
    firsts: Dict[str, Row] = {}
    for of_input in inputs:
        before = dict(firsts)
        for row in of_input:
            if (row.set, row.system) in rows:
                told = "give the folders of all its runs together, or leave one out"
                raise BadInput(f"{row.set}: {row.system} is in two of the inputs; {told}")
            firsts.setdefault(row.set, row)
            first = before.get(row.set)
            if first and list(row.scores) != list(first.scores):
                scored = [f"{one.system} has {', '.join(one.scores)}" for one in (first, row)]
                raise BadInput(f"{row.set}: not scored alike: {'; '.join(scored)}")
            if first:
                row = replace(row, p_sentences={}, p_seeds=_over_seeds(first, row))
            rows[row.set, row.system] = row
    return list(rows.values())


def _read_run(folder: Path, speeds: Dict[Path, float]) -> _Run:
    record = _json(folder / "run.json", "set", "system", "kind", "seed")
    ((checkpoint, stats),) = _json(folder / "stats.json").items()
    about = [record[name] for name in ("set", "kind", "system", "seed")]
    return _Run(folder, *about, stats, speeds.get(Path(checkpoint).resolve()))


def _scored(runs: Sequence[_Run]) -> Tuple[List[Row], List[str]]:
    """The rows of a data set by BLEU, ROUGE or error rates, and the signatures."""
    scored = {}
    for path in (run.folder / "score.json" for run in runs):
        content = _json(path, "references", "metric", "lowercase")
        # The first version wrote no more than those.
        scored[path] = tuple(content.get(key) for key in ("references", *_SCORING))
    path, *options = _the_same(scored, "not scored alike")
    if not Path(path).is_file():
        raise BadInput(f"{runs[0].folder / 'score.json'}: its references {path} are not there (from this folder)")
    references, scoring = read_references(path), dict(zip(_SCORING, options))
    texts = {run.folder: read_generation_log(run.folder / "generate.log").hypotheses for run in runs}
    signatures: Dict[str, str] = {}
    for run in runs:
        for metric, (score,) in _score({str(run.folder): texts[run.folder]}, references, scoring).items():
            run.scores[metric], run.interval[metric] = score.score, score.interval
            signatures[metric] = f"{metric} {score.signature}"
    rows = _rows(runs)
    for row in rows[1:]:
        shared = shared_seeds([rows[0], row])
        end_to_end = [
            [text for run in runs if run.system == system and run.seed in shared for text in texts[run.folder]]
            for system in (rows[0].system, row.system)
        ]
        if shared:
            repeated = [list(texts_of_one) * len(shared) for texts_of_one in references]
            both = _score(dict(zip("ab", end_to_end)), repeated, scoring)
            row.p_sentences = {metric: scores[1].p_value for metric, scores in both.items()}
    return rows, list(signatures.values())


def _score(systems, references, scoring) -> Dict[str, List[Any]]:
    by_metric = score_systems(systems, references, **scoring)
    return {metric: list(scores.values()) for metric, scores in by_metric.items()}


def _perplexities(runs: Sequence[_Run]) -> Tuple[List[Row], List[str]]:
    """The rows of a data set by perplexity, and the window it was measured under."""
    paths = [run.folder / "perplexity.json" for run in runs]
    measured = [_json(path, "window", "subwords", "machine", "checkpoints") for path in paths]
    window = _the_same({path: content["window"] for path, content in zip(paths, measured)}, "other windows")
    key, unit = ("word_perplexity", "word") if measured[0]["subwords"] else ("perplexity", "token")
    for run, content in zip(runs, measured):
        (checkpoint,) = content["checkpoints"].values()
        run.scores = {split: figures[key] for split, figures in checkpoint["subsets"].items()}
        run.speed = checkpoint["subsets"]["test"]["tokens"] / checkpoint["subsets"]["test"]["seconds"]
    return _rows(runs), [f"perplexity per {unit}; {window}; tokens/s, one run each: {measured[0]['machine']}"]


def _rows(runs: Sequence[_Run]) -> List[Row]:
    """A row for each system; its test over seeds is against the first."""
    rows = []
    for system in dict.fromkeys(run.system for run in runs):
        of_system = sorted((run for run in runs if run.system == system), key=lambda run: run.seed)
        stats = [run.stats for run in of_system]
        kept = sorted({heads for one in stats for heads in one["heads"].values()})
        speeds = [run.speed for run in of_system if run.speed is not None]
        row = Row(
            set=of_system[0].set,
            kind=of_system[0].kind,
            system=system,
            heads=f"{kept[0]}" if len(kept) == 1 else f"{kept[0]} to {kept[-1]}",
            parameters=round(mean(one["parameters_without_embeddings"] for one in stats)),
            flops=mean(one[FLOPS.get(of_system[0].kind, "flops")] for one in stats),
            updates=_updates(of_system[0].folder / "train.log"),
            speed=mean(speeds) if speeds else None,
            seeds=[run.seed for run in of_system],
            scores={metric: [run.scores[metric] for run in of_system] for metric in of_system[0].scores},
            intervals=of_system[0].interval if len(of_system) == 1 else {},
        )
        if rows:
            row.p_seeds = _over_seeds(rows[0], row)
        rows.append(row)
    return rows


def _over_seeds(first: Row, row: Row) -> Dict[str, float]:
    shared = shared_seeds([first, row])
    if len(shared) < 2:
        return {}
    from scipy.stats import ttest_rel  # only several seeds need it

    tests = {}
    for metric in row.scores:
        sides = [first.of_seeds(metric, shared), row.of_seeds(metric, shared)]
        if not all(map(math.isfinite, sum(sides, []))):
            continue  # a training diverged
        # Of equal differences, whose spread is 0, the test knows nothing.
        differences = {round(a - b, 9) for a, b in zip(*sides)}
        tests[metric] = float(ttest_rel(*sides).pvalue) if len(differences) > 1 else float(differences == {0.0})
    return tests


def _updates(log: Path) -> Optional[int]:
    """How many updates a training had, as its log says last."""
    told = _UPDATES.findall(log.read_text(encoding="utf-8", errors="replace")) if log.is_file() else []
    return int(told[-1]) if told else None


def _the_same(conditions: Dict[Path, Any], otherwise: str) -> Any:
    """What all files say they were made under. Raises BadInput if they do not say the same."""
    different = sorted(set(conditions.values()), key=str)
    if len(different) > 1:
        raise BadInput(f"{', '.join(map(str, conditions))}: {otherwise}: {different}")
    return different[0]


def _json(path: Path, *keys: str) -> Dict[str, Any]:
    """The content of a JSON file. Raises BadInput unless it has the keys."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: cannot be read ({error}); run the stages before the table") from error
    missing = [key for key in keys if key not in content]
    if missing:
        raise BadInput(f"{path}: has no {', '.join(missing)}")
    return content
