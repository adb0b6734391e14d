"""The sections of the page: sentences, tables and pictures about runs. What is missing has a sentence."""

from dataclasses import dataclass, field
from typing import Dict, List, Optional, Sequence, Tuple

from fairseq_ghat.profiling.parameters import describe_counts
from fairseq_ghat.report.curves import constraint_curves, training_curves
from fairseq_ghat.report.head_pictures import kept_heads, similarities, votes
from fairseq_ghat.report.pictures import Picture, short_name
from fairseq_ghat.report.run import Run
from fairseq_ghat.report.score_pictures import common_metric, compactness_of, score_by_compactness, score_by_groups

_NONE = "–"


@dataclass
class Table:
    """A table whose first column names its rows.

    Attributes:
        caption: above it.
        titles: of the columns.
        rows: of as many cells.
    """

    caption: str
    titles: List[str]
    rows: List[List[str]]


@dataclass
class Section:
    """A part of the page.

    Attributes:
        anchor: for links to it.
        heading: of it.
        sentences: paragraphs below the heading.
        tables: after them.
        pictures: after these.
        notes: a list after these, as of signatures.
        commands: lines for a shell, each with what it made.
    """

    anchor: str
    heading: str
    sentences: List[str] = field(default_factory=list)
    tables: List[Table] = field(default_factory=list)
    pictures: List[Picture] = field(default_factory=list)
    notes: List[str] = field(default_factory=list)
    commands: List[Tuple[str, str]] = field(default_factory=list)


def sections(runs: Sequence[Run], command: str) -> List[Section]:
    """All sections, in the order of the page.

    Args:
        runs: that were read.
        command: that makes the page.
    """
    return [
        _summary(runs),
        _training(runs),
        _similarity(runs),
        _votes(runs),
        _compactness(runs),
        _groups(runs),
        _kept(runs),
        _commands(runs, command),
    ]


def _summary(runs: Sequence[Run]) -> Section:
    section = Section("summary", "Summary")
    rows = [["model", *((run.model.kind if run.model else _NONE) for run in runs)]]
    rows.append(["architecture", *(str(run.model.options["arch"]) if run.model else _NONE for run in runs)])
    rows.append(["groups C", *(str(run.groups or _NONE) for run in runs)])
    rows.append(["attentions x heads", *(_heads(run) for run in runs)])
    for name, title in (("parameters", "parameters"), ("parameters_without_embeddings", "without embeddings")):
        rows.append([title, *(f"{run.size[name]:,}" if run.size else _NONE for run in runs)])
    rows.append(["FLOPs", *(_flops(run) for run in runs)])
    rows.append(["epochs", *(str(run.log.last_epoch) if run.log else _NONE for run in runs)])
    rows.append(["validation loss, bits per token", *(_last_loss(run) for run in runs)])
    for metric in dict.fromkeys(metric for run in runs for metric in run.score):
        rows.append([metric, *(_score(run, metric) for run in runs)])
    rows.append(["speed", *(run.measured.speed[0] if run.measured.speed else _NONE for run in runs)])
    section.tables.append(Table("The runs side by side; a dash where it is not known", ["", *_names(runs)], rows))
    if not any(run.score for run in runs):
        told = "There are no scores: neither a log of fairseq-generate nor files of ghat-score or ghat-perplexity."
        section.sentences.append(told)
    section.notes = [f"{metric}: {told}." for metric, told in _told_once(runs)]
    section.notes += [f"{run.name}: {remark}" for run in runs for remark in run.remarks]
    return section


def _told_once(runs: Sequence[Run]) -> List[Tuple[str, str]]:
    """Signatures of scores and conditions of speed, with the runs that they hold for if not for all."""
    by_text: Dict[Tuple[str, str], List[str]] = {}
    for run in runs:
        for metric, score in run.score.items():
            by_text.setdefault((metric, score.signature), []).append(run.name)
        if run.measured.speed:
            by_text.setdefault(("speed", run.measured.speed[1]), []).append(run.name)
    of_topic = [topic for topic, _ in by_text]
    return [
        (topic if of_topic.count(topic) == 1 else f"{topic} of {', '.join(names)}", text)
        for (topic, text), names in by_text.items()
    ]


def _training(runs: Sequence[Run]) -> Section:
    section = Section("training", "Training")
    _add(section, training_curves(runs), "No log has figures of an epoch, so there are no curves.")
    missing = "No log has homogeneity and diversity of groups, which trainings under the constraint log."
    _add(section, constraint_curves(runs), missing)
    return section


def _similarity(runs: Sequence[Run]) -> Section:
    section = Section("similarity", "Similarity of heads", pictures=similarities(runs))
    without = [run.name for run in runs if not run.measured.analyses]
    if without:
        told = "ghat-analyze --json writes it (analysis.json in the folder of the run)"
        section.sentences.append(f"There is no analysis of the heads of {', '.join(without)}; {told}.")
    return section


