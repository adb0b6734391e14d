"""Criteria that add the group constraint to fairseq's task losses (Group-Constrained Training, Eq. 4)."""

import logging
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Optional

import torch
from fairseq import utils
from fairseq.criterions import register_criterion
from fairseq.criterions.adaptive_loss import AdaptiveLoss, AdaptiveLossConfig
from fairseq.criterions.cross_entropy import CrossEntropyCriterion, CrossEntropyCriterionConfig
from fairseq.criterions.label_smoothed_cross_entropy import (
    LabelSmoothedCrossEntropyCriterion,
    LabelSmoothedCrossEntropyCriterionConfig,
)
from fairseq.dataclass import ChoiceEnum
from fairseq.logging import metrics

from fairseq_ghat.core.group_constraint import (
    DIVERSITIES,
    classification_constraint,
    group_constraint,
    own_group_probability,
)
from fairseq_ghat.modules.feature_collectors import FeatureGrams, PooledFeatures, target_padding
from fairseq_ghat.modules.group_classifiers import GroupClassifiers
from fairseq_ghat.pruning.masks import is_voted
from fairseq_ghat.training.grouping import CONSTRAINT_METRICS, GroupLossScale

logger = logging.getLogger(__name__)

OBJECTIVES = ("metric", "classification")


@dataclass
class GroupConstraintConfig:
    """Options of the group constraint, for dataclasses of criteria to inherit."""

    group_alpha: float = field(default=0.5, metadata={"help": "weight of homogenisation within a group"})
    group_beta: float = field(default=0.5, metadata={"help": "weight of diversification between groups"})
    group_loss_scale: str = field(
        default="0.03",
        metadata={
            "help": "a number lambda: task loss per token + lambda * L_z; or 'batch': "
            "L_z summed over layers, once per batch (as the authors' code)"
        },
    )
    group_objective: ChoiceEnum(OBJECTIVES) = field(
        default="metric",
        metadata={"help": "metric: cosines with the hidden units (Eq. 4 B); classification: a classifier (Eq. 4 A)"},
    )
    group_diversity: ChoiceEnum(DIVERSITIES) = field(
        default="cosine",
        metadata={"help": "hidden units pushed apart until opposite (cosine, the paper's) or orthogonal (squared)"},
    )


