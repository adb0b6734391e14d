"""ghat-translate: plain text in, translations and BLEU out, as fairseq's own commands give them."""

import json
import re
import shutil
from itertools import islice

import pytest
from commands import refusal, run
from experiments.corpora.demo import sentences
from sacrebleu.metrics import BLEU

from fairseq_ghat.cli import translate
from fairseq_ghat.data.prepared import NAME
from fairseq_ghat.evaluation.generation_log import read_generation_log


@pytest.fixture
def test_set(tmp_path):
    """A test set that the data were prepared without, in plain text: its two files."""
    files = tmp_path / "further.de", tmp_path / "further.en"
    for file, texts in zip(files, zip(*islice(sentences.pairs(seed=2), 11))):
        file.write_text("".join(f"{text}\n" for text in texts))
    return files


def test_plain_text_becomes_bleu_as_by_fairseq_interactive(prepared, prepared_checkpoint, test_set, tmp_path, capsys):
    source, reference = test_set
    out, log = tmp_path / "out.en", tmp_path / "interactive.log"
    line = f"{prepared_checkpoint} {prepared} {source} {out} --reference {reference} --beam 4 --lenpen 0.6 --cpu"
    assert translate.main(line.split()) == 0
    printed = capsys.readouterr().out
    interactive = (
        f"fairseq-interactive {prepared}/bin --user-dir fairseq_ghat --path {prepared_checkpoint} --input {source} "
        "--beam 4 --lenpen 0.6 --buffer-size 11 --batch-size 11 --cpu "
        f"--bpe sentencepiece --sentencepiece-model {prepared}/pieces/spm.model"
    )
    log.write_text(run(interactive))
    texts = out.read_text().splitlines()
    assert len(set(texts)) > 1 and texts == read_generation_log(log).hypotheses
    expected = BLEU().corpus_score(texts, [reference.read_text().splitlines()]).score
    assert float(re.search(r"\| ([\d.]+) ±", printed).group(1)) == round(expected, 2)


def test_case_follows_the_data_in_the_score_too(prepared, prepared_checkpoint, test_set, tmp_path, capsys):
    source, reference = test_set
    for name in ("bin", "pieces"):
        (tmp_path / name).symlink_to(prepared / name)
    record = json.loads((prepared / NAME).read_text())
    (tmp_path / NAME).write_text(json.dumps({**record, "lowercase": True}))
    lowered = tmp_path / "lowered.de"
    lowered.write_text(source.read_text().lower())
    outs = []
    for text in (source, lowered):
        outs.append(tmp_path / f"{text.name}.en")
        line = f"{prepared_checkpoint} {tmp_path} {text} {outs[-1]} --reference {reference} --cpu"
        assert translate.main(line.split()) == 0
        assert "case:lc" in capsys.readouterr().out
    assert outs[0].read_text() == outs[1].read_text()


def test_subwords_of_ones_own(prepared, prepared_checkpoint, test_set, tmp_path, capsys):
    shutil.copytree(prepared / "bin", tmp_path / "bin")
    expected, out = tmp_path / "expected.en", tmp_path / "out.en"
    for data, file, overrides in (
        (prepared, expected, {}),
        (tmp_path / "bin", out, {"bpe": "sentencepiece", "sentencepiece_model": f"{prepared}/pieces/spm.model"}),
    ):
        words = [str(word) for word in (prepared_checkpoint, data, test_set[0], file)]
        assert translate.main([*words, "--model-overrides", str(overrides), "--cpu"]) == 0
        assert capsys.readouterr().out == f"{file}: 11 translations\n"
    assert out.read_text() == expected.read_text()


def test_what_cannot_be_translated_is_named(prepared, prepared_checkpoint, test_set, tmp_path, capsys, monkeypatch):
    source, reference = test_set
    shutil.copytree(prepared / "bin", tmp_path / "bin")
    (tmp_path / "long.de").write_text("Ein Hund .\n" + "Hund " * 500 + "\n")
    shutil.copytree(prepared, tmp_path / "japanese")
    shutil.copy(prepared / "bin/dict.en.txt", tmp_path / "japanese/bin/dict.ja.txt")
    monkeypatch.setattr("sacrebleu.tokenizers.tokenizer_ja_mecab.MeCab", None)
    (tmp_path / "dictionaries").mkdir()
    for file in (prepared / "bin").glob("dict.*.txt"):
        shutil.copy(file, tmp_path / "dictionaries")
    (tmp_path / "empty.de").write_text("")
    (tmp_path / "short.en").write_text("one\n")
    out = tmp_path / "out.en"
    for line, told in {
        f"{prepared} {tmp_path}/long.de": r"SOURCE .*long.de: line 2 has \d+ tokens; allowed are 400",
        f"{prepared} {tmp_path}/empty.de": "SOURCE .*empty.de: is empty",
        f"{prepared} {tmp_path}/none.de": "none.de: cannot be read",
        f"{tmp_path}/none {source}": "DATA .*none: no such folder",
        f"{tmp_path}/bin {source}": "bin: its dictionary is of subwords.*give bpe=",
        f"{prepared} {source} --reference {tmp_path}/short.en": "short.en: has 1 lines, SOURCE .*further.de has 11",
        f"{prepared} {source} --reference {tmp_path}/none.en": "--reference .*none.en: no such file",
        f"{prepared} {source} --model-overrides 5": "--model-overrides 5: give a dictionary",
        f"{prepared} {source} --model-overrides {{'tokenizer':'mosess'}}": "--model-overrides .*: .*mosess",
        f"{prepared} {source} --model-overrides {{'data':'/none'}}": "--model-overrides .*'data'",
        f"{tmp_path}/bin {source} --model-overrides {{'bpe':'sentencepiece'}}": "--model-overrides .*_model",
        f"{tmp_path}/bin {source} --model-overrides {{'bpe':'sentencepiece','sentencepiece_model':'none'}}": (
            "--model-overrides .*none"
        ),
        f"{prepared} {source} --beam 0": "--beam 0: allowed is 1 or more",
        f"{tmp_path}/dictionaries {source}": "dictionaries: Could not infer.*: give source_lang and target_lang",
        f"{tmp_path}/japanese {source} --reference {reference} --model-overrides "
        "{'source_lang':'de','target_lang':'ja'}": "--tokenize ja-mecab .of target language ja.: cannot be used",
    }.items():
        data, text, *further = line.split()
        words = f"ghat-translate {prepared_checkpoint} {data} {text} {out} {' '.join(further)} --cpu"
        assert re.search(told, refusal(words, capsys)), line
        assert not out.exists()


def test_no_file_that_is_read_is_overwritten(prepared, prepared_checkpoint, test_set, tmp_path, capsys):
    data = shutil.copytree(prepared, tmp_path / "data")
    models = [shutil.copy(prepared_checkpoint, tmp_path / name) for name in ("a.pt", "b.pt")]
    for out, role in {
        models[1]: "CHECKPOINT",
        data / NAME: "DATA",
        data / "bin" / "dict.en.txt": "DATA",
        data / "pieces" / "spm.model": "DATA",
        test_set[0]: "SOURCE",
    }.items():
        before = out.read_bytes()
        for place in (data, data / "bin"):
            told = refusal(f"ghat-translate {models[0]}:{models[1]} {place} {test_set[0]} {out} --cpu", capsys)
            assert f"OUT {out}: is {role} itself" in told and out.read_bytes() == before