def _votes(runs: Sequence[Run]) -> Section:
    section = Section("votes", "Votes")
    voted = [run for run in runs if run.log and run.log.vote and run.log.vote.layers]
    drawn = {run.name: votes(run) for run in voted}
    section.pictures = [picture for picture in drawn.values() if picture]
    without = [run.name for run in runs if run not in voted]
    if without:
        section.sentences.append(f"The logs tell of no vote in {', '.join(without)}.")
    others = [name for name, picture in drawn.items() if not picture]
    section.sentences += [f"The heads of {name} were not chosen by votes of batches." for name in others]
    return section


def _compactness(runs: Sequence[Run]) -> Section:
    section = Section("compactness", "Compactness of groups and score")
    metric = common_metric(runs)
    rows = []
    for run in runs:
        of_run = compactness_of(run)
        if of_run:
            figures = [of_run.figures.get(name) for name in ("silhouette", "dunn", "homogeneity", "diversity")]
            cells = [_NONE if figure is None else f"{figure:.3f}" for figure in figures]
            score = _score(run, metric) if metric else _NONE
            rows.append([run.name, str(of_run.groups), of_run.feature, *cells, score, of_run.checkpoint])
    if rows:
        titles = ["run", "C", "features", "silhouette", "Dunn", "homogeneity", "diversity", metric or "score"]
        section.tables.append(Table("Means over attention layers", [*titles, "analysed"], rows))
    else:
        told = "have two groups or more of several heads"
        section.sentences.append(
            f"There are no silhouettes: they want an analysis of heads (ghat-analyze) that {told}."
        )
    missing = "The picture of score against compactness wants two runs with a score and an analysis of heads."
    _add(section, score_by_compactness(runs), missing)
    return section


def _groups(runs: Sequence[Run]) -> Section:
    section = Section("groups", "Number of groups and score")
    _add(section, score_by_groups(runs), "There are no two runs with scores that differ in their number of groups C.")
    return section


def _kept(runs: Sequence[Run]) -> Section:
    section = Section("kept", "Heads kept")
    _add(section, kept_heads(runs), "No heads were removed in any of the runs.")
    rows = [[run.name, _heads(run), _uneven(run)] for run in runs if run.model]
    if rows:
        section.tables.append(Table("Heads in the attention layers", ["run", "attentions x heads", "by layer"], rows))
    return section


def _commands(runs: Sequence[Run], command: str) -> Section:
    section = Section("commands", "Commands")
    section.commands = [(f"the training of {run.name}", run.command) for run in runs if run.command]
    section.commands.append(("this page", command))
    runs_of: Dict[Tuple[str, str], List[str]] = {}
    for run in runs:
        for path, made_by in run.measured.files:
            runs_of.setdefault((str(path), made_by), []).append(run.name)
    files = [[path, made_by, ", ".join(names)] for (path, made_by), names in runs_of.items()]
    if files:
        section.tables.append(Table("Measurements on this page", ["file", "written by", "tells of"], files))
    told = "Options of the training are those of the checkpoint that differ from fairseq's defaults."
    if len(section.commands) > 1:
        section.sentences.append(told)
    return section


def _add(section: Section, picture: Optional[Picture], missing: str) -> None:
    """The picture, or the sentence on what is missing."""
    if picture:
        section.pictures.append(picture)
    elif missing:
        section.sentences.append(missing)


def _names(runs: Sequence[Run]) -> List[str]:
    return [run.name for run in runs]


def _heads(run: Run) -> str:
    return describe_counts(map(len, run.model.kept.values())) if run.model else _NONE


def _uneven(run: Run) -> str:
    """Heads of each layer where layers differ."""
    counts = {name: len(heads) for name, heads in run.model.kept.items()}
    if len(set(counts.values())) < 2:
        return "the same in all"
    return ", ".join(f"{short_name(name)}: {count}" for name, count in counts.items())


def _flops(run: Run) -> str:
    if not run.size:
        return _NONE
    length = run.size.get("length")
    return f"{run.size['flops'] / 1e6:,.1f}M" + (f" at length {length}" if length else "")


def _last_loss(run: Run) -> str:
    for name in ("nll_loss", "loss") if run.log else ():
        epochs, values = run.log.curve("valid", name)
        if epochs:
            return f"{values[-1]:.3f}"
    return _NONE


def _score(run: Run, metric: str) -> str:
    score = run.score.get(metric)
    if not score:
        return _NONE
    interval = "" if score.interval is None else f" ± {score.interval:.2f}"
    p_value = "" if score.p_value is None else f", p {score.p_value:.3f}"
    return f"{score.value:.2f}{interval}{p_value}"
