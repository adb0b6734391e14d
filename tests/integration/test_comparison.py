"""Ways of choosing heads and neurons compared through the commands, on the toy corpus and the toy text."""

import json
import re

import compare_pruning
import pytest
from commands import MODEL, REPOSITORY, TRAIN, train, train_language_model
from experiments.commands import Command

from fairseq_ghat.checkpoints.files import read_checkpoint
from fairseq_ghat.cli import perplexity, score
from fairseq_ghat.profiling.parameters import describe_counts, heads_in_checkpoint, non_embedding_parameters
from fairseq_ghat.pruning.importance.registry import IMPORTANCES
from fairseq_ghat.pruning.slimming import kept_heads_in_checkpoint

for needed in ("matplotlib", "jinja2"):
    pytest.importorskip(needed, reason=f"{needed} is not installed: pip install matplotlib jinja2")

# Hardly trained models say so little that there are no 4-grams, and no BLEU: they are made to say more.
SAY = "--min-len 8 --beam 2 --batch-size 24"
SEEDLESS = TRAIN.replace("--seed 1", "")
OPTIONS = (
    "--task translation_v2s --arch ghat_transformer --criterion group_constrained_label_smoothed_cross_entropy "
    f"{MODEL} {SEEDLESS}"
)
LANGUAGE_MODEL = (
    "--task language_modeling_v2s --arch ghat_transformer_lm_tiny --criterion group_constrained_cross_entropy "
    f"--tokens-per-sample 32 {SEEDLESS} --max-tokens 256"
)
ROWS = {
    "disagreement": "disagreement",
    "disagreement-after-diversity": "disagreement, after its regularisation",
}


def compare(*words, options):
    return compare_pruning.main([*map(str, words), "--cpu", "--", *options.split()])


@pytest.fixture(scope="module")
def translated(corpus, tmp_path_factory):
    """A comparison whose starts are trained on, without fine-tuning: (its arguments, OUT)."""
    folder = tmp_path_factory.mktemp("selection")
    train(corpus, folder / "run", "--max-epoch 5 --no-epoch-checkpoints --disable-validation")
    words = [corpus, folder / "run/checkpoint_last.pt", folder / "out", "--methods", "disagreement", "--keep", 3]
    words += ["--continue-epochs", 1, "--epochs", 0, "--generate-args", SAY]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(REPOSITORY)
        patch.setenv("OMP_NUM_THREADS", "1")
        assert compare(*words, options=OPTIONS) == 0
    return words, folder / "out"


def results(out):
    return json.loads((out / "results.json").read_text())


def test_every_row_has_as_many_heads_from_starts_of_as_many_updates(translated):
    _, out = translated
    voted = {path.parts[-3]: path for path in out.glob("keep-3/refit-output/*/seed-1/voted.pt")}
    assert voted.keys() == ROWS.keys()
    for path in voted.values():
        assert [len(heads) for heads in kept_heads_in_checkpoint(read_checkpoint(path)).values()] == [3] * 6
    starts = {kind: read_checkpoint(out / "starts" / kind / "checkpoint_last.pt") for kind in ("plain", "diversity")}
    updates = {kind: state["optimizer_history"][-1]["num_updates"] for kind, state in starts.items()}
    assert updates["plain"] == updates["diversity"] > 0


def test_the_start_of_disagreement_is_trained_on_with_the_diversity_of_its_heads_alone(translated):
    _, out = translated
    log = (out / "starts/diversity/train.log").read_text()
    homogeneity, diversity, constraint = (
        float(re.findall(rf"\| {name} (\S+)", log)[-1]) for name in ("homogeneity", "diversity", "constraint")
    )
    # As many groups as heads: each head is the centre of its own group.
    assert homogeneity == pytest.approx(1, abs=1e-3)
    assert constraint == pytest.approx(-diversity, abs=2e-4)


def test_scores_are_those_that_ghat_score_gives_the_same_logs(translated, corpus, capsys):
    _, out = translated
    saved, table = results(out), (out / "table.md").read_text()
    rows = {row["title"]: row for row in saved["rows"]}
    logs = {title: out / f"keep-3/refit-output/{folder}/seed-1/voted.generate.log" for folder, title in ROWS.items()}
    reference = corpus.parent / "test.yy"
    assert score.main([str(reference), *map(str, logs.values()), "--json"]) == 0
    expected = json.loads(capsys.readouterr().out)["scores"]["BLEU"]
    assert rows.keys() == logs.keys()
    for title, log in logs.items():
        row, of_log = rows[title], expected[str(log)]
        assert row["after_the_vote"]["scores"] == [of_log["score"]] and of_log["score"] > 0
        assert row["p_value"] == of_log["p_value"] and row["after_fine_tuning"] is None
        assert row["paper"] == IMPORTANCES["disagreement"].paper and row["attentions_x_heads"] == "6 x 3"
        (line,) = (line for line in table.splitlines() if line.startswith(f"| {title} "))
        assert f"| {of_log['score']:.2f} " in line
    assert [row["title"] for row in saved["all_heads"]] == [
        "all heads",
        "all heads, after disagreement regularisation",
    ]


