"""Subwords: pieces that decode to the text, the same model every time, sizes it allows; Moses tokens and merges."""

import importlib.util
import pickle
from itertools import islice

import pytest
import sentencepiece
from experiments.corpora import encoders
from experiments.corpora.demo.sentences import pairs
from experiments.corpora.encoders import MosesBpe, SentencePieces, printable
from experiments.corpora.subwords import Line
from experiments.corpora.text_files import CorpusError

needs_packages = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("sacremoses", "subword_nmt")),
    reason="needs sacremoses and subword-nmt",
)


@pytest.fixture
def sentences():
    return [pair.de for pair in islice(pairs(1), 300)]


def test_pieces_decode_to_the_text(tmp_path, sentences):
    encoder = SentencePieces(lowercase=False)
    encoder.learn(sentences, tmp_path, 200)
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "spm.model"))
    assert pieces.get_piece_size() == 200
    encoded = [encoder.encode(Line(f" {text} ", "de", "test")) for text in sentences]
    assert [pieces.decode(line.split(" ")) for line in encoded] == sentences


def test_model_is_that_of_files_learnt_from_by_sentencepiece_itself(tmp_path, sentences):
    """And so of the same text always the same, whatever the files are called."""
    (tmp_path / "text").write_text("".join(f"{text}\n" for text in sentences), encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(tmp_path / "text"), model_prefix=str(tmp_path / "x"), vocab_size=200, character_coverage=1.0,
        num_threads=1, minloglevel=2,
    )  # fmt: skip
    models = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        SentencePieces(lowercase=False).learn(iter(sentences), tmp_path / name, 200)
        models.append((tmp_path / name / "spm.model").read_bytes())
    assert models[0] == models[1]
    ours, theirs = (
        sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / name)) for name in ("a/spm.model", "x.model")
    )
    table = [[(model.id_to_piece(i), model.get_score(i)) for i in range(200)] for model in (ours, theirs)]
    assert table[0] == table[1]


def test_lower_case_if_wished():
    line = Line("  Straße und ÄRGER ", "de", "train")
    assert SentencePieces(lowercase=True).prepared(line) == "straße und ärger"
    assert SentencePieces(lowercase=False).prepared(line) == "Straße und ÄRGER"


def test_long_lines_are_learnt_from_too(tmp_path):
    encoder = SentencePieces(lowercase=False)
    encoder.learn(["ab " * 3000 + "z", "a b"], tmp_path, 8)
    assert "z" in encoder.encode(Line("z", "en", "test"))
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "spm.model"))
    assert pieces.piece_to_id("z") != pieces.unk_id(), "sentencepiece by itself passes over lines of 4193 bytes"


def test_sizes_the_text_does_not_allow_are_refused(tmp_path):
    with pytest.raises(CorpusError, match=r"--vocab: 900: Vocabulary size too high.* <= \d+"):
        SentencePieces(lowercase=False).learn(["a b c"], tmp_path, 900)
    assert not list(tmp_path.iterdir())


def test_can_be_sent_to_another_process(tmp_path, sentences):
    encoder = SentencePieces(lowercase=True)
    encoder.learn(sentences, tmp_path, 200)
    line = Line(sentences[0], "de", "train")
    assert pickle.loads(pickle.dumps(encoder)).encode(line) == encoder.encode(line)


def test_missing_packages_are_named_with_the_command_that_installs_them(monkeypatch):
    monkeypatch.setattr(encoders.importlib.util, "find_spec", lambda name: None)
    message = "sacremoses and subword_nmt cannot be imported: pip install sacremoses subword-nmt"
    with pytest.raises(CorpusError, match=message):
        MosesBpe(lowercase=True, extra=False)


def test_characters_that_do_not_print_become_spaces():
    assert printable("a\u200bb\x07c\u00add é") == "a b c d é"
    assert printable("plain text") == "plain text"


@needs_packages
def test_tokens_as_for_iwslt_and_as_for_wmt():
    text = "It's „well-known“, isn’t it?\x07"
    iwslt, wmt = MosesBpe(lowercase=True, extra=False), MosesBpe(lowercase=False, extra=True)
    assert iwslt.prepared(Line("It's well-known (1.5)", "en", "train")) == "it &apos;s well-known ( 1.5 )"
    assert wmt.prepared(Line(text, "en", "train")) == "It &apos;s &quot; well @-@ known , &quot; isn &apos;t it ?"
    for split in ("valid", "test"):
        assert "„" in wmt.prepared(Line(text, "en", split)), "published sets are tokenised only"


@needs_packages
def test_abbreviations_are_those_of_the_language():
    encoder = MosesBpe(lowercase=False, extra=False)
    assert encoder.prepared(Line("Herr Prof. Nr. ja.", "de", "train")) == "Herr Prof. Nr. ja ."
    assert encoder.prepared(Line("Herr Prof. Nr. ja.", "fr", "train")) == "Herr Prof . Nr. ja ."


@needs_packages
def test_merges_against_a_count_by_hand(tmp_path, capsys):
    """Of low (5), lower (2) and slow (1): lo 8 times, then low in low and slow, which end in w, 6 times."""
    encoder = MosesBpe(lowercase=False, extra=False)
    encoder.learn(["low low low low low", "lower lower slow"], tmp_path, 2)
    merges = (tmp_path / "bpe.codes").read_text().splitlines()[1:]
    assert merges == ["l o", "lo w</w>"]
    assert encoder.encode(Line("low slow lower", "en", "test")) == "low s@@ low lo@@ w@@ e@@ r"
    assert capsys.readouterr().err == ""
    again = pickle.loads(pickle.dumps(encoder))
    assert again.encode(Line("low", "en", "test")) == "low"