class GroupConstraintMixin:
    """Adds the constraint to the loss of a fairseq criterion in its stage; the logged task loss is untouched.

    The stage is read off the model: 1 before the vote, 2 after it. --constrain-stage belongs to the task.

    Attributes:
        classifiers: GroupClassifiers under --group-objective classification, else None. As parameters of the
            criterion they are trained and saved with it, and are never part of a model.
        observe_grams: called with {layer: (H, H) Gram matrix} of each training batch if set.
    """

    @classmethod
    def build_criterion(cls, cfg, task):
        """As fairseq's: the criterion of the task first, then the constraint. cfg: holds a GroupConstraintConfig."""
        criterion = super().build_criterion(cfg, task)
        criterion.init_group_constraint(cfg, task)
        return criterion

    def init_group_constraint(self, cfg, task):
        """Raises ValueError naming the flag, for a weight, scale or objective that is not allowed."""
        for flag, value in (("--group-alpha", cfg.group_alpha), ("--group-beta", cfg.group_beta)):
            if not 0 <= value < float("inf"):
                raise ValueError(f"{flag} {value}: allowed is a number >= 0")
        self.alpha, self.beta = cfg.group_alpha, cfg.group_beta
        self.scale = GroupLossScale(cfg.group_loss_scale)
        self.diversity = str(cfg.group_diversity)
        stage = getattr(getattr(task, "cfg", None), "constrain_stage", "1")
        self.constrained_stages = ("1", "2") if stage == "both" else (str(stage),)
        self.observe_grams = None
        self.classifiers: Optional[GroupClassifiers] = None
        if str(cfg.group_objective) == "classification":
            attentions = getattr(task, "grouped_attentions", None)
            if not attentions:
                raise ValueError(
                    "--group-objective classification: allowed only with a task that votes (--task translation_v2s)"
                )
            if next(iter(attentions.values())).grouping.feature == "attention":
                raise ValueError(
                    "--group-objective classification: allowed with --group-feature value or output; attention maps "
                    "have a size that changes with sentence length, so no classifier of fixed size can read them"
                )
            self.classifiers = GroupClassifiers.for_layers(attentions)

    def forward(self, model, sample, reduce=True):
        """As fairseq's: returns the loss to minimise, the sample size and the logging output.

        Raises:
            RuntimeError: if the model has no grouped attention, or runs under --checkpoint-activations.
        """
        grams = FeatureGrams(model, target_padding(sample["net_input"], self.padding_idx))
        voted = is_voted(model)
        constrained = ("2" if voted else "1") in self.constrained_stages
        observed = self.observe_grams is not None and self.training and not voted
        pooled = PooledFeatures(model, grams.target_padding) if constrained and self.classifiers is not None else None
        with ExitStack() as sinks:
            if constrained or observed:
                sinks.enter_context(grams)
            if pooled is not None:
                sinks.enter_context(pooled)
            loss, sample_size, logging_output = super().forward(model, sample, reduce)
        if observed:
            self.observe_grams({name: gram.detach() for name, gram in grams.by_name().items()})
        if constrained and grams.layer_stacks():  # LayerDrop may skip every layer
            constraint, logged, layers = self._constraint(grams, pooled, loss.requires_grad)
            for name, value in logged.items():
                logging_output[name] = value.detach() * sample_size
            logging_output["constrained_size"] = sample_size
            if reduce:
                loss = loss + self.scale.summed(constraint, layers, sample_size)
        if self.classifiers is not None and loss.requires_grad:
            # Data-parallel training wants a gradient for every parameter at every step, also after the vote and
            # for layers that LayerDrop skipped.
            loss = loss + 0.0 * sum(parameter.sum() for parameter in self.classifiers.parameters())
        return loss, sample_size, logging_output

    def _constraint(self, grams, pooled, training):
        """L_z (), what is logged of it, and the number of layers."""
        stacks = grams.stacks()
        if torch.is_grad_enabled() and training and not all(gram.requires_grad for gram in stacks):
            raise RuntimeError(
                "the group constraint does not reach the model under --checkpoint-activations; "
                "train without it until the vote"
            )
        grouping = grams.attentions[0].grouping
        metric = group_constraint(stacks, grouping.groups, self.alpha, self.beta, grouping.distance, self.diversity)
        logged = {"homogeneity": metric.homogeneity, "diversity": metric.diversity, "constraint": metric.loss}
        if pooled is not None:
            losses, probabilities = [], []
            for layers, labels in zip(grams.layer_stacks(), metric.labels):
                logits = self.classifiers([grams.names[layer] for layer in layers], pooled.pooled(layers))
                losses.append(classification_constraint(logits, labels, self.alpha, self.beta))
                probabilities.append(own_group_probability(logits, labels).mean(-1))
            logged["constraint"] = torch.cat(losses).mean()
            logged["group_probability"] = torch.cat(probabilities).mean()
        return logged["constraint"], logged, metric.layers

    def load_state_dict(self, state_dict, strict=True):
        """As torch's; a checkpoint of a run without classifiers, such as a stock one, leaves them fresh."""
        if self.classifiers is not None and not state_dict:
            logger.info("the checkpoint has no group classifiers: they start anew")
            return None
        return super().load_state_dict(state_dict, strict)

    @classmethod
    def reduce_metrics(cls, logging_outputs) -> None:
        """Logs the task's own metrics, then homogeneity, diversity and the constraint."""
        super().reduce_metrics(logging_outputs)
        size = sum(log.get("constrained_size", 0) for log in logging_outputs)
        if utils.item(size) == 0:
            return
        for name in CONSTRAINT_METRICS:
            if not any(name in log for log in logging_outputs):
                continue
            total = sum(log.get(name, 0) for log in logging_outputs)
            metrics.log_scalar(name, total / size, size, round=4)


@dataclass
class GroupConstrainedLabelSmoothedCrossEntropyConfig(GroupConstraintConfig, LabelSmoothedCrossEntropyCriterionConfig):
    """Options of group_constrained_label_smoothed_cross_entropy."""


@register_criterion(
    "group_constrained_label_smoothed_cross_entropy", dataclass=GroupConstrainedLabelSmoothedCrossEntropyConfig
)
class GroupConstrainedLabelSmoothedCrossEntropy(GroupConstraintMixin, LabelSmoothedCrossEntropyCriterion):
    """Label-smoothed cross-entropy with the group constraint."""


@dataclass
class GroupConstrainedCrossEntropyConfig(GroupConstraintConfig, CrossEntropyCriterionConfig):
    """Options of group_constrained_cross_entropy."""


@register_criterion("group_constrained_cross_entropy", dataclass=GroupConstrainedCrossEntropyConfig)
class GroupConstrainedCrossEntropy(GroupConstraintMixin, CrossEntropyCriterion):
    """Cross-entropy with the group constraint."""


@dataclass
class GroupConstrainedAdaptiveLossConfig(GroupConstraintConfig, AdaptiveLossConfig):
    """Options of group_constrained_adaptive_loss."""


@register_criterion("group_constrained_adaptive_loss", dataclass=GroupConstrainedAdaptiveLossConfig)
class GroupConstrainedAdaptiveLoss(GroupConstraintMixin, AdaptiveLoss):
    """Loss of an adaptive softmax with the group constraint."""

    needs_adaptive_softmax = True
