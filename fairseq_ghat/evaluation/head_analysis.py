"""What the heads of a model do, in figures: how alike they are, how they group, what each one contributes.

Figures that need two heads, or groups of several heads, are None where a layer has none.
"""

from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence

from torch import Tensor, nn

from fairseq_ghat.checkpoints.kept_units import record_in_model
from fairseq_ghat.checkpoints.model_options import KEPT_HEADS
from fairseq_ghat.core.compactness import dunn_index, head_distances
from fairseq_ghat.core.gram_matrix import cosine_gram
from fairseq_ghat.core.group_constraint import group_constraint
from fairseq_ghat.core.head_scores import variance_shares
from fairseq_ghat.evaluation.head_sums import LayerSums
from fairseq_ghat.modules.attention_layers import grouped_attentions

# What the figures are measured in.
UNITS = {
    "cosines": "cosine of the feature maps of two heads, -1 to 1",
    "mean_cosine": "mean cosine of two different heads, -1 to 1",
    "silhouette": "silhouette coefficient, -1 to 1",
    "dunn": "Dunn index, a ratio of distances",
    "homogeneity": "mean cosine of a head with the centre of its group, -1 to 1",
    "diversity": "mean negative cosine, or squared cosine, of the centres of two groups",
    "variance_share": "share of the variance of the attention's output; the shares of a layer sum to 1",
    "entropy": "entropy of the attention, nats, mean over queries",
    "confidence": "greatest attention weight, 0 to 1, mean over tokens, end-of-sentence symbol left out",
    "loss": "loss per target token, bits",
    "loss_increase": "increase of the loss without the head, bits per target token",
}
# Figures of each head, and of each way of grouping.
OF_HEADS = ("variance_share", "entropy", "confidence", "loss_increase")
OF_GROUPS = ("silhouette", "dunn", "homogeneity", "diversity")


@dataclass
class Groups:
    """The heads of a layer in C groups, by K-means.

    Attributes:
        members: indexes of the heads of each group.
        silhouette: mean silhouette coefficient of the heads; None for one group, and for one head in each.
        silhouettes: of each head; None where there is no mean.
        dunn: Dunn index; None where the silhouette is, and where no two heads of a group differ.
        homogeneity: as the group constraint has it.
        diversity: as the group constraint has it; 0 for one group.
    """

    members: List[List[int]]
    silhouette: Optional[float]
    silhouettes: Optional[List[float]]
    dunn: Optional[float]
    homogeneity: float
    diversity: float


@dataclass
class FeatureFigures:
    """How alike the heads of a layer are by one of their feature maps.

    Attributes:
        cosines: of each head with each head, H x H.
        mean_cosine: of two different heads; None for fewer than two.
        groups: by C, of those C that the layer has heads for.
    """

    cosines: List[List[float]]
    mean_cosine: Optional[float]
    groups: Dict[int, Groups]


@dataclass
class LayerFigures:
    """What the heads of an attention layer do; lists are in the order of `heads`.

    Attributes:
        heads: their indexes among the heads that the layer was made with.
        made_with: heads that the layer was made with.
        features: by feature map.
        variance_share: see UNITS; None where the output does not vary.
        entropy: see UNITS.
        confidence: see UNITS; None where all tokens are end-of-sentence symbols.
        loss_increase: see UNITS; None where it was not measured.
        remarks: what has no figure, and why.
    """

    heads: List[int]
    made_with: int
    features: Dict[str, FeatureFigures]
    variance_share: Optional[List[float]]
    entropy: List[float]
    confidence: Optional[List[float]]
    loss_increase: Optional[List[float]] = None
    remarks: List[str] = field(default_factory=list)


def remove_masked_heads(model: nn.Module, options: Any) -> Dict[str, List[int]]:
    """Removes the heads that a model holds and does not compute, as a vote left them in earlier versions.

    Args:
        model: with grouped attention.
        options: of the model, which have the record of the heads that were kept.

    Returns:
        Indexes of the heads that stay among those the model was made with, by name of the attention layer.
    """
    record, heads = record_in_model(options).get(KEPT_HEADS, {}), {}
    for name, layer in grouped_attentions(model).items():
        stay, held = layer.head_mask.nonzero().flatten().tolist(), layer.heads_held
        if len(stay) < held:
            layer.remove_units(stay)
        heads[name] = [record.get(name, range(held))[head] for head in stay]
    return heads


