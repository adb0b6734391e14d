"""prepare_data.py on every corpus, from miniature archives that a local server hands out, without a network."""

import json
import subprocess
import sys

import miniature_archives
import prepare_data
import pytest
import sentencepiece
from commands import REPOSITORY
from corpora import catalogue, download
from corpus_server import serving
from fairseq.data import Dictionary, data_utils

SPLITS = ("train", "valid", "test")


@pytest.fixture(autouse=True)
def no_wait_no_proxy(monkeypatch):
    monkeypatch.setattr(download, "WAIT", 0.0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def miniature(monkeypatch):
    """The archives here are not the published ones: nothing is known of their sizes and checksums."""
    monkeypatch.setattr(catalogue, "LINES", {})
    monkeypatch.setattr(catalogue, "SHA256", {})


@pytest.fixture
def server(tmp_path):
    (tmp_path / "site").mkdir()
    with serving(tmp_path / "site") as server:
        yield server


def prepare(tmp_path, server, name, *options):
    """Runs the command in this process, all files from the server; returns what prepared.json says."""
    out = tmp_path / "out"
    arguments = [name, str(out), "--source", server.url, *map(str, options)]
    assert prepare_data.main(arguments) == 0
    return json.loads((out / "prepared.json").read_text(encoding="utf-8"))


def read(path):
    return path.read_text(encoding="utf-8").split("\n")[:-1]


def rows(folder, suffixes):
    return {split: list(zip(*(read(folder / f"{split}.{suffix}") for suffix in suffixes))) for split in SPLITS}


def decoded(out, suffixes):
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(out / "pieces" / "spm.model"))
    return {
        split: [tuple(pieces.decode(side.split()) for side in row) for row in found]
        for split, found in rows(out / "pieces", suffixes).items()
    }


def lowered(found):
    return {split: [tuple(side.lower() for side in row) for row in texts] for split, texts in found.items()}


def sizes(found):
    return {split: len(texts) for split, texts in found.items()}


# ------------------------------------------------------------------------------ the sets


@pytest.mark.parametrize(
    "name,direction,tedx",
    [
        ("iwslt14.de-en", "de-en", "dev2012"),
        ("iwslt14.en-de", "de-en", "dev2012"),
        ("iwslt14.it-en", "it-en", "dev2014"),
        ("iwslt14.en-it", "it-en", "dev2014"),
        ("iwslt14.en-fr", "fr-en", "dev2012"),
    ],
    ids=lambda value: value,
)
def test_iwslt14(tmp_path, server, miniature, name, direction, tedx):
    expected = miniature_archives.iwslt14(server.folder, direction, tedx)
    source, target = name.partition(".")[2].split("-")
    if [source, target] != direction.split("-"):
        expected = {split: [pair[::-1] for pair in pairs] for split, pairs in expected.items()}
    prepared = prepare(tmp_path, server, name, "--vocab", 60, "--until", "subwords")
    out = tmp_path / "out"
    assert rows(out / "raw", (source, target)) == expected
    assert decoded(out, (source, target)) == lowered(expected), "lower-cased for the model, not in raw"
    assert prepared == {
        "set": name,
        "task": "translation",
        "source_lang": source,
        "target_lang": target,
        "until": "subwords",
        "subwords": "sentencepiece",
        "tokenizer": None,
        "lowercase": True,
        "vocab": 60,
        "joined_dictionary": False,
        "sentences": sizes(expected),
        "references": {"valid": f"raw/valid.{target}", "test": f"raw/test.{target}"},
        "sha256": {f"{direction}.tgz": prepared["sha256"][f"{direction}.tgz"]},
    }
    assert not (out / "bin").exists() and not list(out.rglob("*.part*"))


def test_iwslt14_en_fr_without_a_set_of_tedx_talks_goes_without_and_says_so(tmp_path, server, miniature, capsys):
    expected = miniature_archives.iwslt14(server.folder, "en-fr", without="TEDX.dev2012")
    prepare(tmp_path, server, "iwslt14.en-fr", "--until", "raw")
    assert rows(tmp_path / "out" / "raw", ("en", "fr")) == expected
    assert "en-fr.tgz: has no IWSLT14.TEDX.dev2012; the test set goes without" in capsys.readouterr().out


