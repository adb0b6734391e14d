"""Members of archives: found in any folder, whole or refused by name."""

import gzip
import zipfile

import pytest
from experiments.corpora.archives import member_lines, member_names, members
from experiments.corpora.text_files import CorpusError
from miniature_archives import write_tar

TEXT = {"a/one.txt": b"1\n2\n", "./b/two.txt": b"3\r4\n\n5", "b/three.gz": gzip.compress(b"6\n7\n")}


@pytest.fixture(params=["w:gz", "w", "w:xz", "zip"])
def archive(request, tmp_path):
    if request.param == "zip":
        path = tmp_path / "texts.zip"
        with zipfile.ZipFile(path, "w") as packed:
            packed.writestr("a/", b"")
            for name, content in TEXT.items():
                packed.writestr(name, content)
    else:
        path = tmp_path / "texts.tgz"
        write_tar(path, TEXT, request.param)
    return path


def test_members_in_order_with_their_bytes(archive):
    assert [(name, stream.read()) for name, stream in members(archive)] == list(TEXT.items())
    assert member_names(archive) == list(TEXT)


def test_lines_of_a_member_by_its_name(archive):
    assert list(member_lines(archive, "one.txt")) == ["1", "2"]
    assert list(member_lines(archive, "two.txt")) == ["3\r4", "", "5"]
    assert list(member_lines(archive, "three.gz")) == ["6", "7"]


def test_two_members_side_by_side(archive):
    assert list(zip(member_lines(archive, "two.txt"), member_lines(archive, "one.txt"))) == [("3\r4", "1"), ("", "2")]


def test_member_that_lacks_is_named_with_some_that_do_not(archive):
    with pytest.raises(CorpusError, match=r"texts\..*: has no four.txt; it holds a/one.txt, \./b/two.txt, b/three.gz"):
        list(member_lines(archive, "four.txt"))


def test_only_some_of_many_members_are_named(tmp_path):
    write_tar(tmp_path / "many.tgz", {f"m{number}": b"" for number in range(20)})
    with pytest.raises(CorpusError, match=r"it holds m0, .*m7, \.\.\.$"):
        list(member_lines(tmp_path / "many.tgz", "x"))


@pytest.mark.parametrize("name", ["texts.tgz", "texts.tar", "texts.zip"])
@pytest.mark.parametrize("kind", ["cut short", "another form", "empty"])
def test_corrupt_archive_is_named(tmp_path, name, kind):
    path = tmp_path / name
    big = {"one.txt": "".join(f"{number * 7919 % 10007}\n" for number in range(30_000)).encode()}
    if name.endswith("zip"):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
            packed.writestr("one.txt", big["one.txt"])
    else:
        write_tar(path, big, "w:gz" if name.endswith("tgz") else "w")
    whole = path.read_bytes()
    path.write_bytes({"cut short": whole[: len(whole) // 2], "another form": b"<html>", "empty": b""}[kind])
    with pytest.raises(CorpusError, match=f"{name}: corrupt archive"):
        list(member_lines(path, "one.txt"))


def test_packed_member_that_is_not_whole_is_named(tmp_path):
    write_tar(tmp_path / "t.tar", {"giga.gz": gzip.compress(bytes(range(256)) * 99)[:-30]}, "w")
    with pytest.raises(CorpusError, match=r"t\.tar: giga\.gz: is corrupt"):
        list(member_lines(tmp_path / "t.tar", "giga.gz", errors="replace"))


def test_bytes_that_are_not_utf8(tmp_path):
    write_tar(tmp_path / "t.tgz", {"x": b"ok\n\xff\n"})
    assert list(member_lines(tmp_path / "t.tgz", "x", errors="replace")) == ["ok", "\ufffd"]
    with pytest.raises(CorpusError, match=r"t\.tgz: x: line 2 is not UTF-8"):
        list(member_lines(tmp_path / "t.tgz", "x"))