def test_the_same_command_again_runs_nothing_and_makes_the_same_table(translated, monkeypatch, capsys):
    words, out = translated
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.setattr(Command, "run", lambda command: pytest.fail(f"ran again: {command.stage}"))
    before = (out / "table.md").read_text()
    assert compare(*words, options=OPTIONS) == 0
    assert (out / "table.md").read_text() == before and before.strip() in capsys.readouterr().out


def test_other_training_options_are_refused(translated, monkeypatch, capsys):
    words, _ = translated
    monkeypatch.chdir(REPOSITORY)
    with pytest.raises(SystemExit):
        compare(*words, options=f"{OPTIONS} --clip-norm 0.1")
    assert "options of fairseq-train: " in capsys.readouterr().err


@pytest.fixture(scope="module")
def language_model(text, tmp_path_factory):
    """A trained checkpoint."""
    folder = tmp_path_factory.mktemp("model")
    train_language_model(text, folder, "--max-epoch 1 --no-epoch-checkpoints --disable-validation")
    return folder / "checkpoint_last.pt"


def test_a_budget_takes_heads_neurons_or_both_and_all_train_on(text, language_model, tmp_path, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    out, window = tmp_path / "out", "--gen-subset valid --context-window 8"
    words = [text, language_model, out, "--budget", "parameters=0.8", "--methods", "both", "heads", "neurons"]
    words += ["from-start", "--from-start-args", "--lr 0.002"]
    assert compare(*words, "--generate-args", window, options=LANGUAGE_MODEL) == 0
    rows = {row["method"]: row for row in results(out)["rows"]}
    full = non_embedding_parameters(read_checkpoint(language_model)["model"])
    layers = describe_counts(heads_in_checkpoint(read_checkpoint(language_model)).values())
    assert layers == rows["neurons"]["attentions_x_heads"] != rows["heads"]["attentions_x_heads"]
    small = read_checkpoint(out / "keep-parameters=0.8/from-start/seed-1/trained/checkpoint_last.pt")
    row = row_of_small = rows.pop("from-start")
    assert row["after_the_vote"] is None and row["parameters"] == non_embedding_parameters(small["model"]) < 0.9 * full
    assert small["cfg"]["optimization"]["lr"] == [0.002]
    # An epoch each of the checkpoint and of fine-tuning.
    assert small["extra_state"]["train_iterator"]["epoch"] == 3
    assert {other["updates"] for other in rows.values()} == {row["updates"]}
    for method, row in rows.items():
        tuned = read_checkpoint(out / f"keep-parameters=0.8/refit-output/{method}/seed-1/tuned/checkpoint_last.pt")
        assert non_embedding_parameters(tuned["model"]) == row["parameters"] < 0.9 * full
        assert row["after_fine_tuning"]["mean"] < row["after_the_vote"]["mean"]
    page = (out / "report.html").read_text()
    for method, row in {**rows, "from-start": row_of_small}.items():
        # In the table of the comparison, and as a column of the models that it made.
        assert f">{row['after_fine_tuning']['mean']:.2f}<" in page and f"{row['parameters']:,}" in page
        assert re.search(rf'<th scope="col">\S*{method}\S*</th>', page)
    assert page.count("<img") == page.count('alt="') > 2 and "The training of" in page


def test_a_language_model_is_fine_tuned_and_has_the_perplexities_of_ghat_perplexity(
    text, language_model, tmp_path, monkeypatch, capfd
):
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    out, window = tmp_path / "out", "--gen-subset valid --context-window 8"
    words = [text, language_model, out, "--methods", "random", "--keep", 1, "--refit", "none"]
    assert compare(*words, "--generate-args", window, options=LANGUAGE_MODEL) == 0
    folder = out / "keep-1/refit-none/random/seed-1"
    models = [words[1], folder / "voted.pt", folder / "tuned/checkpoint_last.pt"]
    masks = [kept_heads_in_checkpoint(read_checkpoint(path)) for path in models]
    assert masks[1] == masks[2] != masks[0]  # fine-tuning keeps the heads of the vote
    capfd.readouterr()
    assert perplexity.main([str(text), *map(str, models), *window.split(), "--json", "--cpu"]) == 0
    expected = json.loads(capfd.readouterr().out)["checkpoints"]
    full, voted, tuned = (expected[str(path)]["subsets"]["valid"]["perplexity"] for path in models)
    saved = results(out)
    (row,), (all_heads,) = saved["rows"], saved["all_heads"]
    assert (all_heads["title"], all_heads["score"]) == ("all heads", pytest.approx(full))
    assert row["updates"] == 2 * all_heads["updates"] > 0
    assert row["after_the_vote"]["scores"] == [pytest.approx(voted)]
    assert row["after_fine_tuning"]["scores"] == [pytest.approx(tuned)]
    assert full != voted > tuned
    assert (saved["metric"], saved["subset"], row["p_value"]) == ("perplexity", "valid", None)
    assert "context window 8" in (out / "table.md").read_text() and (out / "pruning.svg").is_file()
