"""Runs for the page, made by hand: what their folders would say."""

from pathlib import Path

from fairseq_ghat.evaluation.head_analysis import FeatureFigures, Groups, LayerFigures
from fairseq_ghat.report.measurements import Analysis, Measurements, Score
from fairseq_ghat.report.run import Model, Run
from fairseq_ghat.report.training_log import LayerVote, TrainingLog, Vote

LAYERS = ("encoder.layers.0.self_attn", "decoder.layers.0.encoder_attn")
COSINES = [[1.0, 0.1, 0.2, 0.3], [0.1, 1.0, 0.4, -0.5], [0.2, 0.4, 1.0, 0.6], [0.3, -0.5, 0.6, 1.0]]


def analysis(name, silhouette=0.25, c=2, checkpoint="a.pt"):
    """Of two layers of four heads, heads 1 and 3 in the second group."""
    groups = Groups([[0, 2], [1, 3]], silhouette, None, 1.5, 0.7, -0.5)
    feature = FeatureFigures(COSINES, 0.18, {c: groups})
    layer = LayerFigures([0, 1, 2, 3], 4, {"value": feature}, None, [1.0] * 4, None)
    means = {"value": {c: {"silhouette": silhouette, "dunn": 1.5, "homogeneity": 0.7, "diversity": -0.5}}}
    return Analysis(
        Path(name, "analysis.json"), f"{name}/{checkpoint}", "valid of bin", dict.fromkeys(LAYERS, layer), means
    )


def plain_run(score=30.0):
    kept = {name: [0, 1, 2, 3] for name in LAYERS}
    options = {"arch": "transformer"}
    run = Run("plain", Path("runs/plain"), model=Model(Path("a.pt"), options, "plain", kept, dict.fromkeys(LAYERS, 4)))
    run.log = TrainingLog({1: {"nll_loss": 5.0}}, {1: {"nll_loss": 4.0}, 2: {"nll_loss": 3.0}})
    run.measured = Measurements({"BLEU": Score(score, None, None, "tok:13a")})
    run.size = {"parameters": 900, "parameters_without_embeddings": 800, "flops": 2_500_000, "length": 30}
    run.command = "fairseq-train bin --arch transformer"
    return run


def grouped_run(name="ght", c=2, score=31.0, kind="GHT"):
    """Trained under the constraint; a vote keeps heads 2 and 3 if the kind is GHT-PS."""
    voted = kind == "GHT-PS"
    kept = {layer: [2, 3] if voted else [0, 1, 2, 3] for layer in LAYERS}
    options = {"arch": "ghat_transformer", "head_groups": c, "group_feature": "value"}
    run = Run(name, Path("runs", name), model=Model(Path("b.pt"), options, kind, kept, dict.fromkeys(LAYERS, 4)))
    grouped = {"nll_loss": 4.5, "homogeneity": 0.5, "diversity": -0.2, "stage": "grouped"}
    run.log = TrainingLog({}, {1: grouped, 2: {**grouped, "nll_loss": 3.5, "homogeneity": 0.6}})
    if voted:
        votes = {layer: LayerVote([2, 3], 4, [1, 0, 9, 10], 10) for layer in LAYERS}
        run.log.vote = Vote(2, votes, done=True)
    run.measured = Measurements({"BLEU": Score(score, 0.5, 0.04, "tok:13a")}, ("7.0 sentences/s", "CPU"))
    run.measured.analyses = [analysis(name, c=c)]
    return run
