"""Pictures of heads: how alike they are, the votes, and which ones stay."""

from math import ceil
from typing import Dict, List, Optional, Sequence, Tuple

from matplotlib.colors import ListedColormap
from matplotlib.patches import Rectangle

from fairseq_ghat.evaluation.head_analysis import LayerFigures
from fairseq_ghat.report.measurements import Analysis
from fairseq_ghat.report.pictures import COLUMN, PAGE, Picture, new_figure, short_name, style
from fairseq_ghat.report.run import Run

_COSINES, _VOTES = "PuOr_r", "Blues"  # colour-blind people see both; lightness tells the size
_KEPT = ListedColormap(["#e8e8e8", "#0072B2"])
_COLUMNS = 6
FEATURE = "value"  # by which the heads of models without the option are shown

Kept = Dict[str, Sequence[int]]


def similarities(runs: Sequence[Run]) -> List[Picture]:
    """Cosines of the feature maps of the heads of every analysis, on one scale."""
    analyses = [
        (run, number, analysis)
        for run in runs
        for number, analysis in enumerate(run.measured.analyses, start=1)
        if analysis.layers
    ]
    limit = max([_greatest_cosine(analysis, feature_of(run, analysis)) for run, _, analysis in analyses], default=0.0)
    limit = max(ceil(10 * limit) / 10, 0.1)
    return [_similarity(run, number, analysis, limit) for run, number, analysis in analyses]


def _greatest_cosine(analysis: Analysis, feature: str) -> float:
    """The largest absolute cosine of two different heads."""
    every = [layer.features[feature].cosines for layer in analysis.layers.values()]
    of_pairs = [
        abs(cosine) for cosines in every for i, row in enumerate(cosines) for j, cosine in enumerate(row) if i != j
    ]
    return max(of_pairs, default=0.0)


