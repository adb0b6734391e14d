"""`ghat-bench --latency-table`, and votes under a budget of the time that it measured."""

import json

import pytest
from commands import refusal, run, train, train_language_model

from fairseq_ghat.checkpoints.files import read_checkpoint

BENCH = "--batch-size 5 --sentences 9 --max-len-b 4 --repeats 1 --warm-up 0 --threads 1 --cpu"


@pytest.fixture(scope="module")
def measured(corpus, stock_checkpoint, tmp_path_factory):
    """A table that was measured: (path, what ghat-bench printed)."""
    path = tmp_path_factory.mktemp("latency") / "table.json"
    return path, run(f"ghat-bench {corpus} {stock_checkpoint} {BENCH} --latency-table {path}")


@pytest.fixture(scope="module")
def table_file(measured, tmp_path_factory):
    """The same of a machine on which nothing but the neurons of the decoder takes time, 8 of 10 seconds."""
    table = json.loads(measured[0].read_text())
    table["seconds"] = 10.0
    for kind, figures in table["kinds"].items():
        lost = [1 - units / figures["units"][0] for units in figures["units"]]
        figures["saved"] = [4 * share * (kind == "decoder feed-forward") for share in lost]
    path = tmp_path_factory.mktemp("made_up") / "table.json"
    path.write_text(json.dumps(table))
    return path


def neurons(path):
    weights = read_checkpoint(path)["model"]
    return {name[:7]: tensor.size(1) for name, tensor in weights.items() if name.endswith("fc2.weight")}


def test_table_holds_the_model_and_the_conditions(corpus, stock_checkpoint, measured):
    path, printed = measured
    table = json.loads(path.read_text())
    assert "10 sentences of test, beam 5, batches of 5, maximum length 4, minimum 4, float32" in printed
    assert (table["batch_size"], table["beam"], table["min_len"], table["max_len_b"]) == (5, 5, 4, 4)
    assert "CPU, 1 threads" in table["machine"] and table["seconds"] > 0
    shapes = {kind: tuple(figures["shape"].items()) for kind, figures in table["kinds"].items()}
    heads = (("layers", 2), ("heads", 8), ("features", 32), ("outputs", 32))
    assert shapes == {
        **dict.fromkeys(("encoder self-attention", "decoder self-attention", "cross attention"), heads),
        **dict.fromkeys(
            ("encoder feed-forward", "decoder feed-forward"),
            (("layers", 2), ("neurons", 64), ("features", 64), ("outputs", 32)),
        ),
    }
    for kind, figures in table["kinds"].items():
        assert figures["units"] == ([64, 48, 32, 16, 4] if "feed" in kind else [8, 6, 4, 2, 1])
        assert len(figures["saved"]) == 5 and figures["saved"][0] == 0
    # Six rows of four: two lines above, titles, a rule.
    assert printed.count("\n") == 2 + 2 + 6 * 4


def test_time_is_taken_where_it_is_saved(corpus, stock_checkpoint, table_file, tmp_path):
    """3.2 of ten seconds are to go, of eight that 64 neurons take: 25.6 of them, so 26, of which 3.25 seconds."""
    options = f"--budget latency=0.68 --latency-table {table_file}"
    printed = run(f"ghat-vote {stock_checkpoint} {corpus} {tmp_path}/cut.pt {options} --cpu")
    assert "vote: 0.6750 of the latency of the model stay" in printed and "batches of 5" in printed
    assert neurons(tmp_path / "cut.pt") == {"encoder": 64, "decoder": 38}
    log = train(corpus, tmp_path / "run", f"--max-epoch 2 --vote-epoch 2 {options}")
    assert "vote: 0.6750 of the latency of the model stay" in log
    assert neurons(tmp_path / "run" / "checkpoint_last.pt") == {"encoder": 64, "decoder": 38}


def test_bad_input_is_refused_before_any_work(corpus, text, stock_checkpoint, slim_file, table_file, tmp_path, capsys):
    vote = f"ghat-vote {stock_checkpoint} {corpus} {tmp_path}/out.pt --cpu"
    assert "--latency-table is missing" in refusal(f"{vote} --budget latency=0.7", capsys)
    other = tmp_path / "other.json"
    other.write_text(table_file.read_text().replace('"heads": 8', '"heads": 16'))
    refused = refusal(f"{vote} --budget latency=0.7 --latency-table {other}", capsys)
    assert f"--latency-table {other}: measured with 16 heads in encoder self-attention, this model has 8" in refused
    assert "allowed is latency=0.250 or more" in refusal(
        f"{vote} --budget latency=0.2 --latency-table {table_file}", capsys
    )
    over = refusal(
        f"ghat-vote {stock_checkpoint} {corpus} {table_file} --budget latency=0.7 --latency-table {table_file}", capsys
    )
    assert f"OUT {table_file}: is --latency-table itself" in over
    log = train(corpus, tmp_path, f"--max-epoch 2 --latency-table {table_file}", check=False)
    assert f"--latency-table {table_file}: allowed only with" in log

    bench, out = f"ghat-bench {corpus} {stock_checkpoint} {BENCH}", tmp_path / "new.json"
    for options, told in (
        (f"--latency-table {tmp_path}/none/t.json", f"--latency-table {tmp_path}/none/t.json: the folder"),
        (f"--latency-table {stock_checkpoint}", "is CHECKPOINT itself"),
        (f"--latency-table {out} --json", "--json: not with --latency-table"),
        (f"--latency-table {out} --min-len 2", "leave out --max-len-a and --min-len"),
    ):
        assert told in refusal(f"{bench} {options}", capsys)
    two = refusal(f"ghat-bench {corpus} {stock_checkpoint} {slim_file[0]} --latency-table {out}", capsys)
    assert f"CHECKPOINT {slim_file[0]}: allowed with --latency-table is one" in two
    voted = refusal(f"ghat-bench {corpus} {slim_file[0]} --latency-table {out} --cpu", capsys)
    assert "it was voted on already; allowed is a whole model" in voted
    assert list(tmp_path.iterdir()) == [other]


def test_language_models_are_refused(text, table_file, tmp_path, capsys):
    train_language_model(text, tmp_path, "--max-epoch 1 --no-epoch-checkpoints")
    command = f"ghat-vote {tmp_path}/checkpoint_last.pt {text} {tmp_path}/out.pt --cpu"
    refused = refusal(f"{command} --budget latency=0.7 --latency-table {table_file}", capsys)
    assert "--budget latency=0.7: not for language models, since ghat-bench measures translation" in refused
