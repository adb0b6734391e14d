"""Reads what the runs of benchmarks made, and puts it into the paper's tables beside the published figures."""

import json
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

import yaml

from experiments.checks import BadInput
from fairseq_ghat.cli.console import markdown_table
from fairseq_ghat.evaluation.generation_log import read_generation_log
from fairseq_ghat.evaluation.scoring import SystemScore, read_references, score_systems

PUBLISHED, PUBLISHED_SIZES = Path(__file__).with_name("published.yaml"), ("parameters", "speed", "flops")
# kind -> title of its table, unit of speed, which of the FLOPs the paper counts, decimal places of scores.
TABLES = {
    "translation": ("Translation (the paper's Table 1)", "sentences/s", "flops", 1),
    "summarization": ("Summarisation (the paper's Table 4)", "sentences/s", "flops", 2),
    "language_modeling": ("Language modelling (the paper's Table 6)", "tokens/s", "flops_without_output_layer", 2),
}
_SCORING = ("metric", "lowercase", "tokenize", "target_lang", "split_sentences")  # of ghat-score, in its JSON
Scores = Dict[str, SystemScore]


class Result:
    """What a run folder says.

    Attributes:
        folder: of the run.
        name: of the system, with the seed if it is not 1.
        system: its name in settings.yaml.
        set: the data set's.
        kind: of TABLES.
        parameters: without embeddings.
        flops: of one sentence of 30 tokens.
        heads: kept in each attention layer.
        speed: sentences/s or tokens/s; None if it was not measured.
        scores: by metric; of a language model perplexities by split, per word for text in subwords.
    """

    def __init__(self, folder: Path, record: Dict[str, Any], scores: Scores, speeds: Dict[Path, float]):
        self.folder, self.scores = folder, scores
        self.system, self.set, self.kind = record["system"], record["set"], record["kind"]
        self.name = self.system if record["seed"] == 1 else f"{self.system}, seed {record['seed']}"
        ((checkpoint, stats),) = _json(folder / "stats.json").items()
        self.parameters, self.flops = stats["parameters_without_embeddings"], stats[TABLES[self.kind][2]]
        kept = sorted(set(stats["heads"].values()))
        self.heads = f"{kept[0]}" if len(kept) == 1 else f"{kept[0]} to {kept[-1]}"
        self.speed = speeds.get(Path(checkpoint).resolve())
        if self.kind == "language_modeling":
            (measured,) = _json(folder / "perplexity.json")["checkpoints"].values()
            self.speed = measured["subsets"]["test"]["tokens"] / measured["subsets"]["test"]["seconds"]


def read_results(folders: Sequence[Path], benches: Sequence[Path]) -> Tuple[List[Result], List[str]]:
    """The results of all runs, and under what conditions they hold.

    Args:
        folders: of the runs; the first of a data set is what the others of it are compared with.
        benches: files of ghat-bench --json.

    Raises:
        ValueError: if a file is missing or does not fit; names it.
    """
    records = {folder: _json(folder / "run.json", "set", "system", "kind", "seed") for folder in folders}
    speeds, conditions = {}, []
    for bench in benches:
        measured = _json(bench, "setting", "machine", "checkpoints")
        conditions.append(f"speed: {measured['setting']}; {measured['machine']}")
        for side in measured["checkpoints"]:
            speeds[Path(side["checkpoint"]).resolve()] = side["sentences_per_second"]["median"]
    scores: Dict[Path, Scores] = {}
    for name, kind in dict.fromkeys((record["set"], record["kind"]) for record in records.values()):
        of_set = [folder for folder, record in records.items() if record["set"] == name]
        scored, told = _perplexities(of_set) if kind == "language_modeling" else _scores(of_set)
        scores.update(scored)
        conditions += [f"{name}: {line}" for line in told]
    return [Result(folder, record, scores[folder], speeds) for folder, record in records.items()], conditions


def tables(results: Sequence[Result]) -> List[str]:
    """A table for each kind of task: systems in rows, each followed by the published one; scores in columns."""
    published = yaml.safe_load(PUBLISHED.read_text())
    by_kind = {kind: [result for result in results if result.kind == kind] for kind in TABLES}
    return [_table(kind, of_kind, published[kind]) for kind, of_kind in by_kind.items() if of_kind]