def _similarity(run: Run, number: int, analysis: Analysis, limit: float) -> Picture:
    """Layer by layer, in the order of the groups; colours reach from -limit to limit."""
    feature = feature_of(run, analysis)
    c = analysis.groups(run.groups)
    kept = pillars(run)
    named = analysis.layers.items()
    with style():
        rows = -(-len(analysis.layers) // _COLUMNS)
        figure = new_figure(PAGE, 0.1 + 1.3 * rows)
        axes = figure.subplots(rows, _COLUMNS, squeeze=False).flatten()
        for axis in axes[len(analysis.layers) :]:
            axis.set_axis_off()
        for axis, (name, layer) in zip(axes, named):
            image = _draw_cosines(axis, name, layer, feature, c, kept.get(name, ()))
            image.set_clim(-limit, limit)
        figure.colorbar(image, ax=list(axes), label="cosine", fraction=0.02, ticks=[-limit, 0, limit])
    grouped = f", in the order of {c} group{'s' if c > 1 else ''} of K-means (lines)" if c else ""
    marked = "; * is a head that the vote kept" if kept else ""
    told = f"of {analysis.checkpoint}, {analysis.data}{grouped}{marked}"
    caption = f"{run.name}: cosine of the {feature} feature maps of each two heads {told}."
    means = ", ".join(f"{short_name(name)} {_mean(layer, feature)}" for name, layer in named)
    alternative = f"Heat maps of cosines of heads of {run.name}. Mean of two different heads: {means}."
    return Picture(f"similarity-{_file_name(run)}-{number}", caption, alternative, figure)


def feature_of(run: Run, analysis: Analysis) -> str:
    """The feature map that the run groups its heads by."""
    wanted = run.model.options.get("group_feature") if run.model else None
    known = next(iter(analysis.layers.values())).features
    return wanted if wanted in known else FEATURE


def pillars(run: Run) -> Kept:
    """The heads that a vote kept, by layer, in the numbers from before it; none of a run without a vote."""
    if run.log and run.log.vote and run.log.vote.done:
        return {name: layer.kept for name, layer in run.log.vote.layers.items()}
    model = run.model
    if model and any(len(heads) < model.made_with[name] for name, heads in model.kept.items()):
        return dict(model.kept)
    return {}


def in_order_of_groups(layer: LayerFigures, feature: str, c: Optional[int]) -> Tuple[List[int], List[int]]:
    """Places of the heads in the layer's lists, group after group, and the sizes of the groups.

    Args:
        layer: figures of its heads.
        feature: the feature map that they are grouped by.
        c: number of groups; None leaves the heads as they are, and so does a layer without groups.
    """
    groups = layer.features[feature].groups.get(c) if c else None
    members = groups.members if groups else [layer.heads]
    place = {head: index for index, head in enumerate(layer.heads)}
    return [place[head] for group in members for head in group], [len(group) for group in members]


def _draw_cosines(axis, name: str, layer: LayerFigures, feature: str, c: Optional[int], kept: Sequence[int]):
    order, sizes = in_order_of_groups(layer, feature, c)
    cosines = layer.features[feature].cosines
    # A head is like itself: of the diagonal nothing is to be seen.
    shown = [[cosines[i][j] if i != j else float("nan") for j in order] for i in order]
    # No interpolation: the file holds one pixel for each two heads, which viewers enlarge as they are.
    image = axis.imshow(shown or [[float("nan")]], cmap=_COSINES, interpolation="none")
    axis.set_facecolor("#c8c8c8")
    labels = [f"{layer.heads[i]}{'*' if layer.heads[i] in kept else ''}" for i in order]
    few = len(order) <= 8
    axis.set_xticks(range(len(order)), labels, fontsize=5 if few else 3.5, rotation=0 if few else 90)
    axis.set_yticks(range(len(order)), labels, fontsize=5 if few else 3.5)
    axis.tick_params(length=0, pad=1)
    border = -0.5
    for size in sizes[:-1]:
        border += size
        axis.axhline(border, color="black", linewidth=0.8)
        axis.axvline(border, color="black", linewidth=0.8)
    axis.set_title(short_name(name), fontsize=6, pad=2)
    return image


def votes(run: Run) -> Optional[Picture]:
    """Votes for each head, layer by layer; None if the log has no vote, or heads were chosen otherwise."""
    if not run.log or not run.log.vote:
        return None
    layers = {name: layer for name, layer in run.log.vote.layers.items() if layer.votes}
    if not layers:
        return None
    most = max(len(layer.votes) for layer in layers.values())
    batches = next(iter(layers.values())).batches
    with style():
        figure = new_figure(COLUMN, 0.8 + 0.19 * len(layers))
        axis = figure.subplots()
        shares = [_padded([count / layer.batches for count in layer.votes], most) for layer in layers.values()]
        image = axis.imshow(shares, cmap=_VOTES, vmin=0, vmax=1, interpolation="none", aspect="auto")
        for row, layer in enumerate(layers.values()):
            for head, count in enumerate(layer.votes):
                dark = count > 0.6 * layer.batches
                style_of = {"ha": "center", "va": "center", "fontsize": 5.5, "color": "white" if dark else "black"}
                axis.text(head, row, str(count), **style_of)
            for head in layer.kept:
                axis.add_patch(Rectangle((head - 0.46, row - 0.44), 0.92, 0.88, fill=False, ec="#D55E00", lw=1.4))
        _label(axis, list(layers), most)
        figure.colorbar(image, ax=axis, label="share of batches", fraction=0.05)
    caption = f"{run.name}: votes of {batches} batches for each head before epoch {run.log.vote.epoch}; frames: kept."
    told = "; ".join(f"{short_name(name)}: heads {_listed(layer.kept)} of {layer.of}" for name, layer in layers.items())
    return Picture(f"votes-{_file_name(run)}", caption, f"Table of votes of {run.name}. Kept: {told}.", figure)


def kept_heads(runs: Sequence[Run]) -> Optional[Picture]:
    """The heads that stay of each run with a vote, as a grid of layers and heads; None without any."""
    voted = {run.name: (pillars(run), _made_with(run)) for run in runs if pillars(run)}
    if not voted:
        return None
    columns = 2
    rows = -(-len(voted) // columns)
    layers = max(len(kept) for kept, _ in voted.values())
    with style():
        wide = len(voted) > 1
        figure = new_figure(PAGE if wide else COLUMN, 0.3 + rows * (0.5 + 0.15 * layers))
        axes = figure.subplots(rows, columns if wide else 1, squeeze=False).flatten()
        for axis in axes[len(voted) :]:
            axis.set_axis_off()
        for axis, (name, (kept, made_with)) in zip(axes, voted.items()):
            most = max(made_with.values())
            grid = [_padded([head in kept[layer] for head in range(made_with[layer])], most) for layer in kept]
            axis.pcolormesh(grid, cmap=_KEPT, vmin=0, vmax=1, edgecolors="white", linewidth=1)
            axis.invert_yaxis()
            _label(axis, list(kept), most, shift=0.5)
            axis.set_title(name)
    told = [
        f"{name}: {', '.join(f'{short_name(layer)} {_listed(heads)}' for layer, heads in kept.items())}"
        for name, (kept, _) in voted.items()
    ]
    caption = "Heads that stay (blue) among those that each attention layer was made with."
    return Picture("kept-heads", caption, f"Grids of the heads that stay. {'; '.join(told)}.", figure)


def _made_with(run: Run) -> Dict[str, int]:
    if run.log and run.log.vote and run.log.vote.done:
        return {name: layer.of for name, layer in run.log.vote.layers.items()}
    return run.model.made_with


def _label(axis, layers: Sequence[str], heads: int, shift: float = 0.0) -> None:
    axis.set_yticks([row + shift for row in range(len(layers))], [short_name(name) for name in layers], fontsize=6)
    axis.set_xticks([head + shift for head in range(heads)], range(heads), fontsize=6)
    axis.set_xlabel("head")
    axis.tick_params(length=0)


def _padded(values: Sequence[float], length: int) -> List[float]:
    """Layers with fewer heads than others have empty cells."""
    return [*values, *[float("nan")] * (length - len(values))]


def _mean(layer: LayerFigures, feature: str) -> str:
    mean = layer.features[feature].mean_cosine
    return "has one head or none" if mean is None else f"{mean:.2f}"


def _listed(heads: Sequence[int]) -> str:
    return " ".join(map(str, heads)) or "none"


def _file_name(run: Run) -> str:
    return run.name.replace("/", "-")
