"""`ghat-bench`: the work of fairseq-generate, timed side by side; refusals by name."""

import json
import re
import shutil

import fairseq
import pytest
import torch
from commands import MODEL, TRAIN, refusal, run, train_language_model

from fairseq_ghat.checkpoints.files import read_checkpoint, write_checkpoint
from fairseq_ghat.cli import bench

LENGTHS = "--max-len-a 0 --max-len-b 6"
generates = pytest.mark.skipif(
    fairseq.__version__ == "0.12.2", reason="fairseq 0.12.2 does not generate with its own transformer (#4858)"
)


@pytest.fixture(scope="module")
def stock_file(corpus, tmp_path_factory):
    """A checkpoint of fairseq's own transformer."""
    folder = tmp_path_factory.mktemp("stock")
    options = f"--task translation --arch transformer {MODEL} {TRAIN} --max-epoch 2"
    run(f"fairseq-train {corpus} --save-dir {folder} {options}")
    return folder / "checkpoint_last.pt"


def rows(table):
    cells = [[cell.strip() for cell in line.strip("| ").split("|")] for line in table.splitlines() if line[:2] == "| "]
    return [dict(zip(cells[0], row)) for row in cells[2:]]


@generates
def test_does_the_work_of_fairseq_generate_and_compares_with_the_first(corpus, stock_file, voted_run, slim_file):
    slim, voted = slim_file[0], voted_run[0] / "checkpoint4.pt"
    command = f"ghat-bench {corpus} {stock_file} {voted} {slim} --as-grouped --beam 4 --batch-size 8 {LENGTHS} --cpu"
    printed = run(f"{command} --repeats 3 --threads 1")
    table = rows(printed)
    assert "24 sentences of test, beam 4, batches of 8, maximum length 6, float32; median of 3 alternating" in printed
    machine = rf"CPU, 1 threads, Python 3\.\d+\.\d+, torch {re.escape(torch.__version__)}, fairseq 0\.12"
    assert re.search(machine, printed)
    assert [row["model"] for row in table] == ["fairseq's", "ours, same weights", "ours", "ours"]
    assert [row["attentions x heads"] for row in table] == ["6 x 8", "6 x 8", "6 x 2", "6 x 2"]
    assert table[0]["ratio to the first"] == "1.000 (1.000 to 1.000)"
    full, voted_memory, slim_memory = (float(table[row]["peak memory, MiB"]) for row in (1, 2, 3))
    assert slim_memory == voted_memory < full  # the weights of 6 of 8 heads

    figures = json.loads(run(f"{command} --repeats 2 --json"))
    assert (figures["beam"], figures["batch_size"]) == (4, 8)
    by_kind = figures["checkpoints"]
    for found, path in zip(by_kind, (stock_file, stock_file, voted, slim)):
        log = run(
            f"python scripts/with_log.py fairseq-generate {corpus} --user-dir fairseq_ghat --path {path} --beam 4 "
            f"--batch-size 8 --required-batch-size-multiple 1 {LENGTHS} --cpu"
        )
        sentences, tokens = re.search(r"Translated ([\d,]+) sentences \(([\d,]+) tokens\)", log).groups()
        assert (found["sentences"], found["tokens"]) == (int(sentences), int(tokens))
        assert found["checkpoint"] == str(path) and found["steps"] <= 3 * 7
        for name in ("sentences_per_second", "speed_ratio", "decoder_seconds_per_step"):
            assert 0 < found[name]["low"] <= found[name]["median"] <= found[name]["high"]
    assert by_kind[0]["tokens"] == by_kind[1]["tokens"] and by_kind[2]["tokens"] == by_kind[3]["tokens"]


@generates
def test_fewest_tokens_make_all_models_take_as_many_steps(corpus, stock_file, slim_file):
    command = f"ghat-bench {corpus} {stock_file} {slim_file[0]} --batch-size 5 --sentences 9 --repeats 1 --warm-up 0"
    figures = json.loads(run(f"{command} --min-len 5 --max-len-b 5 --json --cpu"))
    for found in figures["checkpoints"]:
        # Two of five batches, of middle lengths; in each 5 tokens and the end.
        assert (found["sentences"], found["steps"], found["tokens"]) == (10, 12, 60)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_half_precision_on_a_gpu(corpus, stock_file, slim_file):
    printed = run(f"ghat-bench {corpus} {stock_file} {slim_file[0]} --as-grouped --fp16 --repeats 2 {LENGTHS}")
    assert torch.cuda.get_device_name() in printed and "float16" in printed and len(rows(printed)) == 3


