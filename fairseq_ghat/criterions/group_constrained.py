"""Criteria that add the group constraint to fairseq's task losses (Group-Constrained Training, Eq. 4 B)."""

from dataclasses import dataclass, field

import torch
from fairseq import utils
from fairseq.criterions import register_criterion
from fairseq.criterions.cross_entropy import CrossEntropyCriterion, CrossEntropyCriterionConfig
from fairseq.criterions.label_smoothed_cross_entropy import (
    LabelSmoothedCrossEntropyCriterion,
    LabelSmoothedCrossEntropyCriterionConfig,
)
from fairseq.logging import metrics

from fairseq_ghat.core.group_constraint import group_constraint
from fairseq_ghat.criterions.group_loss_scale import GroupLossScale
from fairseq_ghat.modules.feature_grams import FeatureGrams
from fairseq_ghat.pruning.head_masks import is_voted

# Logged beside the task's own loss, each averaged over batches by their sample size.
_LOGGED = ("homogeneity", "diversity", "constraint")


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


class GroupConstraintMixin:
    """Adds the constraint to the loss of a fairseq criterion until the vote; the logged task loss is untouched."""

    def init_group_constraint(self, group_alpha, group_beta, group_loss_scale):
        for flag, value in (("--group-alpha", group_alpha), ("--group-beta", group_beta)):
            if not 0 <= value < float("inf"):
                raise ValueError(f"{flag} {value}: allowed is a number >= 0")
        self.alpha, self.beta = group_alpha, group_beta
        self.scale = GroupLossScale(group_loss_scale)

    def forward(self, model, sample, reduce=True):
        """As fairseq's: returns the loss to minimise, the sample size and the logging output.

        Raises:
            RuntimeError: if the model has no grouped attention, or runs under --checkpoint-activations.
        """
        grams = FeatureGrams(model, self._target_padding(sample))
        if is_voted(model):
            return super().forward(model, sample, reduce)
        with grams:
            loss, sample_size, logging_output = super().forward(model, sample, reduce)
        stacks = grams.stacks()
        if torch.is_grad_enabled() and loss.requires_grad and not all(gram.requires_grad for gram in stacks):
            raise RuntimeError(
                "the group constraint does not reach the model under --checkpoint-activations; "
                "train without it until the vote"
            )
        grouping = grams.attentions[0].grouping
        constraint = group_constraint(stacks, grouping.groups, self.alpha, self.beta, grouping.distance)
        for name, value in zip(_LOGGED, (constraint.homogeneity, constraint.diversity, constraint.loss)):
            logging_output[name] = value.detach() * sample_size
        logging_output["constrained_size"] = sample_size
        if reduce:
            loss = loss + self.scale.summed(constraint.loss, constraint.layers, sample_size)
        return loss, sample_size, logging_output

    def _target_padding(self, sample):
        previous = sample["net_input"].get("prev_output_tokens")
        return None if previous is None else previous.eq(self.padding_idx)

    @classmethod
    def reduce_metrics(cls, logging_outputs) -> None:
        """Logs the task's own metrics, then homogeneity, diversity and the constraint."""
        super().reduce_metrics(logging_outputs)
        size = sum(log.get("constrained_size", 0) for log in logging_outputs)
        if utils.item(size) == 0:
            return
        for name in _LOGGED:
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

    def __init__(
        self,
        task,
        sentence_avg,
        label_smoothing,
        group_alpha,
        group_beta,
        group_loss_scale,
        ignore_prefix_size=0,
        report_accuracy=False,
    ):
        super().__init__(task, sentence_avg, label_smoothing, ignore_prefix_size, report_accuracy)
        self.init_group_constraint(group_alpha, group_beta, group_loss_scale)


@dataclass
class GroupConstrainedCrossEntropyConfig(GroupConstraintConfig, CrossEntropyCriterionConfig):
    """Options of group_constrained_cross_entropy."""


@register_criterion("group_constrained_cross_entropy", dataclass=GroupConstrainedCrossEntropyConfig)
class GroupConstrainedCrossEntropy(GroupConstraintMixin, CrossEntropyCriterion):
    """Cross-entropy with the group constraint."""

    def __init__(self, task, sentence_avg, group_alpha, group_beta, group_loss_scale):
        super().__init__(task, sentence_avg)
        self.init_group_constraint(group_alpha, group_beta, group_loss_scale)