def describe_layer(
    sums: LayerSums, heads: Sequence[int], groups: Iterable[int], distance: str, diversity: str
) -> LayerFigures:
    """The figures of one attention layer.

    Args:
        sums: over the data.
        heads: original index of each of the H heads.
        groups: numbers of groups C; those above H are left out, with a remark.
        distance: of K-means, silhouette and Dunn index, one of DISTANCES.
        diversity: one of DIVERSITIES.

    Raises:
        ModuleNotFoundError: if scikit-learn is not installed.
    """
    remarks = [] if len(heads) > 1 else [f"{_held(heads)}, so none to compare and no silhouette or Dunn index"]
    remarks += [f"no {c} groups: {_held(heads)}" for c in groups if 0 < len(heads) < c]
    for c in groups:
        if 1 < len(heads) and c in (1, len(heads)):
            why = "one group" if c == 1 else f"{c} groups of one head each"
            remarks.append(f"no silhouette or Dunn index of {why}")
    fitting = [c for c in groups if c <= len(heads)]
    features = {
        name: FeatureFigures(
            cosine_gram(gram).tolist(),
            _mean_of_pairs(cosine_gram(gram)),
            {c: _group(gram, heads, c, distance, diversity) for c in fitting},
        )
        for name, gram in sums.grams.items()
    }
    shares = confidence = None
    if sums.moments.count and heads:
        measured = variance_shares(sums.layer.projection.weight.detach(), sums.moments.covariance(), len(heads))
        shares = measured.tolist() if bool(measured.isfinite().all()) else None
        if shares is None:
            remarks.append("no shares of variance: its output is the same at all positions")
    if sums.words:
        confidence = (sums.confidence / sums.words).tolist()
    entropy = (sums.entropy / sums.queries.clamp_min(1)).tolist()
    return LayerFigures(list(heads), sums.layer.num_heads, features, shares, entropy, confidence, remarks=remarks)


def _held(heads: Sequence[int]) -> str:
    return f"{len(heads) or 'no'} head{'' if len(heads) == 1 else 's'} left"


def _mean_of_pairs(cosines: Tensor) -> Optional[float]:
    """Mean off the diagonal of (H, H)."""
    heads = len(cosines)
    return None if heads < 2 else float((cosines.sum() - cosines.trace()) / (heads * (heads - 1)))


def _group(gram: Tensor, heads: Sequence[int], groups: int, distance: str, diversity: str) -> Groups:
    constraint = group_constraint([gram.unsqueeze(0)], groups, 1.0, 1.0, distance, diversity)
    labels, distances = constraint.labels[0][0].cpu(), head_distances(gram, distance).cpu()
    members = [[heads[head] for head in (labels == c).nonzero().flatten().tolist()] for c in range(groups)]
    silhouettes = dunn = None
    if 1 < groups < len(heads):
        silhouettes, dunn = silhouette_coefficients(distances, labels), dunn_index(distances, labels)
    mean = fmean(silhouettes) if silhouettes else None
    return Groups(members, mean, silhouettes, dunn, float(constraint.homogeneity), float(constraint.diversity))


def silhouette_coefficients(distances: Tensor, labels: Tensor) -> List[float]:
    """Silhouette coefficient of each head, by scikit-learn: 0 for a head that is alone in its group.

    Args:
        distances: between the heads, (H, H).
        labels: group of each head, (H,), of 2 to H-1 groups.

    Raises:
        ModuleNotFoundError: if scikit-learn is not installed.
    """
    from sklearn.metrics import silhouette_samples  # only this needs it

    return silhouette_samples(distances.numpy(), labels.numpy(), metric="precomputed").tolist()


def mean_figures(layers: Mapping[str, LayerFigures]) -> Dict[str, Any]:
    """Means over the layers that have a figure, of heads over all heads of them: by the same names as in the layers."""
    every = list(layers.values())
    features: Dict[str, Dict[str, Any]] = {}
    for name in every[0].features if every else ():
        of_layers = [layer.features[name] for layer in every]
        numbers = sorted({c for figures in of_layers for c in figures.groups})
        features[name] = {
            "mean_cosine": _mean(figures.mean_cosine for figures in of_layers),
            "groups": {c: _mean_groups([f.groups[c] for f in of_layers if c in f.groups]) for c in numbers},
        }
    names = [name for name in OF_HEADS if name != "variance_share"]  # whose mean says nothing
    of_heads = {name: _mean(figure for layer in every for figure in getattr(layer, name) or ()) for name in names}
    return {"features": features, **of_heads}


def _mean_groups(groups: Sequence[Groups]) -> Dict[str, Optional[float]]:
    return {name: _mean(getattr(each, name) for each in groups) for name in OF_GROUPS}


def _mean(figures: Iterable[Optional[float]]) -> Optional[float]:
    known = [figure for figure in figures if figure is not None]
    return fmean(known) if known else None