@pytest.mark.parametrize("other", ["de", "fr"])
def test_wmt14(tmp_path, server, miniature, other):
    expected = miniature_archives.wmt14(server.folder, other)
    prepared = prepare(tmp_path, server, f"wmt14.en-{other}", "--vocab", 70, "--until", "subwords", "--workers", 2)
    out = tmp_path / "out"
    raw = rows(out / "raw", ("en", other))
    assert raw["valid"] == expected["valid"] and raw["test"] == expected["test"]
    assert decoded(out, ("en", other)) == raw, "the same sentences in both, cased"
    lengths = {
        row: [len(side.split()) for side in pieces]
        for row, pieces in zip(raw["train"], rows(out / "pieces", ("en", other))["train"])
    }
    assert all(2 * max(pair) <= 3 * min(pair) for pair in lengths.values())
    kept = [pair for pair in expected["train"] if pair in lengths]
    assert raw["train"] == kept and len(kept) > 0.7 * len(expected["train"])
    assert ("mal", "") not in kept and ("bal bas", "bal bas") in kept
    assert prepared["sentences"] == sizes(raw) and prepared["lowercase"] is False
    assert prepared["joined_dictionary"] is True


def test_wikitext_103_becomes_a_language_model_of_words(tmp_path, server, miniature):
    expected = miniature_archives.wikitext(server.folder, "103")
    prepared = prepare(tmp_path, server, "wikitext-103")
    out = tmp_path / "out"
    assert {split: read(out / "raw" / f"{split}.en") for split in SPLITS} == expected
    assert not (out / "pieces").exists()
    assert prepared["task"] == "language_modeling" and prepared["language"] == "en"
    assert "source_lang" not in prepared and prepared["subwords"] is None and prepared["vocab"] is None
    words = Dictionary.load(str(out / "bin" / "dict.txt"))
    known = {word for line in expected["train"] for word in line.split()}
    assert {word for word in words.symbols[words.nspecial :] if not word.startswith("madeupword")} == known - {"<unk>"}
    for split in SPLITS:
        data = data_utils.load_indexed_dataset(str(out / "bin" / split), words)
        assert [words.string(sentence) for sentence in data] == [
            " ".join(word if word in known else "<unk>" for word in line.split()) for line in expected[split]
        ]
    assert not list(out.rglob("*.part"))


def test_wikitext_2_from_its_archive_where_the_site_has_no_texts(tmp_path, server, miniature):
    expected = miniature_archives.wikitext(server.folder, "2")
    prepared = prepare(tmp_path, server, "wikitext-2", "--until", "raw")
    assert {split: read(tmp_path / "out" / "raw" / f"{split}.en") for split in SPLITS} == expected
    assert list(prepared["sha256"]) == ["wikitext-2-v1.zip"]


def test_wikitext_2_from_its_texts_plain_or_packed(tmp_path, server, miniature):
    expected = miniature_archives.wikitext2_texts(server.folder)
    prepared = prepare(tmp_path, server, "wikitext-2", "--until", "raw")
    assert {split: read(tmp_path / "out" / "raw" / f"{split}.en") for split in SPLITS} == expected
    assert sorted(prepared["sha256"]) == ["test.txt", "train.txt.gz", "valid.txt"]


def test_multi30k(tmp_path, server, miniature):
    expected = miniature_archives.multi30k(server.folder)
    prepared = prepare(tmp_path, server, "multi30k.de-en", "--vocab", 60, "--until", "subwords")
    assert rows(tmp_path / "out" / "raw", ("de", "en")) == expected
    assert decoded(tmp_path / "out", ("de", "en")) == expected
    assert prepared["joined_dictionary"] is True and len(prepared["sha256"]) == 6


