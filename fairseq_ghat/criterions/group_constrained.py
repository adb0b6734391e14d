"""Criteria that add the group constraint to fairseq's task losses (Group-Constrained Training, Eq. 4)."""

import logging
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Dict, Optional, Tuple, Union

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
from torch import Tensor

from fairseq_ghat.core.group_constraint import (
    DIVERSITIES,
    classification_constraint,
    group_constraint,
    own_group_probability,
)
from fairseq_ghat.modules.attention_layers import record_features
from fairseq_ghat.modules.group_classifiers import GroupClassifiers
from fairseq_ghat.modules.head_features import RecordedFeatures, target_padding
from fairseq_ghat.training.group_training import CONSTRAINT_METRICS, GroupTraining

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
        metadata={
            "help": "metric: cosines with the hidden units (Eq. 4 B); classification, experimental: a classifier "
            "(Eq. 4 A)"
        },
    )
    group_diversity: ChoiceEnum(DIVERSITIES) = field(
        default="cosine",
        metadata={
            "help": "hidden units pushed apart until opposite (cosine, the paper's) or, experimentally, orthogonal "
            "(squared)"
        },
    )


class GroupLossScale:
    """Weight of L_z beside the task loss, which fairseq sums over a batch and later divides by sample_size.

    * a number lambda: task loss per token + lambda * L_z, whatever the batch size, --update-freq or workers.
    * "batch", as the authors' code: L_z summed over the L attention layers, once per batch. Per token it
      weighs L / tokens per batch, so it changes with the batch size.

    Raises:
        ValueError: if the value is neither "batch" nor a finite number >= 0; names the flag.
    """

    def __init__(self, value: str):
        self.value = value
        self.factor: Optional[float] = None
        if value == "batch":
            return
        try:
            self.factor = float(value)
        except ValueError:
            self.factor = -1.0
        if not 0 <= self.factor < float("inf"):
            raise ValueError(f"--group-loss-scale {value}: allowed is 'batch' or a number >= 0")

    def summed(self, constraint: Tensor, layers: int, sample_size: Union[int, Tensor]) -> Tensor:
        """What to add to the summed task loss of a batch. constraint: L_z, averaged over the layers."""
        if self.factor is None:
            return constraint * layers
        return constraint * self.factor * sample_size


class GroupConstraintMixin:
    """Adds the constraint to the loss of a fairseq criterion in its stage; the logged task loss is untouched.

    The stage is read off the model: 1 before the vote, 2 after it.

    Attributes:
        group_training: what the task shares (GroupTraining); one of its own under a task that never votes.
        classifiers: GroupClassifiers under --group-objective classification, else None. As parameters of the
            criterion they are trained and saved with it, and are never part of a model.
        needs_adaptive_softmax: whether the task loss is that of an adaptive softmax.
    """

    needs_adaptive_softmax = False

    @classmethod
    def build_criterion(cls, cfg, task):
        """As fairseq's: the criterion of the task first, then the constraint.

        Args:
            cfg: holds a GroupConstraintConfig.
            task: any of fairseq's; ours share what they know of the model.

        Raises:
            ValueError: if the criterion cannot do what the flags ask for; names the flag.
        """
        criterion = super().build_criterion(cfg, task)
        criterion.init_group_constraint(cfg, getattr(task, "group_training", None) or GroupTraining())
        return criterion

    def init_group_constraint(self, cfg, group_training: GroupTraining) -> None:
        """Raises ValueError naming the flag, for a weight, scale or objective that is not allowed."""
        for flag, value in (("--group-alpha", cfg.group_alpha), ("--group-beta", cfg.group_beta)):
            if not 0 <= value < float("inf"):
                raise ValueError(f"{flag} {value}: allowed is a number >= 0")
        self.alpha, self.beta = cfg.group_alpha, cfg.group_beta
        self.scale = GroupLossScale(cfg.group_loss_scale)
        self.diversity = str(cfg.group_diversity)
        self.group_training = group_training
        group_training.constrained = True
        group_training.check_recomputation()
        options = group_training.model_options
        if self.needs_adaptive_softmax and options and not getattr(options, "adaptive_softmax_cutoff", None):
            raise ValueError(
                "--criterion group_constrained_adaptive_loss: the model has no adaptive softmax; give it one with "
                "--adaptive-softmax-cutoff, or take group_constrained_cross_entropy (facebookresearch/fairseq#1456)"
            )
        self.classifiers: Optional[GroupClassifiers] = None
        if cfg.group_objective == "classification":
            if not group_training.attentions:
                raise ValueError(
                    "--group-objective classification: allowed only with a task that votes (--task translation_v2s)"
                )
            if group_training.grouping.feature == "attention":
                raise ValueError(
                    "--group-objective classification: allowed with --group-feature value or output; attention maps "
                    "have a size that changes with sentence length, so no classifier of fixed size can read them"
                )
            groups = group_training.grouping.groups
            self.classifiers = GroupClassifiers.for_layers(group_training.attentions, groups)
        group_training.classifiers = self.classifiers

    def forward(self, model, sample, reduce=True):
        """As fairseq's: returns the loss to minimise, the sample size and the logging output.

        Raises:
            RuntimeError: if the model has no grouped attention, or runs under --checkpoint-activations.
        """
        padding = target_padding(sample["net_input"], self.padding_idx)
        features = record_features(model, padding, pooled=self.classifiers is not None)
        voted = any(layer.voted for layer in features.layers)
        constrained = self.group_training.applies(voted)
        observed = self.group_training.history is not None and self.training and not voted
        with features if constrained or observed else nullcontext():
            loss, sample_size, logging_output = super().forward(model, sample, reduce)
        if observed:
            self.group_training.observed = {name: gram.detach() for name, gram in features.grams().items()}
        if constrained and features.layer_stacks():  # LayerDrop may skip every layer
            logged, layers = self._constraint(features, loss.requires_grad)
            for name, value in logged.items():
                logging_output[name] = value.detach() * sample_size
            logging_output["constrained_size"] = sample_size
            if reduce:
                loss = loss + self.scale.summed(logged["constraint"], layers, sample_size)
        if self.classifiers is not None and loss.requires_grad:
            # Data-parallel training wants a gradient for every parameter at every step, also after the vote and
            # for layers that LayerDrop skipped.
            loss = loss + 0.0 * sum(parameter.sum() for parameter in self.classifiers.parameters())
        return loss, sample_size, logging_output

    def _constraint(self, features: RecordedFeatures, training: bool) -> Tuple[Dict[str, Tensor], int]:
        """What is logged of the constraint, L_z among it, and the number of layers."""
        stacks, grouping = features.stacks(), features.grouping
        if torch.is_grad_enabled() and training and not all(gram.requires_grad for gram in stacks):
            raise RuntimeError(
                "the group constraint does not reach the model under --checkpoint-activations; "
                "train without it until the vote"
            )
        metric = group_constraint(stacks, grouping.groups, self.alpha, self.beta, grouping.distance, self.diversity)
        logged = {"homogeneity": metric.homogeneity, "diversity": metric.diversity, "constraint": metric.loss}
        if self.classifiers is not None:
            losses, probabilities = [], []
            for layers, labels in zip(features.layer_stacks(), metric.labels):
                logits = self.classifiers([features.names[layer] for layer in layers], features.pooled(layers))
                losses.append(classification_constraint(logits, labels, self.alpha, self.beta))
                probabilities.append(own_group_probability(logits, labels).mean(-1))
            logged["constraint"] = torch.cat(losses).mean()
            logged["group_probability"] = torch.cat(probabilities).mean()
        return logged, metric.layers

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
