"""Stories of CNN and the Daily Mail: names, articles, summaries and their sentences."""

import json

import pytest
from experiments.corpora import catalogue
from experiments.corpora.catalogue import CORPORA
from experiments.corpora.cnn_dailymail import article_and_summary, build, story_name
from experiments.corpora.text_files import CorpusError
from miniature_archives import cnn_dailymail


def test_a_story_is_named_after_the_sha1_of_its_address():
    assert story_name("abc") == "a9993e364706816aba3e25717850c26c9cd0d89d.story"  # SHA-1 of abc in FIPS 180


def test_article_and_summary_of_a_story():
    lines = [
        "(CNN) -- First sentence.\r",
        "",
        "A caption",
        ' He said: "Yes"',
        "‘No’",
        "",
        "@highlight",
        "",
        "One thing",
        "@highlight",
        "",
        "Another  one!",
        "and more",
    ]
    assert article_and_summary(lines) == (
        '(CNN) -- First sentence. A caption. He said: "Yes" ‘No’',
        ["One thing.", "Another one!", "and more."],
    )


@pytest.mark.parametrize("end", [".", "!", "?", "...", "'", "`", '"', "’", "”", ")"])
def test_end_marks_get_no_full_stop(end):
    assert article_and_summary([f"x{end}", "@highlight", "y;"]) == (f"x{end}", ["y;."])


def test_story_without_text():
    assert article_and_summary(["", "@highlight", "x."]) == ("", ["x."])


def test_lists_are_counted(tmp_path, monkeypatch):
    cnn_dailymail(tmp_path)
    (tmp_path / "raw").mkdir()
    files = {path.name: path for path in tmp_path.iterdir()}
    counts = {"train": 64, "valid": 8, "test": 8}
    monkeypatch.setattr(catalogue, "LINES", {"cnn-dailymail": counts})
    assert build(CORPORA["cnn-dailymail"], files, tmp_path / "raw", None) == {"train": 63, "valid": 8, "test": 8}
    for split in counts:
        rows = {end: tmp_path / f"raw/{split}.{end}" for end in ("target", "references.jsonl")}
        summaries, references = (path.read_text().splitlines() for path in rows.values())
        sentences = [json.loads(line)[0].split("\n") for line in references]
        assert [" ".join(of_one) for of_one in sentences] == summaries
        assert all(len(of_one) == 2 and of_one[1].startswith("Well, ") for of_one in sentences)
    counts["test"] = 9
    with pytest.raises(CorpusError, match="all_test.txt: 8 lines found, expected 9"):
        build(CORPORA["cnn-dailymail"], files, tmp_path / "raw", None)
