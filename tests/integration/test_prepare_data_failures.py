"""What goes wrong with prepare_data.py: named with the file or flag, and nothing half done passes for prepared."""

import errno
import os

import miniature_archives
import prepare_data
from experiments.corpora import catalogue, preparation
from prepared_text import prepare, read, rows


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
    monkeypatch.setattr("experiments.corpora.binarise.options", lambda corpus, text: ["--no-such-option"])
    message = fails(capsys, "wikitext-103", tmp_path / "out", "--source", server.folder)
    assert "fairseq-preprocess ended with status 2" in message and "--no-such-option" in message
    out = tmp_path / "out"
    assert not (out / "bin").exists() and not (out / "bin.part").exists() and (out / "preprocess.log").exists()


def test_a_full_disk_is_told_with_the_path(tmp_path, server, miniature, monkeypatch, capsys):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    miniature_archives.multi30k(server.folder)
    monkeypatch.setitem(preparation.BUILDERS, "multi30k", full)
    message = fails(capsys, "multi30k.de-en", tmp_path / "out", "--source", server.folder)
    assert (
        message == f"error: {tmp_path}/out: No space left on device; make room or allow access there, or go elsewhere\n"
    )
    assert not list((tmp_path / "out").rglob("*.part")) and not (tmp_path / "out" / "prepared.json").exists()
    assert "argument OUT: '' is not allowed" in fails(capsys, "demo-lm", "")
