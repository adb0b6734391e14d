"""Models from Python: the five lines of the README, and what is refused."""

import re
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
from commands import environment, generated, hypotheses
from experiments.corpora.encoders import MosesBpe
from experiments.corpora.subwords import Line

from fairseq_ghat import load
from fairseq_ghat.checkpoints.files import CheckpointError
from fairseq_ghat.cli.loading import InputError, check_data
from fairseq_ghat.data.prepared import read_prepared
from fairseq_ghat.models.ghat_transformer import GHATTransformerModel

FIVE_LINES = """
from fairseq_ghat import load

translator = load({checkpoint!r}, {data!r})
for translation in translator.translate({sentences!r}):
    print("translated", translation)
"""


def test_slim_checkpoint_translates_as_fairseq_generate_in_a_fresh_process(corpus, slim_file, tmp_path):
    log = generated(corpus, slim_file[0], "--beam 5")
    sources = dict(re.findall(r"^S-(\d+)\t(.*)$", log, re.MULTILINE))
    expected = [hypotheses(log)[number][1] for number in sorted(hypotheses(log))]
    sentences = [sources[str(number)] for number in sorted(map(int, sources))]
    code = FIVE_LINES.format(checkpoint=str(slim_file[0]), data=str(corpus), sentences=sentences)
    out = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True
    ).stdout
    found = [line.partition(" ")[2] for line in out.splitlines() if line.startswith("translated")]
    assert found == expected and len(found) == 24


def test_options_of_generation_are_taken(corpus, slim_file):
    translator = load(slim_file[0], corpus)
    (one,) = translator.translate(["a1 a2 a3 a4 a5"], max_len_a=0, max_len_b=2)
    assert len(one.split()) <= 2


def from_pretrained(checkpoint, data):
    return GHATTransformerModel.from_pretrained(str(checkpoint.parent), checkpoint.name, str(data))


def test_both_ways_to_load_give_the_alignments_of_fairseq_generate(corpus, slim_file, caplog):
    log = generated(corpus, slim_file[0], "--print-alignment hard")
    sources = dict(re.findall(r"^S-(\d+)\t(.*)$", log, re.MULTILINE))
    expected = dict(re.findall(r"^A-(\d+)\t(.*)$", log, re.MULTILINE))
    assert len(expected) == 24 and len(set(expected.values())) > 1
    for way in (load, from_pretrained):
        translator = way(slim_file[0], corpus)
        sentences = [translator.encode(sources[number]) for number in expected]
        best = [of[0]["alignment"] for of in translator.generate(sentences, beam=4, print_alignment="hard")]
        aligned = [" ".join(f"{source}-{target}" for source, target in pairs) for pairs in best]
        assert aligned == list(expected.values())
        caplog.clear()
        with caplog.at_level("INFO"):
            translator.translate(list(sources.values()), beam=4, verbose=True, print_alignment="hard")
        told = [line[2:] for line in caplog.messages if line.startswith("A\t")]
        assert {alignment for alignment in told} >= set(expected.values())


def test_a_sentence_that_is_too_long_is_named_or_has_no_translation(corpus, slim_file, stock_checkpoint):
    for checkpoint in (slim_file[0], stock_checkpoint):
        translator = load(checkpoint, corpus)
        short, other = translator.translate(["a1 a2", "a3 a4"])
        for words in (401, 1200):  # more than max_tokens of the training, and than the positions of the model
            sentences = ["a1 a2", "a1 " * words, "a3 a4"]
            with pytest.raises(ValueError, match=rf"sentences\[1\] \(a1 .*: {words + 1} tokens; allowed are 400"):
                translator.translate(sentences)
            assert translator.translate(sentences, skip_invalid_size_inputs=True) == [short, None, other]
        assert translator.translate("a1 " * 1200, skip_invalid_size_inputs=True) is None
        assert len(load(checkpoint, corpus, max_tokens=999).translate(["a1 " * 401, "a3 a4"])) == 2


def test_separators_of_ensembles(corpus, voted_run, slim_file, tmp_path):
    pair, sentences = f"{voted_run[0]}/checkpoint3.pt:{slim_file[0]}", ["a1 a2 a3", "a4"]
    folder = tmp_path / "a:b"
    folder.mkdir()
    path = folder / "c:d.pt"
    shutil.copy(slim_file[0], path)
    assert load(path, corpus).translate(sentences) == load(slim_file[0], corpus).translate(sentences)
    both, expected = load(pair, corpus), GHATTransformerModel.from_pretrained(".", pair, str(corpus))
    assert len(both.models) == 2 and both.translate(sentences) == expected.translate(sentences)
    with pytest.raises(CheckpointError, match="none.pt: no such checkpoint file"):
        load(f"{slim_file[0]}:{tmp_path}/none.pt", corpus)
    shutil.copy(slim_file[0], folder / "plain.pt")
    (tmp_path / "link.pt").symlink_to(path)
    for one in (folder / "plain.pt", tmp_path / "link.pt"):
        assert load(one, corpus).translate(sentences) == load(slim_file[0], corpus).translate(sentences)
    shutil.copytree(corpus, folder / "bin")
    (tmp_path / "bin").symlink_to(folder / "bin")
    assert load(path, tmp_path / "bin").translate(sentences) == load(slim_file[0], corpus).translate(sentences)
    with pytest.raises(ValueError, match="a:b/bin: fairseq would take its path apart at :"):
        load(path, folder / "bin")
    with pytest.raises(InputError, match="DATA .*a:b/bin: fairseq takes its path apart at :"):
        check_data(str(folder / "bin"))


