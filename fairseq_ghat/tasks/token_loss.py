"""The task's loss of a sample without smoothing and without constraint, for ways of choosing heads by gradients."""

from fairseq.criterions.adaptive_loss import AdaptiveLoss
from fairseq.criterions.cross_entropy import CrossEntropyCriterion

from fairseq_ghat.pruning.passes import Loss


def token_loss(task) -> Loss:
    """From a model and a sample: summed negative log-likelihood of the target tokens, in nats, and their number.

    An adaptive softmax has a criterion of its own, which need not compute every word's probability.
    """
    plain = CrossEntropyCriterion(task, sentence_avg=False)
    adaptive = AdaptiveLoss(task, sentence_avg=False)

    def loss(model, sample):
        criterion = adaptive if getattr(model.decoder, "adaptive_softmax", None) is not None else plain
        value, tokens, _ = criterion(model, sample)
        return value, tokens

    return loss
