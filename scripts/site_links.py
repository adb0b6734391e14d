"""A hook of mkdocs: pages that show a file of the repository, and links that leave docs/.

On the host of the code a link from a page to any file works. The site has the pages of docs/ alone. So a page with the
comment `<!-- the site shows FILE here -->` becomes that file; a link to such a file leads to its page, one to a module
of fairseq_ghat.core to its description, and of one to any other file the text stays.
"""

import os.path
import re
from pathlib import Path
from typing import Any, Dict, Mapping

REPOSITORY = Path(__file__).resolve().parents[1]
_SHOWN = re.compile(r"<!-- the site shows (\S+) here -->")
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?![a-z]+:|#)([^)#\s]+)(#[^)\s]*)?\)")
_CORE = re.compile(r"fairseq_ghat/core/(\w+)\.py")


def shown_files(docs: Path) -> Dict[str, str]:
    """File of the repository -> page that shows it, both as paths in the repository."""
    pages = ((page, _SHOWN.search(page.read_text(encoding="utf-8"))) for page in sorted(docs.rglob("*.md")))
    return {shown[1]: page.relative_to(REPOSITORY).as_posix() for page, shown in pages if shown}


def for_the_site(text: str, place: str, page: str, shown: Mapping[str, str]) -> str:
    """The text of a file with its links as the site has them.

    Args:
        text: markdown.
        place: file that the links start from, as a path in the repository.
        page: page that shows it.
        shown: as shown_files gives it.
    """

    def link(match: "re.Match[str]") -> str:
        words, target, anchor = match.group(1), match.group(2), match.group(3) or ""
        file = os.path.normpath(os.path.join(os.path.dirname(place), target))
        core = _CORE.fullmatch(file)
        if core:
            file, anchor = "docs/api/core.md", f"#fairseq_ghat.core.{core[1]}"
        file = shown.get(file, file)
        if not file.startswith("docs/"):
            return words
        return f"[{words}]({os.path.relpath(file, os.path.dirname(page))}{anchor})"

    return _LINK.sub(link, text)


def on_page_markdown(markdown: str, page: Any, config: Mapping[str, Any], files: Any) -> str:
    """What mkdocs calls with the text of each page."""
    docs = Path(config["docs_dir"])
    place = here = (docs / page.file.src_uri).relative_to(REPOSITORY).as_posix()
    shown = _SHOWN.search(markdown)
    if shown:
        place = shown[1]
        markdown = (REPOSITORY / place).read_text(encoding="utf-8")
    return for_the_site(markdown, place, here, shown_files(docs))