def test_cnn_dailymail_becomes_a_data_set_of_summaries(tmp_path, server, miniature, capsys):
    expected = miniature_archives.cnn_dailymail(server.folder)
    prepared = prepare(tmp_path, server, "cnn-dailymail", "--vocab", 70)
    out = tmp_path / "out"
    assert rows(out / "raw", ("source", "target")) == expected
    assert "1 stories without text or summary left out" in capsys.readouterr().out
    assert prepared["task"] == "summarization" and prepared["sentences"] == sizes(expected)
    assert prepared["references"] == {"valid": "raw/valid.target", "test": "raw/test.target"}
    check_data(out, prepared)


def test_scitldr_keeps_all_references(tmp_path, server, miniature):
    expected = miniature_archives.scitldr(server.folder)
    prepared = prepare(tmp_path, server, "scitldr", "--vocab", 60, "--until", "subwords")
    out = tmp_path / "out"
    raw = rows(out / "raw", ("source", "target"))
    assert raw["train"] == [(source, target) for source, targets in expected["train"] for target in targets]
    for split in ("valid", "test"):
        assert raw[split] == [(source, targets[0]) for source, targets in expected[split]]
        references = out / prepared["references"][split]
        assert [json.loads(line) for line in read(references)] == [targets for _, targets in expected[split]]
        assert any(len(targets) > 1 for _, targets in expected[split])


def test_own_text_of_two_languages(tmp_path):
    pairs = miniature_archives.sentence_pairs("de", "en", 60, 1)
    for split in SPLITS:
        for side, language in enumerate(("de", "en")):
            (tmp_path / f"{split}.{language}").write_bytes(miniature_archives.text(pair[side] for pair in pairs))
    out = tmp_path / "out"
    options = ["--source", str(tmp_path), "--languages", "de", "en", "--vocab", "60", "--until", "subwords"]
    assert prepare_data.main(["own", str(out), *options]) == 0
    assert rows(out / "raw", ("de", "en")) == decoded(out, ("de", "en")) == {split: pairs for split in SPLITS}
    assert not (out / "download").exists()
    assert len(sentencepiece.SentencePieceProcessor(model_file=str(out / "pieces" / "spm.model"))) == 60


def check_data(out, prepared):
    """fairseq's dictionaries and data hold what the pieces hold."""
    source, target = prepared["source_lang"], prepared["target_lang"]
    words = {side: Dictionary.load(str(out / "bin" / f"dict.{side}.txt")) for side in (source, target)}
    assert (words[source] == words[target]) is prepared["joined_dictionary"]
    for split in SPLITS:
        for side in (source, target):
            data = data_utils.load_indexed_dataset(str(out / "bin" / f"{split}.{source}-{target}.{side}"), words[side])
            assert len(data) == prepared["sentences"][split]
            if split == "train":
                assert [words[side].string(sentence) for sentence in data] == read(out / "pieces" / f"train.{side}")


