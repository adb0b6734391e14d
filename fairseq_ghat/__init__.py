"""Grouped Head Attention for fairseq: train with grouped heads, let them vote, remove the rest.

Importing the package, which fairseq's --user-dir does, registers the models, criteria and tasks, and lets
torch's safe loading read fairseq checkpoints.
"""

from fairseq_ghat.checkpoints.safe_loading import allow_checkpoint_classes

allow_checkpoint_classes()

from fairseq_ghat.criterions import group_constrained  # noqa: E402, F401
from fairseq_ghat.hub import load  # noqa: E402, F401
from fairseq_ghat.models import ghat_transformer, ghat_transformer_lm  # noqa: E402, F401
from fairseq_ghat.tasks import language_modeling_v2s, translation_v2s  # noqa: E402, F401
