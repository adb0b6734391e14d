"""The page: one file of HTML that needs neither network nor script."""

from base64 import b64encode
from typing import List, Sequence

from jinja2 import Environment, PackageLoader

from fairseq_ghat.report.pictures import Picture, svg
from fairseq_ghat.report.sections import Section

TEMPLATE = "page.html.j2"


def render(title: str, sections: Sequence[Section], made_by: str) -> str:
    """Fills the template.

    Args:
        title: of the page.
        sections: in order.
        made_by: versions, for the foot of the page.
    """
    environment = Environment(
        loader=PackageLoader("fairseq_ghat.report", "."), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["data_uri"] = _data_uri
    return environment.get_template(TEMPLATE).render(title=title, sections=sections, made_by=made_by)


def pictures(sections: Sequence[Section]) -> List[Picture]:
    """All pictures, in the order of the page."""
    return [picture for section in sections for picture in section.pictures]


def _data_uri(picture: Picture) -> str:
    """The picture inside the page. As images, pictures do not share names of parts with one another."""
    return f"data:image/svg+xml;base64,{b64encode(svg(picture)).decode()}"
