"""What other commands measured of a run's models: scores, speed, size and analyses of heads, by their output files."""

import json
from dataclasses import dataclass, field
from glob import escape
from itertools import takewhile
from os.path import abspath
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

from fairseq_ghat.evaluation.bleu import bleu_metric
from fairseq_ghat.evaluation.generation_log import read_generation_log
from fairseq_ghat.evaluation.head_analysis import FeatureFigures, Groups, LayerFigures

ANALYSIS = "analysis*.json"
# Which checkpoint stands for its run: the first of these.
CHECKPOINTS = ("slim.pt", "average.pt", "checkpoint_best.pt", "checkpoint_last.pt")


@dataclass
class Score:
    """A score of a model.

    Attributes:
        value: of the whole test set, unrounded.
        interval: half the width of the 95 % interval; None if it was not computed.
        p_value: of the difference to the first system; None if it was not computed.
        signature: how it was computed.
    """

    value: float
    interval: Optional[float]
    p_value: Optional[float]
    signature: str


@dataclass
class Analysis:
    """What ghat-analyze --json says of a checkpoint.

    Attributes:
        file: where it stands.
        checkpoint: as it was given to the command.
        data: split, folder and number of sentences, in words.
        layers: by name of the attention layer.
        means: of the layers: feature -> C -> name of the figure -> value.
    """

    file: Path
    checkpoint: str
    data: str
    layers: Dict[str, LayerFigures]
    means: Dict[str, Dict[int, Dict[str, Optional[float]]]]

    def groups(self, wanted: Optional[int]) -> Optional[int]:
        """The wanted number of groups if it was analysed, else the smallest one above 1; None without any."""
        analysed = {c for layer in self.layers.values() for c in next(iter(layer.features.values())).groups}
        return wanted if wanted in analysed else min(analysed, key=lambda c: (c == 1, c), default=None)


@dataclass
class Measurements:
    """All that was measured of a run.

    Attributes:
        scores: by metric.
        speed: sentences/s or tokens/s with its unit, and the conditions; None if it was not measured.
        size: figures of ghat-stats; None if it was not called.
        analyses: of checkpoints of the run, in the order of the files' names.
        files: that were read, each with the command that made it.
        remarks: sentences on files that could not be used.
        log_score: BLEU of what fairseq-generate logged, which is among the scores unless there is another.
    """

    scores: Dict[str, Score] = field(default_factory=dict)
    speed: Optional[Tuple[str, str]] = None
    size: Optional[Dict[str, Any]] = None
    analyses: List[Analysis] = field(default_factory=list)
    files: List[Tuple[Path, str]] = field(default_factory=list)
    remarks: List[str] = field(default_factory=list)
    log_score: Optional[Score] = None


@dataclass
class _File:
    """A file that may tell of a run.

    Attributes:
        path: of it.
        run: the run's folder.
        among: the folders of all runs.
        own: whether it stands for this run alone.
        into: what is known of the run.
    """

    path: Path
    run: Path
    among: Sequence[Path]
    own: bool
    into: Measurements

    def entries(self, by_path: Mapping[str, Any]) -> List[Tuple[str, Any]]:
        """Those of files in the run's folder, or of its logs; of a file of its own, also a single one of elsewhere.

        Folders may have moved since: the end of a path tells whose it is. The checkpoint that stands for the run is
        last.
        """
        beside = [read.parts[-2:] for read, _ in self.into.files if read.parent != self.run]
        ends = {path: _end_in(self.run, path) for path in by_path.keys()}
        best = max(ends.values(), default=0)
        chosen = [
            path
            for path, end in ends.items()
            if (end and end == best and end == max(_end_in(run, path) for run in self.among))
            or Path(path).parts[-2:] in beside
            or (self.own and len(by_path) == 1)
        ]
        return [(path, by_path[path]) for path in sorted(chosen, key=_standing)]

    def add_score(self, metric: str, score: Score) -> None:
        """Takes a score, in place of an earlier one, and tells of it if it was another."""
        earlier = self.into.scores.get(metric)
        if earlier and earlier.value != score.value:
            told = f"{metric}: {score.value:.4g} of {self.path} is shown, not {earlier.value:.4g}"
            self.into.remarks.append(f"{told}, which was measured too.")
        self.into.scores[metric] = score


def _end_in(run: Path, path: str) -> int:
    """How many parts the folder of a file and that of a run have in common, from the end; a link has two names."""
    folder = Path(path).parent.parts[::-1]
    ends = [zip(folder, name.parts[::-1]) for name in (Path(abspath(run)), run.resolve())]
    return max(sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], end)) for end in ends)


def _standing(path: str) -> int:
    """The higher, the rather a checkpoint stands for its run; those of before its vote are last."""
    name = Path(path).name
    return -CHECKPOINTS.index(name) if name in CHECKPOINTS else -len(CHECKPOINTS) - name.startswith("before_vote.")


def _generation(file: _File) -> bool:
    log = read_generation_log(file.path)
    if not file.own and not file.entries({log.checkpoint or "": None}):
        return False
    if log.sentences_per_second:
        file.into.speed = f"{log.sentences_per_second:,.1f} sentences/s", "as fairseq-generate logged it"
    if log.references and not log.detokenised:
        bleu = bleu_metric([log.references], target_lang=log.target_lang)
        value = bleu.corpus_score(log.hypotheses, [log.references]).score
        told = f"{bleu.get_signature()}, against the references in the log"
        file.into.log_score = Score(value, None, None, told)
    return True


