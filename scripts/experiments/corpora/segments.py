"""Sentences of the evaluation sets in the SGML and XML form of the mteval tool."""

import html
import re
from typing import Iterable, Iterator

from experiments.corpora.text_files import tidy

_SEGMENT = re.compile(r"<seg\b[^>]*>(.*?)(?:</seg>|$)")


def segments(lines: Iterable[str]) -> Iterator[str]:
    """The text of each <seg> line, entities resolved and ’ written as ', as fairseq's scripts have it."""
    for line in lines:
        found = _SEGMENT.search(line)
        if found:
            yield tidy(html.unescape(found.group(1)).replace("’", "'"))
