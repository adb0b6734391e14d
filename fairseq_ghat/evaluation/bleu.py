"""sacrebleu's BLEU with the tokenizer that sacrebleu chooses for the target language."""

import logging
import re
from dataclasses import dataclass
from typing import List, Optional, Sequence

from sacrebleu.metrics import BLEU

logger = logging.getLogger(__name__)
_MECAB = {"ja-mecab": 'pip install "sacrebleu[ja]"', "ko-mecab": 'pip install "sacrebleu[ko]"'}
_MODEL = "its model is fetched once, over the network, into sacreBLEU's folder (~/.sacrebleu, or SACREBLEU)"
_SPLIT_AT_SPACES = ("13a", "intl", "none")
_CHARACTERS_PER_SPACE = 20  # of text without words between spaces; Finnish has about 8, Thai 30, Japanese hundreds


class BadTokenizer(ValueError):
    """A tokenizer that cannot be used; the message names it and says what is allowed or what to install."""


@dataclass
class BleuParts:
    """What BLEU is made of.

    Attributes:
        precisions: of n-grams, n = 1 to 4, in percent.
        brevity_penalty: 1 unless the hypotheses are shorter than the references.
        hypothesis_length: tokens of all hypotheses.
        reference_length: tokens of all references, of each sentence those of the closest length.
    """

    precisions: List[float]
    brevity_penalty: float
    hypothesis_length: int
    reference_length: int


def bleu_metric(
    references: Sequence[Sequence[Optional[str]]],
    lowercase: bool = False,
    tokenize: Optional[str] = None,
    target_lang: Optional[str] = None,
) -> BLEU:
    """BLEU with its tokenizer; warns where that splits at spaces and the references have almost none.

    Args:
        references: R lists of N texts.
        lowercase: compute it without case.
        tokenize: name of sacrebleu's tokenizer (default: the one of the target language).
        target_lang: code of the language; a region after it, as in zh_CN, makes no difference. Japanese, Chinese and
            Korean have tokenizers of their own, the other ones 13a, as sacrebleu has it.

    Returns:
        The metric.

    Raises:
        BadTokenizer: if there is no such tokenizer, or what it needs is not there.
    """
    allowed = f"allowed is {', '.join(BLEU.TOKENIZERS)}"
    if tokenize is not None and tokenize not in BLEU.TOKENIZERS:
        raise BadTokenizer(f"--tokenize {tokenize}: {allowed}")
    language = re.split("[_-]", target_lang or "")[0].lower()
    try:
        metric = BLEU(lowercase=lowercase, tokenize=tokenize, trg_lang=language)
    except (Exception, SystemExit) as error:  # each tokenizer fails in its own way, sacrebleu's download by sys.exit
        name = tokenize or f"{language}-mecab"  # of those that are chosen, only these need more than sacrebleu
        of = "" if tokenize else f" (of target language {target_lang})"
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        needed = _MECAB.get(name, _MODEL)
        raise BadTokenizer(f"--tokenize {name}{of}: cannot be used ({reason}); {needed}; {allowed}") from error
    if metric.tokenizer_signature in _SPLIT_AT_SPACES and _lack_spaces(references):
        told = f"the references have almost no spaces, and tokenizer {metric.tokenizer_signature} splits at spaces"
        logger.warning(f"{told}: this BLEU compares whole lines; give --target-lang (ja, ko, zh) or --tokenize")
    return metric


def _lack_spaces(references: Sequence[Sequence[Optional[str]]]) -> bool:
    """Whether texts are without words between spaces."""
    texts = [text for of_each in references for text in of_each if text]
    return sum(text.count(" ") for text in texts) * _CHARACTERS_PER_SPACE < sum(map(len, texts))
