"""`ghat-analyze CHECKPOINT DATA`: what the heads of a model do, layer by layer: how alike they are, and of what use."""

import argparse
import json
from argparse import Namespace
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from fairseq_ghat.checkpoints.files import CheckpointError, read_checkpoint
from fairseq_ghat.checkpoints.model_options import model_options, options_by_name
from fairseq_ghat.cli import console
from fairseq_ghat.cli.loading import InputError, check_data
from fairseq_ghat.cli.passes import add_data_options, check_sizes, load_for_pass, trained_batches
from fairseq_ghat.core.group_constraint import DIVERSITIES
from fairseq_ghat.core.hidden_units import DISTANCES
from fairseq_ghat.evaluation.dropped_heads import drop_heads
from fairseq_ghat.evaluation.head_analysis import (
    OF_HEADS,
    UNITS,
    FeatureFigures,
    LayerFigures,
    describe_layer,
    mean_figures,
    remove_masked_heads,
)
from fairseq_ghat.evaluation.head_sums import sum_heads
from fairseq_ghat.modules.attention_layers import grouping_of
from fairseq_ghat.modules.grouping import FEATURES
from fairseq_ghat.pruning.calibration import Calibration
from fairseq_ghat.pruning.calibration_data import calibration_of

Figures = Dict[str, Any]
_DIGITS = {"variance_share": 3, "entropy": 3, "confidence": 3, "loss_increase": 4}


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ghat-analyze", description=__doc__.split("`: ")[1])
    add = parser.add_argument
    add(
        "checkpoint", metavar="CHECKPOINT", help="of fairseq's transformer or language model, or of ours, slim ones too"
    )
    add("data", metavar="DATA", help="folder that fairseq-preprocess made")
    add("--subset", default="valid", help="split to pass over (default: valid)")
    of_groups = "numbers of groups, for one or several looks (default: --head-groups of the checkpoint, else 2)"
    add("--groups", type=int, nargs="+", metavar="C", help=of_groups)
    of_distance = "of K-means, silhouette and Dunn index (default: as the checkpoint, else euclidean)"
    add("--group-distance", choices=DISTANCES, help=of_distance)
    add(
        "--group-diversity", choices=DIVERSITIES, help="form of the diversity (default: as the checkpoint, else cosine)"
    )
    add("--with-loss", action="store_true", help="also the loss without each head: a pass over the data for every head")
    add("--select-batches", type=int, metavar="N", help="batches to look at, at random (default: the split once)")
    add("--json", action="store_true", help="print all figures, unrounded, as JSON instead of tables")
    add_data_options(parser)
    console.add_run_options(parser)
    return parser


def main(argv=None) -> int:
    parser = build_parser()
    args = parser.parse_args(argv)
    console.quiet_libraries()
    console.check_minimum(parser, args, groups=1, select_batches=1, max_tokens=1, batch_size=1, num_workers=0)
    try:
        import sklearn  # noqa: F401  only this command needs it
    except ImportError:
        parser.error("silhouettes are those of scikit-learn, which is not installed: pip install scikit-learn")
    try:
        check_data(args.data)
        state = read_checkpoint(args.checkpoint)
        # What is analysed in groups are the sums of the pass; the model itself needs none.
        task, model = load_for_pass(args, {"head_groups": 1, "group_distance": args.group_distance})
        heads = remove_masked_heads(model, model_options(state))
        settings = _settings(args, state, model, heads)
        # By a multiple fairseq would leave out the last sentences.
        batching = {**trained_batches(state, args), "required_batch_size_multiple": 1}
        batching.update(log_format="none", log_interval=100)
        check_sizes(task, model, batching["max_tokens"], args.subset)
        model.to(console.choose_device(args))
        calibration = calibration_of(task, model, Namespace(**{**vars(args), **batching}), args.data, args.subset)
        figures = {**settings, **_analyse(args, calibration, task, heads, settings)}
    except (CheckpointError, InputError) as error:
        parser.error(str(error))
    except ValueError as error:
        parser.error(f"CHECKPOINT {args.checkpoint}: {error}")
    print(json.dumps(figures, indent=1, default=vars) if args.json else "\n".join(_report(figures)))
    return 0


def _settings(args, state: Mapping[str, Any], model, heads: Mapping[str, List[int]]) -> Figures:
    """What the figures depend on. Raises InputError for more groups than any layer has heads for."""
    cfg = state.get("cfg")
    criterion = options_by_name(cfg.get("criterion") or {}) if cfg else vars(state["args"])
    most = max(map(len, heads.values()))
    trained = options_by_name(model_options(state)).get("head_groups") or 2
    groups = sorted(set(args.groups or [min(trained, max(most, 1))]))
    if args.groups and groups[-1] > most:
        raise InputError(f"--groups {groups[-1]}: allowed is 1 to {most}, the heads of CHECKPOINT {args.checkpoint}")
    return {
        "checkpoint": args.checkpoint,
        "data": args.data,
        "subset": args.subset,
        "machine": console.describe_machine(console.choose_device(args)),
        "groups": groups,
        "distance": grouping_of(model).distance,
        "diversity": args.group_diversity or criterion.get("group_diversity") or "cosine",
    }


def _analyse(args, calibration: Calibration, task, heads: Mapping[str, List[int]], settings: Figures) -> Figures:
    """The figures of all layers, and their means."""
    show, batches = console.progress_line(args.no_progress_bar), calibration.updates_planned()
    sums = sum_heads(
        calibration, task.target_dictionary, lambda done: show(f"{args.subset}: {done} of {batches} batches")
    )
    show("")
    options = {name: settings[name] for name in ("groups", "distance", "diversity")}
    layers = {}
    for name, layer_sums in sums.layers.items():
        if not layer_sums.is_finite():
            raise ValueError(f"{name} computes values that are not finite numbers: its training diverged")
        layers[name] = describe_layer(layer_sums, heads[name], **options)
    loss = None
    if args.with_loss:
        number = sum(map(len, heads.values()))
        told = "{}: loss without each head, {} of {} batches, {} of {} heads".format
        dropped = drop_heads(calibration, lambda done, head: show(told(args.subset, done, batches, head, number)))
        show("")
        loss = dropped.loss
        for name, layer in layers.items():
            layer.loss_increase = dropped.increase[name]
    means = mean_figures(layers)
    return {"sentences": sums.sentences, "units": UNITS, "loss": loss, "layers": layers, "means": means}


# ---------------------------------------------------------------------- tables


def _report(figures: Figures) -> Iterator[str]:
    layers: Dict[str, LayerFigures] = figures["layers"]
    yield f"{figures['checkpoint']}, {figures['subset']} of {figures['data']}: {figures['sentences']:,} sentences"
    yield figures["machine"]
    if figures["loss"] is not None:
        yield f"{UNITS['loss']}: {figures['loss']:.4f}"
    for feature in FEATURES:
        yield f"\nHeads in groups by their {feature} features (K-means, {figures['distance']} distance)"
        yield console.table_of_records(list(_group_rows(feature, layers, figures["means"])))
    yield f"silhouette: {UNITS['silhouette']}. Dunn: {UNITS['dunn']}. homogeneity: {UNITS['homogeneity']}."
    yield f"diversity: {UNITS['diversity']} (here: {figures['diversity']})."
    for name in OF_HEADS:
        if any(getattr(layer, name) for layer in layers.values()):
            yield f"\nBy head: {UNITS[name]}"
            yield _head_table(name, layers)
            mean = figures["means"].get(name)
            if mean is not None:
                yield f"mean of all heads: {_rounded(mean, _DIGITS[name])}"
    yield from _remarks(layers)


def _group_rows(feature: str, layers: Mapping[str, LayerFigures], means: Figures) -> Iterator[Dict[str, str]]:
    """Rows of the table of a feature map: title -> cell."""
    mean = means["features"][feature]
    numbers = list(mean["groups"]) or [None]
    for c in numbers:
        for name, layer in layers.items():
            features = layer.features[feature]
            groups = features.groups.get(c)
            members = " / ".join(" ".join(map(str, group)) for group in groups.members) if groups else "-"
            shown = {"groups": members, "most alike": _most_alike(layer.heads, features)}
            yield _group_row(name, c, shown, features.mean_cosine, vars(groups) if groups else {})
        of_all = mean["groups"].get(c, {})
        yield _group_row("mean", c, {"groups": "", "most alike": ""}, mean["mean_cosine"], of_all)


def _group_row(name: str, c: Optional[int], shown, mean_cosine: Optional[float], groups: Mapping) -> Dict[str, str]:
    return {
        "layer": name,
        "C": "-" if c is None else str(c),
        "groups of heads": shown["groups"],
        "most alike (cosine)": shown["most alike"],
        "mean cosine": _rounded(mean_cosine, 3),
        "silhouette": _rounded(groups.get("silhouette"), 3),
        "Dunn": _rounded(groups.get("dunn"), 3),
        "homogeneity": _rounded(groups.get("homogeneity"), 3),
        "diversity": _rounded(groups.get("diversity"), 3),
    }


def _most_alike(heads: Sequence[int], features: FeatureFigures) -> str:
    pairs: List[Tuple[float, int, int]] = [
        (features.cosines[i][j], heads[i], heads[j]) for j in range(len(heads)) for i in range(j)
    ]
    if not pairs:
        return "-"
    cosine, first, second = max(pairs, key=lambda pair: pair[0])
    return f"{first} and {second} ({cosine:.2f})"


def _head_table(name: str, layers: Mapping[str, LayerFigures]) -> str:
    """A figure of every head: a row for each layer, a column for each head that layers were made with."""
    columns = range(max(layer.made_with for layer in layers.values()))
    rows = []
    for layer_name, layer in layers.items():
        cells = dict(zip(layer.heads, getattr(layer, name) or [None] * len(layer.heads)))
        rows.append([layer_name, *(_rounded(cells[head], _DIGITS[name]) if head in cells else "" for head in columns)])
    return console.markdown_table(["layer", *(f"head {head}" for head in columns)], rows)


def _remarks(layers: Mapping[str, LayerFigures]) -> Iterator[str]:
    """What has no figure, and why; once where it holds for several layers."""
    remarks = [remark for layer in layers.values() for remark in layer.remarks]
    for number, remark in enumerate(dict.fromkeys(remarks)):
        names = [name for name, layer in layers.items() if remark in layer.remarks]
        where = "all layers" if len(names) == len(layers) else ", ".join(names)
        yield f"{'' if number else chr(10)}{where}: {remark}"


def _rounded(value: Optional[float], digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
