"""Which files tell of which run, and what they tell."""

import json
from argparse import Namespace
from pathlib import Path

import pytest
from sacrebleu.metrics import BLEU

from fairseq_ghat.report.measurements import Analysis, Score, kind_of, read_measurements

GENERATED = """2026 | INFO | g | {{'common_eval': {{'path': '{checkpoint}'}}, 'target_lang': 'en'}}
T-0\tthe cat sleeps here now
H-0\t-0.5\tthe cat sleeps here then
D-0\t-0.5\tthe cat sleeps here then
2026 | INFO | Translated 1 sentences (6 tokens) in 0.5s (2.00 sentences/s, 99.00 tokens/s)
"""
EXPECTED = BLEU().corpus_score(["the cat sleeps here then"], [["the cat sleeps here now"]]).score


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "runs" / "ght").mkdir(parents=True)
    (tmp_path / "runs" / "plain").mkdir()
    return tmp_path / "runs"


def score(**systems):
    of = {path.replace("__", "/"): value for path, value in systems.items()}
    entries = {f"{p}.log": {"score": v, "interval": 0.5, "p_value": None, "signature": "s"} for p, v in of.items()}
    return json.dumps({"scores": {"BLEU": entries}})


def test_logs_of_generation_belong_to_the_run_of_their_checkpoint(folder):
    (folder / "grouped.generate.log").write_text(GENERATED.format(checkpoint="elsewhere/runs/ght/checkpoint_last.pt"))
    read = read_measurements(folder / "ght")
    assert read.scores["BLEU"].value == pytest.approx(EXPECTED) and "tok:13a" in read.scores["BLEU"].signature
    assert read.speed == ("2.0 sentences/s", "as fairseq-generate logged it")
    assert read.files == [(folder / "grouped.generate.log", "fairseq-generate")]
    assert read_measurements(folder / "plain").scores == {}
    (folder / "plain.generate.log").write_text(GENERATED.format(checkpoint="average.pt"))
    assert read_measurements(folder / "plain").scores["BLEU"].value == pytest.approx(EXPECTED)


def test_references_that_are_still_tokenized_are_not_scored_against(folder):
    text = GENERATED.format(checkpoint="ght/a.pt").replace("D-0\t-0.5\tthe", "D-0\t-0.5\tThe")
    (folder / "ght" / "generate.log").write_text(text)
    read = read_measurements(folder / "ght")
    assert read.scores == {} and read.speed


def test_scores_of_several_runs_and_those_of_one(folder):
    (folder / "score.json").write_text(score(ght__generate=31.0, plain__generate=30.0))
    assert read_measurements(folder / "ght").scores == {"BLEU": Score(31.0, 0.5, None, "s")}
    assert read_measurements(folder / "plain").scores["BLEU"].value == 30.0
    (folder / "ght" / "score.json").write_text(score(anything=32.0))  # its own goes first, wherever the log was
    assert read_measurements(folder / "ght").scores["BLEU"].value == 32.0
    (folder / "grouped.generate.log").write_text(GENERATED.format(checkpoint="ght/a.pt"))
    (folder / "score.json").write_text(score(**{"runs/grouped.generate": 1.0, "plain/generate": 2.0}))
    assert read_measurements(folder / "ght").scores["BLEU"].value == 32.0


def test_the_score_of_a_log_beside_the_folder_is_that_of_its_run(folder):
    (folder / "grouped.generate.log").write_text(GENERATED.format(checkpoint="ght/a.pt"))
    scores = {"runs/grouped.generate": 31.0, "runs/other.generate": 30.0}
    (folder / "score.json").write_text(score(**scores))
    assert read_measurements(folder / "ght").scores["BLEU"].value == 31.0


def test_folders_of_one_name_are_told_apart_by_their_paths(tmp_path):
    """fairseq saves into "checkpoints" unless told otherwise."""
    for name in "ab":
        (tmp_path / name / "checkpoints").mkdir(parents=True)
        (tmp_path / name / "checkpoints" / "generate.log").write_text(GENERATED.format(checkpoint="checkpoints/a.pt"))
    (tmp_path / "score.json").write_text(score(a__checkpoints__generate=31.0, b__checkpoints__generate=30.0))
    (tmp_path / "of_b.score.json").write_text(score(b__checkpoints__generate=29.0))
    runs = [tmp_path / name / "checkpoints" for name in "ab"]
    given = [tmp_path / "score.json", tmp_path / "of_b.score.json"]
    first, second = (read_measurements(run, given, runs) for run in runs)
    assert first.scores["BLEU"].value == 31.0 and not first.remarks
    assert second.scores["BLEU"].value == 29.0
    told = f"BLEU: 29 of {tmp_path / 'of_b.score.json'} is shown, not 30, which was measured too."
    assert second.remarks == [told]


@pytest.mark.parametrize("name", ["exp17", "latest"])
def test_a_link_to_a_run_may_be_what_was_measured(tmp_path, name):
    (tmp_path / "exp17").mkdir()
    (tmp_path / "latest").symlink_to("exp17")
    (tmp_path / "score.json").write_text(score(**{f"{name}__generate": 31.0, "other__generate": 30.0}))
    assert read_measurements(tmp_path / "latest").scores["BLEU"].value == 31.0


