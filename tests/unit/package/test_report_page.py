"""The page: all sections, a text for every picture, nothing from a network, a sentence for what is missing."""

from html.parser import HTMLParser

import pytest

pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install matplotlib")
pytest.importorskip("jinja2", reason="jinja2 is not installed: pip install jinja2")

from report_runs import grouped_run, plain_run

from fairseq_ghat.report.page import pictures, render
from fairseq_ghat.report.run import Run
from fairseq_ghat.report.sections import sections

HEADINGS = ["Summary", "Training", "Similarity of heads", "Votes", "Compactness of groups and score"]
HEADINGS += ["Number of groups and score", "Heads kept", "Commands"]


class Page(HTMLParser):
    """Headings, attributes of all tags, and text of a page."""

    def __init__(self, content):
        super().__init__()
        self.headings, self.tags, self.words, self._inside = [], [], "", ""
        self.feed(content)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._inside = tag

    def handle_data(self, text):
        self.words += text
        if self._inside == "h2" and text.strip():
            self.headings.append(text)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def page_of(runs, command="ghat-report a.html"):
    parts = sections(runs, command)
    return parts, Page(render("A title & more", parts, "Made by us."))


def test_all_sections_and_pictures():
    runs = [plain_run(), grouped_run(), grouped_run("c4", 4, 30.5), grouped_run("ght-ps", 2, 29.0, "GHT-PS")]
    parts, page = page_of(runs)
    assert page.headings == HEADINGS and "A title & more" in page.words
    images = page.all("img")
    assert len(images) == len(pictures(parts)) == 9
    for image in images:
        assert len(image["alt"]) > 30 and int(image["width"]) > 300 and int(image["height"]) > 100
        assert image["src"].startswith("data:image/svg+xml;base64,")
    assert len(page.all("figcaption")) == len(images) and not page.all("script")
    for attributes in (attributes for _, attributes in page.tags):
        for name in ("src", "href"):
            assert attributes.get(name, "#").startswith(("#", "data:"))
    assert len({picture.name for picture in pictures(parts)}) == 9
    anchors = {attributes["href"][1:] for attributes in page.all("a")}
    assert anchors == {attributes["id"] for attributes in page.all("section")}


def test_the_summary_has_the_figures_of_every_run():
    parts, page = page_of([plain_run(), grouped_run(kind="GHT-PS")])
    (table,) = parts[0].tables
    rows = {row[0]: row[1:] for row in table.rows}
    assert table.titles == ["", "plain", "ght"] and rows["model"] == ["plain", "GHT-PS"]
    assert rows["attentions x heads"] == ["2 x 4", "2 x 2"] and rows["parameters"] == ["900", "–"]
    assert rows["FLOPs"][0] == "2.5M at length 30" and rows["validation loss, bits per token"] == ["3.000", "3.500"]
    assert rows["BLEU"] == ["30.00", "31.00 ± 0.50, p 0.040"] and rows["speed"] == ["–", "7.0 sentences/s"]
    assert parts[0].notes == ["BLEU: tok:13a.", "speed: CPU."]
    assert "fairseq-train bin --arch transformer" in page.words and "ghat-report a.html" in page.words


def test_what_is_missing_has_a_sentence_and_no_frame():
    runs = [Run("empty", None, remarks=["There is no <checkpoint> that can be read."])]
    parts, page = page_of(runs)
    assert page.headings == HEADINGS and not page.all("img") and not page.all("figure")
    assert "There is no <checkpoint> that can be read." in page.words
    for part in parts[1:-1]:
        assert part.sentences, part.heading
    assert not any(part.tables for part in parts[1:])


def test_signatures_that_differ_are_told_by_run():
    runs = [plain_run(), grouped_run()]
    runs[0].score["BLEU"].signature = "tok:zh"
    parts, _ = page_of(runs)
    assert parts[0].notes[:2] == ["BLEU of plain: tok:zh.", "BLEU of ght: tok:13a."]


def test_a_large_model_takes_little_of_five_megabytes():
    run = grouped_run(kind="GHT-PS")
    (analysis,) = run.measured.analyses
    names = [f"encoder.layers.{i}.self_attn" for i in range(6)]
    names += [f"decoder.layers.{i}.{kind}_attn" for i in range(6) for kind in ("self", "encoder")]
    analysis.layers = dict.fromkeys(names, next(iter(analysis.layers.values())))
    run.log.vote.layers = dict.fromkeys(names, next(iter(run.log.vote.layers.values())))
    assert len(render("A title", sections([run], ""), "")) < 1e6
