"""Puts runs of scripts/benchmark.py side by side, as the paper's Tables 1, 4 and 6, with the published rows.

    python scripts/results_table.py work/runs/iwslt14.de-en/* --bench work/runs/iwslt14.de-en/bench.json

reads of each run folder run.json, stats.json, and generate.log with score.json or perplexity.json. BLEU and ROUGE are
computed again, all systems of a data set together: p is that of sacrebleu's paired bootstrap against the first system.
"""

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import yaml

from fairseq_ghat.cli.console import markdown_table
from fairseq_ghat.evaluation.generation_log import GenerationLogError, read_generation_log
from fairseq_ghat.evaluation.scoring import BadReferences, SystemScore, read_references, score_systems

PUBLISHED = Path(__file__).with_name("published.yaml")
# kind -> title of its table, unit of speed, which of the FLOPs the paper counts.
TABLES = {
    "translation": ("Translation (the paper's Table 1)", "sentences/s", "flops"),
    "summarization": ("Summarisation (the paper's Table 4)", "sentences/s", "flops"),
    "language_modeling": ("Language modelling (the paper's Table 6)", "tokens/s", "flops_without_output_layer"),
}


class BadRun(ValueError):
    """A run folder that cannot be put into a table; the message names the file."""


@dataclass
class Result:
    """What a run folder says.

    Attributes:
        folder: of the run.
        name: of the system, with the seed if it is not 1.
        system, set, kind: as in settings.yaml.
        parameters: without embeddings. flops: of one sentence of 30 tokens. heads: kept in each attention layer.
        speed: sentences/s or tokens/s; None if it was not measured.
        scores: metric -> score; of a language model, split -> perplexity (per word for text in subwords).
    """

    folder: Path
    name: str
    system: str
    set: str
    kind: str
    parameters: int
    flops: int
    heads: str
    speed: Optional[float]
    scores: Dict[str, SystemScore]


def main(argv=None) -> int:
    command = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_argument("runs", metavar="RUN", nargs="+", type=Path, help="the first of a data set is compared with")
    command.add_argument(
        "--bench", metavar="JSON", nargs="+", default=[], type=Path, help="what ghat-bench --json said"
    )
    command.add_argument("--json", action="store_true", help="print the figures, unrounded, as JSON instead of tables")
    args = command.parse_args(argv)
    try:
        results, conditions = read_results(args.runs, args.bench)
    except (BadRun, BadReferences, GenerationLogError, ValueError) as error:
        command.error(str(error))
    if args.json:
        print(json.dumps({"conditions": conditions, "runs": [vars(one) for one in results]}, indent=1, default=_plain))
        return 0
    published = yaml.safe_load(PUBLISHED.read_text())
    kinds = [kind for kind in TABLES if any(one.kind == kind for one in results)]
    for kind in kinds:
        print(_table(kind, [one for one in results if one.kind == kind], published[kind]), end="\n\n")
    print("\n".join(conditions))
    return 0


def read_results(runs: List[Path], benches: List[Path]) -> Tuple[List[Result], List[str]]:
    """The results of all runs, and under what conditions they hold.

    Raises:
        BadRun, BadReferences, GenerationLogError, ValueError: if a file is missing or does not fit; names it.
    """
    records = {run: _json(run / "run.json", ("set", "system", "kind", "seed")) for run in runs}
    speeds, conditions = {}, []
    for bench in benches:
        measured = _json(bench, ("setting", "machine", "checkpoints"))
        conditions.append(f"speed: {measured['setting']}; {measured['machine']}")
        for one in measured["checkpoints"]:
            speeds[Path(one["checkpoint"]).resolve()] = one["sentences_per_second"]["median"]
    scores: Dict[Path, Dict[str, SystemScore]] = {}
    for name in dict.fromkeys(record["set"] for record in records.values()):
        of_set = {run: record for run, record in records.items() if record["set"] == name}
        if next(iter(of_set.values()))["kind"] == "language_modeling":
            scored, said = _perplexities(of_set)
        else:
            scored, said = _scores(of_set)
        scores.update(scored)
        conditions += [f"{name}: {line}" for line in said]
    return [_result(run, record, scores[run], speeds) for run, record in records.items()], conditions


def _result(run: Path, record: Dict[str, Any], scores: Dict[str, SystemScore], speeds: Dict[Path, float]) -> Result:
    ((checkpoint, stats),) = _json(run / "stats.json", ()).items()
    speed = speeds.get(Path(checkpoint).resolve())
    if record["kind"] == "language_modeling":
        test = next(iter(_json(run / "perplexity.json", ("checkpoints",))["checkpoints"].values()))["subsets"]["test"]
        speed = test["tokens"] / test["seconds"]
    kept = sorted(set(stats["heads"].values()))
    return Result(
        folder=run,
        name=record["system"] if record["seed"] == 1 else f"{record['system']}, seed {record['seed']}",
        system=record["system"],
        set=record["set"],
        kind=record["kind"],
        parameters=stats["parameters_without_embeddings"],
        flops=stats[TABLES[record["kind"]][2]],
        heads=f"{kept[0]}" if len(kept) == 1 else f"{kept[0]} to {kept[-1]}",
        speed=speed,
        scores=scores,
    )