def test_pieces_only_where_they_are_asked_for(prepared, prepared_checkpoint, tmp_path):
    (text,) = (prepared / "raw" / "test.de").read_text().splitlines()[:1]
    expected = load(prepared_checkpoint, prepared).translate(text)
    assert expected and "\u2581" not in expected
    assert load(prepared_checkpoint, prepared / "bin").translate(text) == expected
    shutil.copytree(prepared / "bin", tmp_path / "bin")
    with pytest.raises(ValueError, match='bin: .*give bpe="sentencepiece", sentencepiece_model="spm.model"'):
        load(prepared_checkpoint, tmp_path / "bin")
    named = {"bpe": "sentencepiece", "sentencepiece_model": str(prepared / "pieces" / "spm.model")}
    assert load(prepared_checkpoint, tmp_path / "bin", **named).translate(text) == expected
    (pieces,) = (prepared / "pieces" / "test.de").read_text().splitlines()[:1]
    for data in (tmp_path / "bin", prepared):
        raw = load(prepared_checkpoint, data, bpe=None).translate(pieces)
        assert raw.replace(" ", "").replace("\u2581", " ").strip() == expected and "\u2581" in raw


def test_subwords_beside_a_checkpoint_are_not_those_of_the_data(prepared, prepared_checkpoint, tmp_path):
    """fairseq takes files of these names in place of those that are given."""
    for name in ("sentencepiece.bpe.model", "code"):
        (tmp_path / name).mkdir()
    shutil.copy(prepared_checkpoint, tmp_path)
    translator = load(tmp_path / prepared_checkpoint.name, prepared)
    (text,) = (prepared / "raw" / "test.de").read_text().splitlines()[:1]
    assert translator.translate(text) == load(prepared_checkpoint, prepared).translate(text)
    assert translator.cfg.bpe.sentencepiece_model == str(prepared / "pieces" / "spm.model")


def test_marks_of_bpe_in_the_dictionary(corpus, slim_file, tmp_path):
    shutil.copytree(corpus, tmp_path / "data")
    for words in (tmp_path / "data").glob("dict.*"):
        words.write_text(words.read_text().replace("a1 ", "a1@@ "))
    with pytest.raises(ValueError, match='give bpe="subword_nmt", bpe_codes="bpe.codes"'):
        load(slim_file[0], tmp_path / "data")


@pytest.mark.parametrize("name,lowercase,splits", [("iwslt14.de-en", True, False), ("wmt14.en-de", False, True)])
def test_moses_tokens_are_those_of_the_prepared_text(corpus, slim_file, prepared, tmp_path, name, lowercase, splits):
    pytest.importorskip("sacremoses", reason="needs sacremoses and subword-nmt")
    pytest.importorskip("subword_nmt", reason="needs sacremoses and subword-nmt")
    shutil.copytree(corpus, tmp_path / "bin")
    kind = {"set": name, "tokenizer": "moses", "lowercase": lowercase, "subwords": None}
    replace(read_prepared(prepared), **kind).write(tmp_path)
    translator = load(slim_file[0], tmp_path)
    text = "Mr. Smith's up-to-date list & Co. (2nd ed.)"
    assert translator.tokenize(text) == MosesBpe(lowercase, splits).prepared(Line(text, "xx", "test"))
    assert ("@-@" in translator.tokenize(text)) is splits


def test_a_checkpoint_that_is_not_there_is_named(corpus, tmp_path):
    with pytest.raises(CheckpointError, match="none.pt: no such checkpoint file"):
        load(tmp_path / "none.pt", corpus)


def test_a_folder_without_dictionaries_is_named(slim_file, tmp_path):
    with pytest.raises(ValueError, match=f"{tmp_path}: has no dict.LANG.txt"):
        load(slim_file[0], tmp_path)


def test_a_damaged_prepared_json_is_named(slim_file, tmp_path):
    (tmp_path / "prepared.json").write_text("{")
    with pytest.raises(ValueError, match=f"{tmp_path}/prepared.json: is damaged"):
        load(slim_file[0], tmp_path)