def _scores(folders: Sequence[Path]) -> Tuple[Dict[Path, Scores], List[str]]:
    """BLEU or ROUGE of the runs on one data set, the first one being the baseline; and the signatures."""
    scored = {}
    for path in (folder / "score.json" for folder in folders):
        content = _json(path, "references", "metric", "lowercase")
        # The first version wrote no more than those.
        scored[path] = tuple(content.get(key) for key in ("references", *_SCORING))
    references, *options = _the_same(scored, "not scored alike")
    if not Path(references).is_file():
        raise BadInput(f"{folders[0] / 'score.json'}: its references {references} are not there (from this folder)")
    systems = {str(folder): read_generation_log(folder / "generate.log").hypotheses for folder in folders}
    by_metric = score_systems(systems, read_references(references), **dict(zip(_SCORING, options)))
    signatures = [f"{name} {next(iter(scores.values())).signature}" for name, scores in by_metric.items()]
    return {path: {name: scores[str(path)] for name, scores in by_metric.items()} for path in folders}, signatures


def _perplexities(folders: Sequence[Path]) -> Tuple[Dict[Path, Scores], List[str]]:
    """Perplexities of the runs on one data set, and the window they were measured under."""
    paths = [folder / "perplexity.json" for folder in folders]
    measured = [_json(path, "window", "subwords", "machine", "checkpoints") for path in paths]
    window = _the_same({path: content["window"] for path, content in zip(paths, measured)}, "other windows")
    key, unit = ("word_perplexity", "word") if measured[0]["subwords"] else ("perplexity", "token")
    scores = {}
    for folder, content in zip(folders, measured):
        (checkpoint,) = content["checkpoints"].values()
        splits = checkpoint["subsets"].items()
        scores[folder] = {split: SystemScore(figures[key], 0.0, None, window) for split, figures in splits}
    return scores, [f"perplexity per {unit}; {window}; tokens/s, one run each: {measured[0]['machine']}"]


def _the_same(conditions: Dict[Path, Any], otherwise: str) -> Any:
    """What all files say they were made under. Raises BadInput if they do not say the same."""
    different = sorted(set(conditions.values()), key=str)
    if len(different) > 1:
        raise BadInput(f"{', '.join(map(str, conditions))}: {otherwise}: {different}")
    return different[0]


def _table(kind: str, results: Sequence[Result], published: Dict[str, Dict[str, Any]]) -> str:
    title, unit, _, digits = TABLES[kind]
    tested = kind != "language_modeling"  # scores that have an interval and a p-value
    firsts = {result.set: result for result in reversed(results)}  # of each set the first
    sets = list(dict.fromkeys(result.set for result in results))
    columns = [(name, place, metric) for name in sets for place, metric in enumerate(firsts[name].scores)]
    titles = ["model", "heads kept", "parameters", unit, "FLOPs"]
    for name, _, metric in columns:
        titles += [f"{name} {metric}", "p"] if tested else [f"{name} {metric}"]
    rows = []
    for name in dict.fromkeys(result.name for result in results):
        by_set = {result.set: result for result in results if result.name == name}
        first = next(iter(by_set.values()))
        speed = "" if first.speed is None else f"{first.speed:,.1f}"
        row = [name, first.heads, f"{first.parameters / 1e6:.1f}M", speed, f"{first.flops / 1e6:.1f}M"]
        for of_set, _, metric in columns:
            score = by_set[of_set].scores[metric] if of_set in by_set else None
            interval = f" ± {score.interval:.{digits}f}" if score and tested else ""
            row.append(f"{score.score:.{digits}f}{interval}" if score else "")
            if tested:
                row.append(f"{score.p_value:.3f}" if score and score.p_value is not None else "")
        rows.append(row)
        figures = published.get(first.system, {})
        if any(of_set in figures for of_set in sets):
            row = [f"{first.system}, published", "", *(str(figures.get(key, "")) for key in PUBLISHED_SIZES)]
            for of_set, place, _ in columns:
                scores = figures.get(of_set, [])
                scores = scores if isinstance(scores, list) else [scores]
                row += [f"{scores[place]:.{digits}f}" if place < len(scores) else "", *([""] if tested else [])]
            rows.append(row)
    return f"{title}\n\n{markdown_table(titles, rows)}"


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
