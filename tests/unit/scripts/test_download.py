"""Downloads: what is asked for again after a cut, when a file is begun anew, and what stays of a failure."""

import errno
import hashlib
import random
import socket

import pytest
from corpus_server import serving
from experiments.corpora import download as downloads
from experiments.corpora.download import download
from experiments.corpora.text_files import CorpusError, NotThere

CONTENT = random.Random(1).randbytes(200_000)
SUM = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "WAIT", 0.0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "text.tgz").write_bytes(CONTENT)
    with serving(tmp_path / "site") as server:
        yield server


@pytest.fixture
def target(tmp_path):
    (tmp_path / "here").mkdir()
    return tmp_path / "here" / "text.tgz"


def names(target):
    return sorted(path.name for path in target.parent.iterdir())


def broken_off(server, target, message="breaks off", sha256=None):
    """A download that is cut for good at 70,000 bytes; the server is as before then."""
    server.cuts["text.tgz"] = [70_000, 1000]
    with pytest.raises(CorpusError, match=message):
        download(f"{server.url}/text.tgz", target, sha256)
    server.cuts.clear()


def test_whole_file_with_its_sum(server, target):
    download(f"{server.url}/text.tgz", target, SUM)
    assert target.read_bytes() == CONTENT and names(target) == ["text.tgz"]


def test_after_a_cut_only_what_is_missing_is_asked_for(server, target):
    server.cuts["text.tgz"] = [70_000, 1]
    download(f"{server.url}/text.tgz", target, SUM)
    assert target.read_bytes() == CONTENT
    assert server.sent("text.tgz") == [70_000, 130_000]
    assert server.requests[1].range == "bytes=70000-"


def test_cut_for_good_leaves_the_part_and_the_next_run_goes_on(server, target):
    broken_off(server, target, "cannot be reached or breaks off.*70,000 of 200,000.*70,000 bytes are kept", SUM)
    assert names(target) == ["text.tgz.part", "text.tgz.part.json"]
    assert len(server.requests) == 1 + downloads.ATTEMPTS, "an attempt that brought something does not count"
    server.requests.clear()
    download(f"{server.url}/text.tgz", target, SUM)
    assert server.sent("text.tgz") == [130_000] and target.read_bytes() == CONTENT


def test_file_that_changed_in_between_is_begun_anew(server, target):
    broken_off(server, target)
    server.requests.clear()
    changed = CONTENT[::-1]
    (server.folder / "text.tgz").write_bytes(changed)
    download(f"{server.url}/text.tgz", target)
    assert target.read_bytes() == changed
    assert server.sent("text.tgz") == [200_000] and server.requests[0].range == "bytes=70000-"


@pytest.mark.parametrize("lacks", ["ranges", "tags"])
def test_server_that_cannot_go_on_is_asked_for_all(server, target, lacks):
    setattr(server, lacks, False)
    server.cuts["text.tgz"] = [70_000, 1]
    download(f"{server.url}/text.tgz", target, SUM)
    assert target.read_bytes() == CONTENT and server.sent("text.tgz") == [70_000, 200_000]


def test_part_of_another_address_is_not_gone_on_with(server, target, tmp_path):
    broken_off(server, target)
    server.requests.clear()
    download(f"{server.url}/mirror/text.tgz", target)
    assert server.sent("text.tgz") == [200_000] and target.read_bytes() == CONTENT


def test_part_that_is_longer_than_the_file_is_thrown_away(server, target):
    broken_off(server, target)
    with open(target.parent / "text.tgz.part", "ab") as part:
        part.write(bytes(200_000))
    download(f"{server.url}/text.tgz", target, SUM)
    assert target.read_bytes() == CONTENT


def test_without_a_length_the_file_is_what_came(server, target):
    server.lengths = False
    download(f"{server.url}/text.tgz", target, SUM)
    assert target.read_bytes() == CONTENT


def test_wrong_sum_names_file_found_and_expected_and_is_kept_aside(server, target):
    with pytest.raises(CorpusError, match=f"{target}: SHA-256 is {SUM}, expected 0000; .*text.tgz.rejected"):
        download(f"{server.url}/text.tgz", target, "0000")
    assert names(target) == ["text.tgz.rejected"]


@pytest.mark.parametrize("status", [403, 404, 410])
def test_file_that_is_gone_is_not_tried_again(server, target, status):
    server.statuses["text.tgz"] = status
    with pytest.raises(NotThere, match=f"/text.tgz: the site answers {status} .*--source DIR|URL"):
        download(f"{server.url}/text.tgz", target)
    assert len(server.requests) == 1 and names(target) == []


def test_site_in_trouble_is_tried_again(server, target):
    server.statuses["text.tgz"] = 503
    with pytest.raises(CorpusError, match="cannot be reached or breaks off: Service Unavailable"):
        download(f"{server.url}/text.tgz", target)
    assert len(server.requests) == downloads.ATTEMPTS


def test_site_that_is_not_there_is_named(target, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(CorpusError, match=f"127.0.0.1:{port} cannot be reached.*give a folder or address"):
        download(f"http://127.0.0.1:{port}/text.tgz", target, wait=0.0)


def test_kill_before_the_first_byte_of_a_changed_file_mixes_nothing(server, target, monkeypatch):
    broken_off(server, target)
    changed = CONTENT[::-1]
    (server.folder / "text.tgz").write_bytes(changed)

    def killed(path, content, write=downloads.write_json):
        write(path, content)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(downloads, "write_json", killed)
        download(f"{server.url}/text.tgz", target)
    download(f"{server.url}/text.tgz", target)
    assert target.read_bytes() == changed


def test_full_disk_is_no_fault_of_the_site(server, target, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(downloads, "write_json", full)
    with pytest.raises(OSError, match="No space left on device"):
        download(f"{server.url}/text.tgz", target)
    assert len(server.requests) == 1
