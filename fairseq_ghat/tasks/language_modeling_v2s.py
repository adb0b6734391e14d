"""Task `language_modeling_v2s`: fairseq's language modelling with Voting-to-Stay (paper, Algorithm 1)."""

import logging
from dataclasses import dataclass

from fairseq.tasks import register_task
from fairseq.tasks.language_modeling import LanguageModelingConfig, LanguageModelingTask

from fairseq_ghat.tasks.voting_to_stay import VotingToStayMixin
from fairseq_ghat.training.schedule import VotingToStayConfig

logger = logging.getLogger(__name__)


@dataclass
class LanguageModelingV2SConfig(VotingToStayConfig, LanguageModelingConfig):
    """Options of language_modeling_v2s."""


@register_task("language_modeling_v2s", dataclass=LanguageModelingV2SConfig)
class LanguageModelingV2STask(VotingToStayMixin, LanguageModelingTask):
    """Language modelling whose model votes which of its heads stay, and goes on with those."""

    @classmethod
    def setup_task(cls, cfg, **kwargs):
        """As fairseq's.

        Raises:
            ValueError: if the context window leaves nothing of the block, or for a schedule that cannot work.
        """
        # fairseq-eval-lm has taken the window off --tokens-per-sample by now.
        if cfg.tokens_per_sample < 1:
            raise ValueError(
                f"--context-window: leaves {cfg.tokens_per_sample} tokens of a block of --tokens-per-sample to score; "
                "allowed is a window shorter than the block"
            )
        return super().setup_task(cfg, **kwargs)

    def eval_lm_dataloader(self, dataset, *args, context_window: int = 0, **kwargs):
        """As fairseq's; says under which window perplexity will be measured.

        What the window leaves of the block is scored, and is the stride from one block to the next; the window before
        it is context.
        """
        stride = self.cfg.tokens_per_sample
        block, window = stride + context_window, context_window
        logger.info("perplexity: blocks of %d tokens, context window %d, stride %d", block, window, stride)
        return super().eval_lm_dataloader(dataset, *args, context_window=context_window, **kwargs)
