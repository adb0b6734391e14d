"""Sentence boundaries in summaries: marked ones, and those that are found by rules."""

import re
from functools import cache, lru_cache
from typing import Callable, List, Optional

# Between the sentences of a text in a file of a line each, as in the CNN / Daily Mail of many summarisers.
MARKER = "<q>"
_INNER_END = re.compile(r"[.!?][\"'”’)]*\s+\S")


def marked(text: str) -> str:
    """The text with a newline wherever a boundary is marked, by a newline or by MARKER."""
    return text.replace(MARKER, "\n")


def is_marked(text: Optional[str]) -> bool:
    """Whether a text marks boundaries; None does not."""
    return bool(text) and ("\n" in text or MARKER in text)


def may_be_several(text: Optional[str]) -> bool:
    """Whether a text looks like several sentences, at a glance; None does not."""
    return bool(text) and _INNER_END.search(text) is not None


@lru_cache(maxsize=2**16)  # references come again with each system
def split(text: str) -> str:
    """The text with a newline between its sentences: where it marks boundaries there, else where pysbd finds them.

    Raises:
        ModuleNotFoundError: if pysbd is not installed.
    """
    if is_marked(text):
        return marked(text)
    sentences = [sentence.strip() for sentence in _segmenter()(text)]
    # Of text with the characters that it marks ends by, pysbd may lose some.
    whole = _letters("".join(sentences)) == _letters(text)
    return "\n".join(sentences) if whole else text


@cache
def _segmenter() -> Callable[[str], List[str]]:
    from pysbd import Segmenter  # only where sentences are to be found

    return Segmenter(language="en", clean=False).segment


def _letters(text: str) -> str:
    return re.sub(r"\W", "", text)
