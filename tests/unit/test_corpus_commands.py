"""The corpus commands of the quickstart: pieces that decode to the text, checksums, missing and empty files."""

import gzip
import hashlib

import encode_pieces
import fetch_multi30k
import make_corpus
import pytest
import sentencepiece


def test_pieces_decode_to_the_text(tmp_path, monkeypatch):
    make_corpus.main([str(tmp_path / "raw"), "--train", "300", "--valid", "20", "--test", "20"])
    arguments = [str(tmp_path / "raw"), str(tmp_path / "out"), "--languages", "de", "en", "--vocab", "200"]
    monkeypatch.setattr("sys.argv", ["encode_pieces.py", *arguments])
    encode_pieces.main()
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "out" / "spm.model"))
    assert pieces.get_piece_size() == 200
    for split in ("train", "valid", "test"):
        for language in ("de", "en"):
            raw = (tmp_path / "raw" / f"{split}.{language}").read_text(encoding="utf-8").splitlines()
            encoded = (tmp_path / "out" / f"{split}.{language}").read_text(encoding="utf-8").splitlines()
            assert [pieces.decode(line.split()) for line in encoded] == raw
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize("break_it,message", [("unlink", "no such file"), ("empty", "is empty")])
def test_missing_or_empty_corpus_is_named(tmp_path, monkeypatch, capsys, break_it, message):
    for split in ("train", "valid", "test"):
        for language in ("de", "en"):
            (tmp_path / f"{split}.{language}").write_text("x\n")
    broken = tmp_path / "valid.en"
    broken.unlink() if break_it == "unlink" else broken.write_text("")
    arguments = [str(tmp_path), str(tmp_path / "out"), "--languages", "de", "en", "--vocab", "9"]
    monkeypatch.setattr("sys.argv", ["encode_pieces.py", *arguments])
    with pytest.raises(SystemExit):
        encode_pieces.main()
    assert f"{broken}: {message}" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.fixture
def archives(tmp_path, monkeypatch):
    """A miniature of Multi30k's files with checksums to match."""
    source = tmp_path / "gz"
    source.mkdir()
    sums = {}
    for name in fetch_multi30k.SHA256:
        packed = gzip.compress(f"text of {name}\n".encode())
        (source / name).write_bytes(packed)
        sums[name] = hashlib.sha256(packed).hexdigest()
    monkeypatch.setattr(fetch_multi30k, "SHA256", sums)
    return source


def test_multi30k_from_a_folder(archives, tmp_path):
    assert fetch_multi30k.main([str(tmp_path / "raw"), "--from", str(archives)]) == 0
    assert (tmp_path / "raw" / "valid.de").read_text() == "text of val.de.gz\n"
    assert (tmp_path / "raw" / "test.en").read_text() == "text of test_2016_flickr.en.gz\n"


def test_multi30k_downloads_from_its_address(archives, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch_multi30k, "URL", archives.as_uri() + "/")
    assert fetch_multi30k.main([str(tmp_path / "raw")]) == 0
    assert (tmp_path / "raw" / "train.en").read_text() == "text of train.en.gz\n"


def test_multi30k_with_a_wrong_checksum_is_refused(archives, tmp_path, capsys):
    (archives / "val.de.gz").write_bytes(gzip.compress(b"something else\n"))
    with pytest.raises(SystemExit) as stopped:
        fetch_multi30k.main([str(tmp_path / "raw"), "--from", str(archives)])
    assert stopped.value.code == 2
    assert "val.de.gz: SHA-256 is" in capsys.readouterr().err
    assert not (tmp_path / "raw" / "valid.de").exists()


def test_multi30k_with_a_missing_file_is_refused_before_anything_is_written(archives, tmp_path, capsys):
    (archives / "train.en.gz").unlink()
    with pytest.raises(SystemExit):
        fetch_multi30k.main([str(tmp_path / "raw"), "--from", str(archives)])
    assert "has no train.en.gz" in capsys.readouterr().err
    assert not (tmp_path / "raw").exists()


def test_multi30k_without_a_network_says_what_to_do(archives, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(fetch_multi30k, "URL", (tmp_path / "nowhere").as_uri() + "/")
    with pytest.raises(SystemExit):
        fetch_multi30k.main([str(tmp_path / "raw")])
    assert "without a network, give the folder of the .gz files: --from DIR (DATA_DIR)" in capsys.readouterr().err
