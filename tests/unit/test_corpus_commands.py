"""The corpus commands of the quickstart: pieces that decode to the text, checksums, missing and empty files."""

import gzip
import hashlib
import re

import encode_pieces
import fetch_multi30k
import fetch_wikitext2
import make_corpus
import make_english_text
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


def test_more_pieces_than_the_text_allows_are_refused_by_name(tmp_path, monkeypatch, capsys):
    for split in ("train", "valid", "test"):
        (tmp_path / f"{split}.en").write_text("a b c\n")
    arguments = [str(tmp_path), str(tmp_path / "out"), "--languages", "en", "--vocab", "900"]
    monkeypatch.setattr("sys.argv", ["encode_pieces.py", *arguments])
    with pytest.raises(SystemExit):
        encode_pieces.main()
    assert re.search(r"--vocab 900: Vocabulary size too high.* <= \d+", capsys.readouterr().err)


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


# ---------------------------------------------------------------------- language modelling


@pytest.fixture
def texts(tmp_path, monkeypatch):
    """A miniature of WikiText-2's files with checksums to match: one packed, two not."""
    source = tmp_path / "wikitext"
    source.mkdir()
    content = {split: f" \n = {split} = \n <unk> text\n".encode() for split in fetch_wikitext2.SHA256}
    for split, text in content.items():
        (source / f"{split}.txt").write_bytes(text)
    (source / "train.txt").unlink()
    (source / "train.txt.gz").write_bytes(gzip.compress(content["train"]))
    sums = {split: hashlib.sha256(text).hexdigest() for split, text in content.items()}
    monkeypatch.setattr(fetch_wikitext2, "SHA256", sums)
    return source


def test_wikitext2_from_a_folder(texts, tmp_path):
    assert fetch_wikitext2.main([str(tmp_path / "raw"), "--from", str(texts)]) == 0
    for split in ("train", "valid", "test"):
        assert (tmp_path / "raw" / f"{split}.en").read_text() == f" \n = {split} = \n <unk> text\n"


def test_wikitext2_downloads_from_its_address(texts, tmp_path, monkeypatch):
    (texts / "train.txt").write_bytes(gzip.decompress((texts / "train.txt.gz").read_bytes()))
    monkeypatch.setattr(fetch_wikitext2, "URL", texts.as_uri() + "/")
    assert fetch_wikitext2.main([str(tmp_path / "raw")]) == 0
    assert (tmp_path / "raw" / "train.en").read_text() == " \n = train = \n <unk> text\n"


@pytest.mark.parametrize(
    "content,message",
    [(b"other", "valid.txt.gz: "), (gzip.compress(b"other"), "SHA-256 is"), (gzip.compress(b"x" * 999)[:-12], "valid")],
    ids=["not gzip", "other text", "cut short"],  # gzip holds the time: bytes as ids would differ between the workers
)
def test_wikitext2_that_is_not_what_it_should_be_is_refused(texts, tmp_path, capsys, content, message):
    (texts / "valid.txt").unlink()
    (texts / "valid.txt.gz").write_bytes(content)
    with pytest.raises(SystemExit) as stopped:
        fetch_wikitext2.main([str(tmp_path / "raw"), "--from", str(texts)])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "raw" / "valid.en").exists()


def test_wikitext2_with_a_missing_file_is_refused_before_anything_is_written(texts, tmp_path, capsys):
    (texts / "test.txt").unlink()
    with pytest.raises(SystemExit):
        fetch_wikitext2.main([str(tmp_path / "raw"), "--from", str(texts)])
    assert "has no test.txt or test.txt.gz" in capsys.readouterr().err
    assert not (tmp_path / "raw").exists()


def test_wikitext2_without_a_network_says_what_to_do(texts, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(fetch_wikitext2, "URL", (tmp_path / "nowhere").as_uri() + "/")
    with pytest.raises(SystemExit):
        fetch_wikitext2.main([str(tmp_path / "raw")])
    assert "without a network, give the folder of the files: --from DIR (DATA_DIR)" in capsys.readouterr().err


def test_english_text_of_this_python_is_split_without_overlap(tmp_path):
    assert make_english_text.main([str(tmp_path)]) == 0
    lines = {
        split: (tmp_path / f"{split}.en").read_text(encoding="utf-8").splitlines() for split in make_english_text.SPLITS
    }
    words = {split: len(" ".join(text).split()) for split, text in lines.items()}
    assert words["train"] > 25_000 and min(words["valid"], words["test"]) > 3_000
    everything = sum(lines.values(), [])
    assert len(set(everything)) == len(everything)
    runs = {split: eight_words(text) for split, text in lines.items()}
    for held_out in ("valid", "test"):
        shared = runs[held_out] & runs["train"]
        assert len(shared) < 0.01 * len(runs[held_out]), (
            "topics quote each other: next to nothing may be seen in training"
        )


def eight_words(lines):
    """All runs of eight words in a row."""
    words = " ".join(lines).split()
    return set(zip(*(words[start:] for start in range(8))))


def test_prose_is_kept_and_code_is_not():
    topic = (
        "The title\n*********\n\nThe statement is used for conditional\nexecution, as in other languages:\n\n"
        '   if_stmt ::= "if" assignment_expression ":" suite ("elif" suite)* .\n\n'
        "* It selects exactly one of the suites by evaluating the\n  expressions one by one.\n\nToo short."
    )
    assert make_english_text.paragraphs(topic) == [
        "The statement is used for conditional execution, as in other languages:",
        "It selects exactly one of the suites by evaluating the expressions one by one.",
    ]


def test_paragraph_of_several_topics_stays_in_the_first():
    said = "This paragraph of at least eight words is said by every topic."
    own = "And this one of at least eight words by topic {} alone."
    words = ["zero", "one", "two", "three", "four", "five", "six"]
    corpus = make_english_text.split_topics({f"t{n}": f"{said}\n\n{own.format(w)}" for n, w in enumerate(words)})
    assert corpus["valid"] == [own.format("three")] and corpus["test"] == [own.format("six")]
    assert corpus["train"] == [said, *(own.format(w) for w in ("zero", "one", "two", "four", "five"))]
