"""Lines end at \\n only; packed files; the files of the splits."""

import gzip
import hashlib
import lzma

import pytest
from experiments.corpora.text_files import (
    CorpusError,
    SplitWriter,
    read_lines,
    segments,
    tidy,
    unpacked_sha256,
    write_splits,
)

AWKWARD = "one\rtwo\u2028three\x85\n\n four\x0c\nlast"


@pytest.mark.parametrize(
    "name,pack", [("t", bytes), ("t.gz", gzip.compress), ("t.xz", lzma.compress)], ids=["", "gz", "xz"]
)
def test_lines_end_at_newlines_and_nowhere_else(tmp_path, name, pack):
    (tmp_path / name).write_bytes(pack(AWKWARD.encode()))
    assert list(read_lines(tmp_path / name)) == ["one\rtwo\u2028three\x85", "", " four\x0c", "last"]
    assert unpacked_sha256(tmp_path / name) == hashlib.sha256(AWKWARD.encode()).hexdigest()


@pytest.mark.parametrize("name", ["t.gz", "t.xz"])
@pytest.mark.parametrize("kind", ["cut short", "not packed"])
def test_file_that_is_not_what_its_name_says(tmp_path, name, kind):
    packed = (gzip.compress if name == "t.gz" else lzma.compress)(b"line\n" * 999)
    (tmp_path / name).write_bytes(packed[:-9] if kind == "cut short" else b"plain\n")
    with pytest.raises(CorpusError, match=f"{name}: is corrupt"):
        list(read_lines(tmp_path / name))


def test_tidy_leaves_one_space_between_words():
    assert tidy("  a\tb\r\u00a0 c\x0b\u2028d ") == "a b c d"


def test_splits_are_written_as_they_come(tmp_path):
    rows = [("train", ("a", "b")), ("test", ("c\r", "d")), ("train", ("é", ""))]
    assert write_splits(tmp_path, ("de", "en"), rows) == {"train": 2, "test": 1}
    content = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert content == {"train.de": "a\né\n".encode(), "train.en": b"b\n\n", "test.de": b"c\r\n", "test.en": b"d\n"}


def test_files_are_complete_when_the_writer_ends(tmp_path):
    with SplitWriter(tmp_path, ("en",)) as writer:
        writer.write("valid", ("x",))
    assert (tmp_path / "valid.en").read_text() == "x\n" and writer.counts == {"valid": 1}


def test_text_of_the_segments_and_of_nothing_else():
    lines = [
        '<refset setid="newstest2014" srclang="any" trglang="de">',
        '<doc docid="1"><title>Not a sentence</title>',
        '<seg id="1"> R&amp;D isn’t &quot;cheap&quot; &lt;here&gt;  </seg>',
        '  <seg id="22">Zwei  Wörter</seg>\r',
        '<seg id="3"></seg>',
        '<seg id="4"> no end',
        "</doc>",
    ]
    assert list(segments(lines)) == ['R&D isn\'t "cheap" <here>', "Zwei Wörter", "", "no end"]