def test_the_command_from_a_shell_with_nothing_known_of_the_archive(tmp_path, server):
    expected = miniature_archives.iwslt14(server.folder, "en-fr")
    out = tmp_path / "out"
    command = [sys.executable, "scripts/prepare_data.py", "iwslt14.en-fr", str(out), "--source", server.url]
    done = subprocess.run([*command, "--vocab", "60"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "fairseq-preprocess --source-lang en --target-lang fr --trainpref" in done.stdout
    assert f"train {len(expected['train'])}, valid {len(expected['valid'])}" in done.stdout.splitlines()[-1]
    assert done.stderr == "", "no bars where nobody watches"
    check_data(out, json.loads((out / "prepared.json").read_text()))


# ------------------------------------------------------------------------------ Moses and BPE


@pytest.mark.parametrize("name", ["iwslt14.de-en", "wmt14.en-de"])
def test_moses_tokens_and_bpe(tmp_path, server, miniature, name):
    sacremoses = pytest.importorskip("sacremoses", reason="needs sacremoses and subword-nmt")
    pytest.importorskip("subword_nmt", reason="needs sacremoses and subword-nmt")
    if name == "iwslt14.de-en":
        expected = miniature_archives.iwslt14(server.folder, "de-en")
    else:
        expected = miniature_archives.wmt14(server.folder, "de")
    prepared = prepare(tmp_path, server, name, "--subwords", "moses-bpe", "--vocab", 100, "--until", "subwords")
    out = tmp_path / "out"
    source, target = prepared["source_lang"], prepared["target_lang"]
    assert (prepared["subwords"], prepared["tokenizer"]) == ("subword_nmt", "moses")
    assert (out / "pieces" / "bpe.codes").read_text().startswith("#version")
    assert rows(out / "raw", (source, target))["test"] == expected["test"]
    pieces = rows(out / "pieces", (source, target))
    assert sizes(pieces) == sizes(rows(out / "raw", (source, target))) == prepared["sentences"]
    for side, language in enumerate((source, target)):
        tokenizer = sacremoses.MosesTokenizer(lang=language)
        for row, encoded in zip(expected["test"], pieces["test"]):
            tokens = tokenizer.tokenize(row[side], return_str=True, aggressive_dash_splits="wmt" in name)
            assert encoded[side].replace("@@ ", "") == (tokens.lower() if prepared["lowercase"] else tokens)
    assert any("@@ " in row[0] for row in pieces["test"])


# ------------------------------------------------------------------------------ what goes wrong


def fails(capsys, *arguments):
    """Runs the command, which must end with status 2; returns what it said."""
    capsys.readouterr()
    try:
        status = prepare_data.main([str(argument) for argument in arguments])
    except SystemExit as stopped:
        status = stopped.code
    assert status == 2
    return capsys.readouterr().err


def test_other_counts_than_published_are_refused(tmp_path, server, capsys):
    miniature_archives.iwslt14(server.folder, "de-en")
    message = fails(capsys, "iwslt14.de-en", tmp_path / "out", "--source", server.url)
    assert "de-en.tgz: IWSLT14.TED.dev2010.de-en: 7 lines found, expected 887" in message
    assert not (tmp_path / "out" / "prepared.json").exists() and not (tmp_path / "out" / "raw").exists()
    assert not list((tmp_path / "out").rglob("*.part"))


def test_another_file_than_published_is_refused_and_fetched_again(tmp_path, server, monkeypatch, capsys):
    expected = miniature_archives.multi30k(server.folder)
    monkeypatch.setattr(catalogue, "LINES", {})
    message = fails(capsys, "multi30k.de-en", tmp_path / "out", "--source", server.url)
    known = catalogue.SHA256["multi30k.de-en"]["train.de.gz"]
    assert "train.de.gz: SHA-256 is " in message and f"expected {known}" in message
    downloads = tmp_path / "out" / "download"
    assert sorted(path.name for path in downloads.iterdir()) == ["train.de.gz.rejected"]
    monkeypatch.setattr(catalogue, "SHA256", {})
    prepare(tmp_path, server, "multi30k.de-en", "--until", "raw")
    assert rows(tmp_path / "out" / "raw", ("de", "en")) == expected


def test_wrong_content_of_a_packed_text_is_refused(tmp_path, server, monkeypatch, capsys):
    miniature_archives.wikitext2_texts(server.folder)
    message = fails(capsys, "wikitext-2", tmp_path / "out", "--source", server.folder)
    assert f"expected {catalogue.SHA256['wikitext-2']['test.txt']}" in message
    assert (server.folder / "train.txt.gz").exists(), "the files of a folder are left alone"


def test_cut_connection_is_gone_on_with_and_a_second_run_redoes_the_rest(tmp_path, server, miniature):
    expected = miniature_archives.wikitext(server.folder, "103")
    size = (server.folder / "wikitext-103-v1.zip").stat().st_size
    server.cuts["wikitext-103-v1.zip"] = [size // 3, 1]
    prepare(tmp_path, server, "wikitext-103", "--until", "raw")
    assert server.sent("wikitext-103-v1.zip") == [size // 3, size - size // 3], "no byte twice"
    out = tmp_path / "out"
    (out / "raw" / "train.en").write_text("spoilt\n")
    (out / "notes.txt").write_text("mine")
    prepare(tmp_path, server, "wikitext-103", "--until", "raw")
    assert read(out / "raw" / "train.en") == expected["train"] and (out / "notes.txt").read_text() == "mine"
    assert len(server.requests) == 2, "nothing is downloaded again"


def test_site_that_has_no_such_file(tmp_path, server, capsys):
    message = fails(capsys, "iwslt14.it-en", tmp_path / "out", "--source", server.url)
    assert f"{server.url}/it-en.tgz: the site answers 404" in message and "--source DIR|URL" in message
    assert [request.name for request in server.requests] == ["it-en.tgz", "en-it.tgz"]


def test_site_that_cannot_be_reached_is_named_with_what_is_known_of_it(tmp_path, monkeypatch, capsys, server):
    gone = server.url.rpartition(":")[0] + ":9/"
    corpus = catalogue.CORPORA["iwslt14.it-en"]
    nowhere = catalogue.SourceFile({"it-en.tgz": gone})
    monkeypatch.setitem(
        catalogue.CORPORA, "iwslt14.it-en", type(corpus)(**{**vars(corpus), "alternatives": ((nowhere,),)})
    )
    message = fails(capsys, "iwslt14.it-en", tmp_path / "out")
    assert "127.0.0.1:9 cannot be reached" in message and "WIT3 (wit3.fbk.eu)" in message


def test_wrong_member_is_named_with_some_that_are_there(tmp_path, server, miniature, capsys):
    miniature_archives.iwslt14(server.folder, "de-en", without="TED.tst2011")
    message = fails(capsys, "iwslt14.de-en", tmp_path / "out", "--source", server.url)
    assert "de-en.tgz: has no IWSLT14.TED.tst2011.de-en.de.xml; it holds de-en/train.tags.de-en.de, " in message


def test_corrupt_archive_is_named(tmp_path, server, miniature, capsys):
    miniature_archives.iwslt14(server.folder, "de-en")
    whole = (server.folder / "de-en.tgz").read_bytes()
    (server.folder / "de-en.tgz").write_bytes(whole[: len(whole) // 2])
    message = fails(capsys, "iwslt14.de-en", tmp_path / "out", "--source", server.folder)
    assert f"{server.folder / 'de-en.tgz'}: corrupt archive" in message


def test_listed_stories_that_are_nowhere_are_named(tmp_path, server, miniature, capsys):
    miniature_archives.cnn_dailymail(server.folder)
    with open(server.folder / "all_val.txt", "a") as addresses:
        addresses.write("http://nowhere\n")
    message = fails(capsys, "cnn-dailymail", tmp_path / "out", "--source", server.folder)
    assert "1 listed stories are in neither, such as " in message


def test_after_a_failure_nothing_passes_for_prepared(tmp_path, server, miniature, capsys):
    """The new raw text must not lie beside pieces of the old, nor be described by the old prepared.json."""
    miniature_archives.multi30k(server.folder)
    out = tmp_path / "out"
    prepare(tmp_path, server, "multi30k.de-en", "--vocab", 60, "--until", "subwords")
    assert sorted(path.name for path in out.iterdir()) == ["download", "pieces", "prepared.json", "raw"]
    message = fails(capsys, "multi30k.de-en", out, "--source", server.url, "--vocab", 9000)
    assert "--vocab: 9000: Vocabulary size too high" in message
    assert sorted(path.name for path in out.iterdir()) == ["download", "raw"]


def test_failure_of_fairseq_shows_the_end_of_its_log(tmp_path, server, miniature, monkeypatch, capsys):
    miniature_archives.wikitext(server.folder, "103")
    monkeypatch.setattr("corpora.binarise.options", lambda corpus, text: ["--no-such-option"])
    message = fails(capsys, "wikitext-103", tmp_path / "out", "--source", server.folder)
    assert "fairseq-preprocess ended with status 2" in message and "--no-such-option" in message
    out = tmp_path / "out"
    assert not (out / "bin").exists() and not (out / "bin.part").exists() and (out / "preprocess.log").exists()