def _score(file: _File) -> bool:
    content = _json(file.path)
    if file.own and "score" in content:  # of compare_pruning.py, which writes it beside the model
        told = (content["score"], content.get("interval"), None, content["signature"])
        file.add_score(content["metric"], Score(*told))
        return True
    systems_of = content["scores"].items()
    scores = [(metric, system) for metric, systems in systems_of for _, system in file.entries(systems)]
    for metric, system in scores:
        told = (system[name] for name in ("score", "interval", "p_value", "signature"))
        file.add_score(metric, Score(*told))
    return bool(scores)


def _perplexity(file: _File) -> bool:
    content = _json(file.path)
    key, unit = ("word_perplexity", "word") if content["subwords"] else ("perplexity", "token")
    entries = file.entries(content["checkpoints"])
    for _, entry in entries:
        for subset, figures in entry["subsets"].items():
            told = f"per {unit}; {content['window']}"
            file.add_score(f"perplexity, {subset}", Score(figures[key], None, None, told))
            file.into.speed = f"{figures['tokens'] / figures['seconds']:,.0f} tokens/s", content["machine"]
    return bool(entries)


def _stats(file: _File) -> bool:
    entries = file.entries(_json(file.path))
    for _, entry in entries:
        if {"heads", "parameters", "parameters_without_embeddings", "flops"} - entry.keys():
            raise KeyError
        file.into.size = entry
    return bool(entries)


def _bench(file: _File) -> bool:
    content = _json(file.path)
    # Of a model measured as it is and as a grouped one, the first side is what the user has.
    entries = file.entries({side["checkpoint"]: side for side in reversed(content["checkpoints"])})
    for _, side in entries:
        speed = f"{side['sentences_per_second']['median']:,.1f} sentences/s"
        file.into.speed = speed, f"{content['setting']}; {content['machine']}"
    return bool(entries)


def _analysis(file: _File) -> bool:
    content = _json(file.path)
    if not file.entries({content["checkpoint"]: None}):
        return False
    data = f"{content['subset']} of {content['data']}, {content['sentences']:,} sentences"
    layers = {name: _layer(layer) for name, layer in content["layers"].items()}
    features = content["means"]["features"].items()
    means = {name: {int(c): groups for c, groups in feature["groups"].items()} for name, feature in features}
    file.into.analyses.append(Analysis(file.path, content["checkpoint"], data, layers, means))
    return True


def _layer(content: Dict[str, Any]) -> LayerFigures:
    features = {
        name: FeatureFigures(
            feature["cosines"],
            feature["mean_cosine"],
            {int(c): Groups(**groups) for c, groups in feature["groups"].items()},
        )
        for name, feature in content["features"].items()
    }
    return LayerFigures(**{**content, "features": features})


# Ending of a file's name -> what reads it, and the command that made it. What is read later goes first.
_KINDS: Dict[str, Tuple[Callable[[_File], bool], str]] = {
    "generate.log": (_generation, "fairseq-generate"),
    "score.json": (_score, "ghat-score --json or compare_pruning.py"),
    "perplexity.json": (_perplexity, "ghat-perplexity --json"),
    "stats.json": (_stats, "ghat-stats --json"),
    "bench.json": (_bench, "ghat-bench --json"),
    ANALYSIS: (_analysis, "ghat-analyze --json"),
}
ENDINGS = tuple(_KINDS)


def kind_of(path: Path) -> Optional[str]:
    """Which of ENDINGS a file has; None for none of them."""
    plain = next((kind for kind in _KINDS if path.name == kind or path.name.endswith(f".{kind}")), None)
    names = path.name.split(".")
    is_analysis = path.suffix == ".json" and any(name.startswith("analysis") for name in names)
    return plain or (ANALYSIS if is_analysis else None)


def read_measurements(folder: Path, given: Iterable[Path] = (), among: Sequence[Path] = ()) -> Measurements:
    """Reads the files that stand in a run's folder, those beside it, and those that were given.

    Args:
        folder: of the run.
        given: further files, each of which may tell of several runs.
        among: the folders of all runs: what fits another one better is not of this run.
    """
    read = Measurements()
    if not folder.name or folder.name == "..":
        folder = folder.resolve()
    beside, name = folder.parent, folder.name
    for kind, (reader, command) in _KINDS.items():
        named = sorted(beside.glob(f"{escape(name)}.{kind}"))
        own = [*sorted(folder.glob(f"*.{kind}")), *named, *sorted(folder.glob(kind))]
        shared = [path for path in (*sorted(beside.glob(kind)), *sorted(beside.glob(f"*.{kind}"))) if path not in own]
        shared += [path for path in given if kind_of(path) == kind and path not in own]
        for path in dict.fromkeys([*shared, *own]):
            try:
                if reader(_File(path, folder, [folder, *among], path in own, read)):
                    read.files.append((path, command))
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                if path in own or path in given:
                    told = f"{error}" if isinstance(error, (OSError, ValueError)) and str(path) in str(error) else path
                    read.remarks.append(f"{told}: not what {command} writes, left out.")
    if read.log_score and not read.scores:  # BLEU says nothing of phonemes, which were scored otherwise
        read.scores["BLEU"] = read.log_score
    return read


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
