"""Task `translation_v2s`: fairseq's translation with Voting-to-Stay (paper, Algorithm 1)."""

from dataclasses import dataclass

from fairseq.tasks import register_task
from fairseq.tasks.translation import TranslationConfig, TranslationTask

from fairseq_ghat.tasks.voting_to_stay import VotingToStayMixin
from fairseq_ghat.training.schedule import VotingToStayConfig


@dataclass
class TranslationV2SConfig(VotingToStayConfig, TranslationConfig):
    """Options of translation_v2s."""


@register_task("translation_v2s", dataclass=TranslationV2SConfig)
class TranslationV2STask(VotingToStayMixin, TranslationTask):
    """Translation whose model votes at --vote-epoch which of its heads stay, and goes on with those."""