def _scores(runs: Dict[Path, Dict[str, Any]]) -> Tuple[Dict[Path, Dict[str, SystemScore]], List[str]]:
    """BLEU or ROUGE of the runs on one data set, the first one being the baseline; and the signatures."""
    scored = {run: _json(run / "score.json", ("references", "metric", "lowercase")) for run in runs}
    how = {(one["references"], one["metric"], one["lowercase"]) for one in scored.values()}
    if len(how) > 1:
        raise BadRun(f"{', '.join(str(run / 'score.json') for run in runs)}: not scored alike: {sorted(how)}")
    ((references, metric, lowercase),) = how
    if not Path(references).is_file():
        raise BadRun(f"{next(iter(runs)) / 'score.json'}: its references {references} are not there (from this folder)")
    systems = {str(run): read_generation_log(run / "generate.log").hypotheses for run in runs}
    found = score_systems(systems, read_references(references), metric, lowercase)
    signatures = [f"{name} {next(iter(of.values())).signature}" for name, of in found.items()]
    return {run: {name: of[str(run)] for name, of in found.items()} for run in runs}, signatures


def _perplexities(runs: Dict[Path, Dict[str, Any]]) -> Tuple[Dict[Path, Dict[str, SystemScore]], List[str]]:
    """Perplexities of the runs on one data set, and the window they were measured under."""
    measured = {run: _json(run / "perplexity.json", ("window", "subwords", "machine", "checkpoints")) for run in runs}
    windows = {one["window"] for one in measured.values()}
    if len(windows) > 1:
        raise BadRun(f"{', '.join(str(run / 'perplexity.json') for run in runs)}: other windows: {sorted(windows)}")
    first = next(iter(measured.values()))
    what, unit = ("word_perplexity", "word") if first["subwords"] else ("perplexity", "token")
    scores = {}
    for run, one in measured.items():
        (checkpoint,) = one["checkpoints"].values()
        subsets = checkpoint["subsets"]
        scores[run] = {split: SystemScore(of[what], 0.0, None, one["window"]) for split, of in subsets.items()}
    return scores, [f"perplexity per {unit}; {first['window']}; tokens/s, one run each: {first['machine']}"]


def _table(kind: str, results: List[Result], published: Dict[str, Dict[str, Any]]) -> str:
    """Systems in rows, each followed by the published one; the scores of each data set in columns."""
    title, unit, _ = TABLES[kind]
    sets = list(dict.fromkeys(one.set for one in results))
    columns = [(name, metric) for name in sets for metric in next(one for one in results if one.set == name).scores]
    titles = ["model", "heads kept", "parameters", unit, "FLOPs"]
    for name, metric in columns:
        titles += [f"{name} {metric}", *([] if kind == "language_modeling" else ["p"])]
    rows = []
    for name in dict.fromkeys(one.name for one in results):
        of_name = {one.set: one for one in results if one.name == name}
        first = next(iter(of_name.values()))
        speed = "" if first.speed is None else f"{first.speed:,.1f}"
        row = [name, first.heads, f"{first.parameters / 1e6:.1f}M", speed, f"{first.flops / 1e6:.1f}M"]
        for column in columns:
            row += _cells(of_name.get(column[0]), column[1], kind)
        rows.append(row)
        if any(one in published.get(first.system, {}) for one in sets):
            rows.append(_published_row(kind, first.system, published[first.system], columns))
    return f"{title}\n\n{markdown_table(titles, rows)}"


def _cells(result: Optional[Result], metric: str, kind: str) -> List[str]:
    if kind == "language_modeling":
        return [f"{result.scores[metric].score:.2f}" if result else ""]
    if result is None:
        return ["", ""]
    score = result.scores[metric]
    digits = 1 if kind == "translation" else 2
    p = "" if score.p_value is None else f"{score.p_value:.3f}"
    return [f"{score.score:.{digits}f} ± {score.interval:.{digits}f}", p]


def _published_row(kind: str, system: str, figures: Dict[str, Any], columns: List[Tuple[str, str]]) -> List[str]:
    row = [f"{system}, published", "", *(str(figures.get(what, "")) for what in ("parameters", "speed", "flops"))]
    seen: Dict[str, int] = {}
    for name, _ in columns:
        scores = figures.get(name, [])
        scores = scores if isinstance(scores, list) else [scores]
        place = seen.setdefault(name, 0)
        seen[name] += 1
        value = f"{scores[place]:.{1 if kind == 'translation' else 2}f}" if place < len(scores) else ""
        row += [value, *([] if kind == "language_modeling" else [""])]
    return row


def _json(path: Path, keys: Tuple[str, ...]) -> Dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise BadRun(f"{path}: cannot be read ({error}); run the stages before the table") from error
    missing = [key for key in keys if key not in content]
    if missing:
        raise BadRun(f"{path}: has no {', '.join(missing)}")
    return content


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else vars(value)


if __name__ == "__main__":
    sys.exit(main())
