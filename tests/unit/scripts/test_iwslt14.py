"""Training lines and splits of IWSLT 2014."""

from experiments.corpora.catalogue import CORPORA
from experiments.corpora.iwslt14 import evaluation_sets, sentences, split_off
from miniature_archives import write_tar


def test_addresses_numbers_and_keywords_go_and_titles_stay():
    lines = [
        "<url>http://www.ted.com/x</url>",
        "<keywords>talks, art</keywords>",
        "<talkid>1</talkid>",
        "<title>Al Gore: 15 ways</title>",
        "<description>TED Talk: a  description</description>",
        " Thank you so much. ",
        "1 < 2 & <b>bold</b>",
        "",
    ]
    assert list(sentences(lines)) == [
        "Al Gore: 15 ways",
        "TED Talk: a description",
        "Thank you so much.",
        "1 < 2 & <b>bold</b>",
        "",
    ]


def test_every_23rd_pair_validates():
    splits = list(split_off((str(number), "") for number in range(1, 71)))
    assert [pair[0] for split, pair in splits if split == "valid"] == ["23", "46", "69"]
    assert len([split for split, _ in splits if split == "train"]) == 67


def test_sets_that_make_the_test_set_in_their_order(tmp_path):
    write_tar(tmp_path / "it-en.tgz", {"it-en/IWSLT14.TEDX.dev2014.it-en.it.xml": b""})
    write_tar(tmp_path / "none.tgz", {"x": b""})
    names = ["TED.dev2010", "TEDX.{}", "TED.tst2010", "TED.tst2011", "TED.tst2012"]
    german = [f"IWSLT14.{name.format('dev2012')}" for name in names]
    assert list(evaluation_sets(CORPORA["iwslt14.de-en"], tmp_path / "none.tgz")) == german
    italian = [f"IWSLT14.{name.format('dev2014')}" for name in names]
    assert list(evaluation_sets(CORPORA["iwslt14.en-it"], tmp_path / "none.tgz")) == italian
    french = [name for name in german if "TEDX" not in name]
    assert list(evaluation_sets(CORPORA["iwslt14.en-fr"], tmp_path / "none.tgz")) == french
    write_tar(tmp_path / "fr.tgz", {"./en-fr/IWSLT14.TEDX.dev2012.en-fr.en.xml": b""})
    assert list(evaluation_sets(CORPORA["iwslt14.en-fr"], tmp_path / "fr.tgz")) == german
