"""sentencepiece: pieces that decode to the text, the same model every time, sizes that the text allows."""

import pickle

import make_corpus
import pytest
import sentencepiece
from experiments.corpora.errors import CorpusError
from experiments.corpora.sentencepieces import SentencePieces
from experiments.corpora.subwords import Line


@pytest.fixture
def sentences():
    return [german for german, _ in make_corpus.split_pairs({"valid": 20, "test": 20, "train": 300}, 1)["train"]]


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
