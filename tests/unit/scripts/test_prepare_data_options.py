"""The command line of prepare_data.py: what cannot be done is refused, by name, before anything is written."""

import prepare_data
import pytest
from commands import refusal_of
from experiments.corpora import catalogue
from experiments.corpora.preparation import BUILDERS


@pytest.fixture
def texts(tmp_path):
    (tmp_path / "text").mkdir()
    for split in ("train", "valid", "test"):
        for language in ("de", "en"):
            (tmp_path / "text" / f"{split}.{language}").write_text("a b c\n")
    return tmp_path / "text"


def refused(capsys, *arguments):
    return refusal_of(prepare_data.parsed, arguments, capsys)


@pytest.mark.parametrize(
    "arguments,message",
    [
        ("iwslt15.de-en out", "argument SET: invalid choice: 'iwslt15.de-en' (choose from iwslt14.de-en, "),
        (
            "sigmorphon2020.eng out",
            "sigmorphon2020.LANG (LANG: ady arm bul dut fre geo gre hin hun ice jpn kor lit rum",
        ),
        ("sigmorphon2020 out", "argument SET: invalid choice: 'sigmorphon2020' (choose from"),
        ("sigmorphon2020.dut out --vocab 9", "argument --vocab: 9: not with sigmorphon2020.dut, which has no subwords"),
        ("sigmorphon2020.dut out --source text", "text: has no dut_train.tsv, dut_dev.tsv, dut_test.tsv"),
        ("scitldr out --vocab 0", "argument --vocab: 0 is not allowed: give a whole number of at least 1"),
        ("scitldr out --vocab x", "argument --vocab: x is not allowed"),
        ("scitldr out --workers -1", "argument --workers: -1 is not allowed"),
        ("scitldr out --until pieces", "argument --until: invalid choice: 'pieces'"),
        ("scitldr out --subwords bpe", "argument --subwords: invalid choice: 'bpe'"),
        ("scitldr out --languages de en", "argument --languages: de en: only with own, not with scitldr"),
        ("wikitext-2 out --vocab 9", "argument --vocab: 9: not with wikitext-2, which has no subwords"),
        ("wikitext-2 out --subwords sentencepiece", "argument --subwords: sentencepiece: not with wikitext-2"),
        ("own out --languages en --vocab 9", "argument --source: is needed with own"),
        ("own out --source text --vocab 9", "argument --languages: is needed with own"),
        ("own out --source text --languages en", "argument --vocab: is needed with own"),
        ("own out --source text --subwords none", "argument --languages: is needed with own"),
        (
            "own out --source text --languages en --vocab 9 --subwords none",
            "argument --vocab: 9: not with --subwords none",
        ),
        ("scitldr out --subwords none", "argument --subwords: none: only with own, not with scitldr"),
        ("own out --source text --vocab 9 --languages a b c", "argument --languages: a b c: give one, or two"),
        ("own out --source text --vocab 9 --languages en en", "argument --languages: en en: give one, or two that"),
        ("own out --source text --vocab 9 --languages ../x", "argument --languages: '../x' is not allowed"),
        ("own out --source http://x/ --vocab 9 --languages en", "argument --source: http://x/: give a folder"),
        ("own out --source text --vocab 9 --languages de fr", "text: has no train.fr, valid.fr, test.fr"),
        ("scitldr out --source ftp://x/", "argument --source: ftp://x/: give a folder or an address that begins with"),
        ("scitldr out --source http:///x", "argument --source: http:///x: give a folder or an address"),
        ("demo-lm out --source text", "argument --source: text: not with demo-lm, which is made here"),
        ("scitldr out --source text/none", "argument --source: text/none: no such folder"),
        ("scitldr out --source text", "text: has no train.jsonl or train.jsonl.xz or train.jsonl.gz, dev.jsonl"),
        ("scitldr text/train.de", "argument OUT: text/train.de: "),
        ("scitldr text/train.de/out", "text/train.de is not a folder"),
    ],
    ids=lambda value: value.replace("/", "|"),
)
def test_refused_by_name(texts, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)  # the names of the test's own folder could hold those in the arguments
    assert message in refused(capsys, *arguments.split())
    assert not (tmp_path / "out").exists()


def test_empty_file_is_named(texts, tmp_path, capsys):
    (texts / "valid.en").write_text("")
    options = ("--languages", "de", "en", "--vocab", "9")
    assert f"{texts / 'valid.en'}: is empty" in refused(capsys, "own", tmp_path / "out", "--source", texts, *options)


@pytest.mark.parametrize("made", ["raw", "pieces", "bin", "raw/deeper"])
def test_source_that_would_be_overwritten_is_refused(texts, tmp_path, capsys, made):
    source = tmp_path / "out" / made
    source.parent.mkdir(parents=True)
    texts.rename(source)
    options = ("--languages", "de", "en", "--vocab", "9")
    message = f"argument --source: {source}: lies in {tmp_path / 'out' / made.split('/')[0]}, which is made anew"
    assert message in refused(capsys, "own", tmp_path / "out", "--source", source, *options)
    assert (source / "train.de").exists()


def test_source_beside_what_is_made_will_do(texts):
    options = ["--languages", "de", "--vocab", "9"]
    plan = prepare_data.parsed(["own", str(texts.parent), "--source", str(texts), *options])
    assert plan.files == {f"{split}.de": texts / f"{split}.de" for split in ("train", "valid", "test")}


def test_missing_packages_are_named_before_any_work(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("experiments.corpora.encoders.importlib.util.find_spec", lambda name: None)
    message = refused(capsys, "scitldr", tmp_path / "out", "--subwords", "moses-bpe")
    assert "pip install sacremoses subword-nmt" in message and not (tmp_path / "out").exists()


def test_every_corpus_has_its_builder():
    assert {corpus.family for corpus in catalogue.CORPORA.values()} | {"own"} == set(BUILDERS)


def test_words_are_counted_as_they_are_or_in_moses_tokens(tmp_path):
    plan = prepare_data.parsed(["iwslt14.de-en", str(tmp_path / "out")])
    assert plan.words("It's (well) done.", "en") == 3
    pytest.importorskip("sacremoses", reason="needs sacremoses and subword-nmt")
    plan = prepare_data.parsed(["iwslt14.de-en", str(tmp_path / "out"), "--subwords", "moses-bpe"])
    assert plan.words("It's (well) done.", "en") == 7