@pytest.mark.parametrize(
    "options,message",
    [
        ("--beam 0", "--beam 0: allowed is 1 or more"),
        ("--batch-size -1", "--batch-size -1: allowed is 1 or more"),
        ("--repeats 0", "--repeats 0: allowed is 1 or more"),
        ("--warm-up -1", "--warm-up -1: allowed is 0 or more"),
        ("--sentences 0", "--sentences 0: allowed is 1 or more"),
        ("--threads 0", "--threads 0: allowed is 1 or more"),
        ("--max-len-a nan", "--max-len-a nan: allowed is 0 or more"),
        ("--max-len-b 1024", "--max-len-b 1024: allowed is up to 1023, the positions of"),
        ("--min-len 11", "--min-len 11: allowed is up to 10, --max-len-b"),
        ("--fp16", "--fp16: allowed on a GPU only"),
        ("--gen-subset tset", "--gen-subset tset: not in DATA"),
    ],
)
def test_wrong_options_are_refused_by_name(corpus, slim_file, options, message, capsys):
    with pytest.raises(SystemExit) as ended:
        bench.main(f"{corpus} {slim_file[0]} --cpu {options}".split())
    assert ended.value.code == 2 and message in capsys.readouterr().err


def test_other_data_and_broken_files_are_refused(corpus, slim_file, tmp_path, capsys):
    slim = slim_file[0]
    assert f"DATA {tmp_path}/none: no such folder" in refusal(f"ghat-bench {tmp_path}/none {slim} --cpu", capsys)
    without = refusal(f"ghat-bench {tmp_path} {slim} --cpu", capsys)
    assert f"DATA {tmp_path}: Could not infer language pair" in without
    shutil.copytree(corpus, tmp_path / "other")
    for side in ("xx", "yy"):
        with open(tmp_path / f"other/dict.{side}.txt", "a") as dictionary:
            dictionary.write("more 1\nwords 1\n")
    refused = refusal(f"ghat-bench {tmp_path}/other {slim} --cpu", capsys)
    assert f"CHECKPOINT {slim}: does not fit DATA {tmp_path}/other" in refused
    (tmp_path / "broken.pt").write_bytes(slim.read_bytes()[:1000])
    assert f"{tmp_path}/broken.pt" in refusal(f"ghat-bench {corpus} {tmp_path}/broken.pt --cpu", capsys)


@pytest.mark.skipif(fairseq.__version__ != "0.12.2", reason="fairseq generates here")
def test_fairseq_4858_is_named_with_the_checkpoint(corpus, stock_file, capsys):
    refused = refusal(f"ghat-bench {corpus} {stock_file} --cpu", capsys)
    assert f"CHECKPOINT {stock_file}: generation with it fails: Mask Type" in refused


def test_models_of_another_direction_are_refused(corpus, slim_file, tmp_path, capsys):
    other = read_checkpoint(slim_file[0])
    other["cfg"]["task"].update(source_lang="yy", target_lang="xx")
    write_checkpoint(other, tmp_path / "other.pt")
    refused = refusal(f"ghat-bench {corpus} {slim_file[0]} {tmp_path}/other.pt --cpu", capsys)
    assert f"CHECKPOINT {tmp_path}/other.pt: its source_lang is yy; allowed is xx, that of {slim_file[0]}" in refused


def test_split_without_a_fitting_sentence_is_refused(corpus, slim_file, tmp_path, capsys):
    state = read_checkpoint(slim_file[0])
    state["cfg"]["model"].max_source_positions = 1
    write_checkpoint(state, tmp_path / "short.pt")
    refused = refusal(f"ghat-bench {corpus} {tmp_path}/short.pt --cpu", capsys)
    assert "--gen-subset test: no sentence of it fits the positions of the models" in refused


def test_language_models_are_sent_to_ghat_perplexity(corpus, text, tmp_path, capsys):
    train_language_model(text, tmp_path, "--max-epoch 1 --no-epoch-checkpoints")
    refused = refusal(f"ghat-bench {corpus} {tmp_path}/checkpoint_last.pt --cpu", capsys)
    assert "its task is language_modeling_v2s; allowed is translation(_v2s)" in refused
    assert "ghat-perplexity" in refused