def test_the_score_of_the_plain_name_stands_for_the_run(folder):
    (folder / "ght" / "valid.score.json").write_text(score(ght__valid=33.0))
    (folder / "ght" / "score.json").write_text(score(ght__generate=20.0))
    read = read_measurements(folder / "ght")
    assert read.scores["BLEU"].value == 20.0 and "not 33," in read.remarks[0]


@pytest.mark.parametrize("name", ["slim.pt", "checkpoint7.pt"])
def test_the_model_that_stands_for_the_run_is_shown(folder, name):
    names = (name, "before_vote.checkpoint_best.pt")
    sizes = [{"heads": {"a": 2}, "parameters": n, "parameters_without_embeddings": n, "flops": n} for n in (50, 100)]
    by_path = {f"runs/ght/{name}": size for name, size in zip(names, sizes)}
    (folder / "ght" / "stats.json").write_text(json.dumps(by_path))
    speeds = [{"checkpoint": f"runs/ght/{name}", "sentences_per_second": {"median": n}} for n in (100.0, 60.0)]
    content = {"setting": "beam 5", "machine": "CPU", "checkpoints": speeds}  # of --as-grouped
    (folder / "ght" / "bench.json").write_text(json.dumps(content))
    read = read_measurements(folder / "ght")
    assert read.size == sizes[0] and read.speed == ("100.0 sentences/s", "beam 5; CPU")


@pytest.mark.parametrize(
    "analysed,wanted,groups", [([1, 2, 4], None, 2), ([1, 2, 4], 4, 4), ([1], 2, 1), ([], 2, None)]
)
def test_heads_are_shown_in_the_groups_of_the_model_or_the_fewest(analysed, wanted, groups):
    layer = Namespace(features={"value": Namespace(groups=dict.fromkeys(analysed))})
    assert Analysis(Path("a.json"), "a.pt", "", {"self_attn": layer}, {}).groups(wanted) == groups


def test_a_folder_may_have_the_signs_of_a_pattern_in_its_name(tmp_path):
    """As hydra names those of a sweep."""
    (tmp_path / "lr=[1e-3]").mkdir()
    (tmp_path / "lr=[1e-3].score.json").write_text(score(anything=20.0))
    assert read_measurements(tmp_path / "lr=[1e-3]").scores["BLEU"].value == 20.0


def test_a_log_that_was_scored_otherwise_has_no_bleu(folder):
    """BLEU says nothing of phonemes."""
    (folder / "ght" / "generate.log").write_text(GENERATED.format(checkpoint="ght/a.pt"))
    (folder / "ght" / "score.json").write_text(score(ght__generate=17.0).replace("BLEU", "WER"))
    assert list(read_measurements(folder / "ght").scores) == ["WER"]


def test_score_of_a_comparison(folder):
    (folder / "ght.score.json").write_text(json.dumps({"metric": "perplexity", "score": 9.5, "signature": "per word"}))
    assert read_measurements(folder / "ght").scores == {"perplexity": Score(9.5, None, None, "per word")}


def test_perplexity_size_and_speed(folder):
    subsets = {"test": {"perplexity": 8.0, "word_perplexity": 16.0, "tokens": 300, "seconds": 2.0}}
    measured = {"subwords": "sentencepiece", "window": "blocks of 64", "machine": "CPU"}
    content = {**measured, "checkpoints": {"x/ght/checkpoint_last.pt": {"subsets": subsets}, "x/slim.pt": {}}}
    (folder / "perplexity.json").write_text(json.dumps(content))
    size = {"heads": {"a": 2}, "parameters": 5, "parameters_without_embeddings": 4, "flops": 1000}
    (folder / "ght" / "stats.json").write_text(json.dumps({"slim.pt": size}))
    read = read_measurements(folder / "ght")
    assert read.scores == {"perplexity, test": Score(16.0, None, None, "per word; blocks of 64")}
    assert read.speed == ("150 tokens/s", "CPU") and read.size == size
    sides = [{"checkpoint": f"{name}/slim.pt", "sentences_per_second": {"median": 7.25}} for name in ("ght", "b")]
    (folder.parent / "bench.json").write_text(json.dumps({"setting": "beam 5", "machine": "CPU", "checkpoints": sides}))
    assert read_measurements(folder / "ght", [folder.parent / "bench.json"]).speed == ("7.2 sentences/s", "beam 5; CPU")


@pytest.mark.parametrize("name", ["score.json", "stats.json", "perplexity.json", "bench.json", "analysis.json"])
@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"a": 1}', '{"checkpoints": [1]}', "null"])
def test_files_of_another_kind_are_told_of(folder, name, text):
    (folder / "ght" / name).write_text(text)
    (folder / name).write_text(text)  # of whom it would tell is not known
    read = read_measurements(folder / "ght")
    if name != "stats.json" or text != "{}":  # which is of no model
        assert len(read.remarks) == 1 and f"ght/{name}" in read.remarks[0] and "left out" in read.remarks[0]
    assert not read.scores and not read.analyses and not read.size and not read.speed


def test_a_log_that_is_cut_off_is_told_of(folder):
    (folder / "ght" / "generate.log").write_text("")
    (remark,) = read_measurements(folder / "ght").remarks
    assert "generate.log: not the whole log" in remark


def test_kinds_by_name(tmp_path):
    names = ("a.score.json", "generate.log", "heads.analysis.json", "analysis.before.json", "settings.json", "x.log")
    kinds = [kind_of(tmp_path / name) for name in names]
    assert kinds == ["score.json", "generate.log", "analysis*.json", "analysis*.json", None, None]
