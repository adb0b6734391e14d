"""ghat-export on real checkpoints: translations of the exported model are those of fairseq-generate."""

import errno
import os
import re

import pytest
import torch
from commands import generated, hypotheses, run
from fairseq.data import Dictionary, LanguagePairDataset

ctranslate2 = pytest.importorskip("ctranslate2", reason="ctranslate2 is not installed: pip install ctranslate2")

from fairseq_ghat.cli import export
from fairseq_ghat.export import ctranslate2_model


@pytest.fixture
def checkpoints(voted_run, slim_file, stock_checkpoint):
    return {"slim": slim_file[0], "voted": voted_run[0] / "checkpoint4.pt", "stock": stock_checkpoint}


@pytest.mark.parametrize("kind", ["slim", "voted", "stock"])
def test_greedy_translations_of_the_test_set_are_those_of_fairseq_generate(corpus, checkpoints, tmp_path, kind):
    out = tmp_path / "model"
    printed = run(f"ghat-export ctranslate2 {checkpoints[kind]} {corpus} {out}")
    heads = "6 x 8" if kind == "stock" else "6 x 2"
    assert f"{out}: float32, attentions x heads {heads}, " in printed
    assert float(re.search(r"log-probability of a token: (\S+)", printed).group(1)) < 1e-3
    log = generated(corpus, checkpoints[kind], "--beam 1 --max-len-b 30")
    sources = {int(number): text for number, text in re.findall(r"^S-(\d+)\t(.*)$", log, re.MULTILINE)}
    translator = ctranslate2.Translator(str(out), device="cpu")
    numbers = sorted(sources)
    found = translator.translate_batch([sources[n].split() for n in numbers], beam_size=1, max_decoding_length=30)
    assert [" ".join(one.hypotheses[0]) for one in found] == [hypotheses(log)[n][1] for n in numbers]
    assert len(numbers) == 24


@pytest.mark.parametrize("quantization", ["int8", "int16", "float16", "bfloat16"])
def test_quantized_models_are_smaller_and_translate(corpus, slim_file, tmp_path, capsys, quantization):
    sizes = {}
    for kind in ("float32", quantization):
        export.main(["ctranslate2", str(slim_file[0]), str(corpus), str(tmp_path / kind), "--quantization", kind])
        sizes[kind] = (tmp_path / kind / "model.bin").stat().st_size
    assert sizes[quantization] < 0.85 * sizes["float32"]  # the table of positions stays as it is
    assert re.search(rf"in {quantization}: \S+, not checked", capsys.readouterr().out)
    translator = ctranslate2.Translator(str(tmp_path / quantization), device="cpu")
    (found,) = translator.translate_batch([["a1", "a2", "a3"]], beam_size=1, max_decoding_length=10)
    assert found.hypotheses[0] and all(word.startswith("b") for word in found.hypotheses[0])


def refused(capsys, *arguments):
    with pytest.raises(SystemExit):
        export.main(["ctranslate2", *map(str, arguments)])
    return capsys.readouterr().err


def test_an_export_that_disagrees_is_not_written(corpus, slim_file, tmp_path, capsys, monkeypatch):
    right = ctranslate2_model.as_transformer_spec

    def wrong(*arguments):
        spec = right(*arguments)
        spec.decoder.layer[1].attention.queries_scale = 3.0
        return spec

    monkeypatch.setattr(ctranslate2_model, "as_transformer_spec", wrong)
    message = refused(capsys, slim_file[0], corpus, tmp_path / "model")
    assert re.search(r"scores a token \S+ apart from fairseq, allowed is 0.001; nothing was written", message)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_and_nothing_stays(corpus, slim_file, tmp_path, capsys, monkeypatch):
    def full(source, target):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(ctranslate2_model.shutil, "move", full)
    message = refused(capsys, slim_file[0], corpus, tmp_path / "model")
    assert f"OUT {tmp_path}/model: cannot be written (No space left on device); free some space" in message
    assert list(tmp_path.iterdir()) == []


def test_bad_input_is_refused_before_any_work(corpus, slim_file, tmp_path, capsys):
    slim, out = slim_file[0], tmp_path / "model"
    assert f"OUT {tmp_path}: exists already" in refused(capsys, slim, corpus, tmp_path)
    assert "does not exist" in refused(capsys, slim, corpus, tmp_path / "none" / "model")
    assert "none.pt: no such checkpoint file" in refused(capsys, tmp_path / "none.pt", corpus, out)
    assert "no such folder" in refused(capsys, slim, tmp_path / "none", out)
    assert "--pairs 0: allowed is 1 or more" in refused(capsys, slim, corpus, out, "--pairs", 0)
    assert "--subset nothing: not in DATA" in refused(capsys, slim, corpus, out, "--subset", "nothing")
    assert list(tmp_path.iterdir()) == []


def test_pairs_that_are_too_long_are_passed_over():
    """fairseq has no positions for them, or CTranslate2 would cut them."""
    words, lengths = Dictionary(), [(3, 5), (2, 2), (4, 1), (1025, 3), (1, 3)]
    sides = [[torch.full((length[side],), words.eos()) for length in lengths] for side in (0, 1)]
    sizes = [[length[side] for length in lengths] for side in (0, 1)]
    dataset = LanguagePairDataset(sides[0], sizes[0], words, sides[1], sizes[1], words)

    def taken(*arguments):
        return [(len(source), len(target)) for source, target in ctranslate2_model.first_pairs(dataset, *arguments)]

    assert taken(2, 3) == [(2, 2), (1, 3)]
    assert taken(9, 2048) == [(3, 5), (2, 2), (4, 1), (1, 3)] and taken(9, 1) == []
