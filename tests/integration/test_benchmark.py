"""The paper's benchmarks from the published archives to the table, at miniature size, through the real commands."""

import json
import re

import benchmark
import miniature_archives
import prepare_data
import pytest
from commands import REPOSITORY
from experiments.corpora import catalogue
from sacrebleu.metrics import BLEU

from fairseq_ghat import load
from fairseq_ghat.checkpoints.files import read_checkpoint
from fairseq_ghat.cli import vote
from fairseq_ghat.evaluation.generation_log import read_generation_log, read_lines
from fairseq_ghat.profiling.parameters import heads_in_checkpoint, non_embedding_parameters

SMALL = (
    "--encoder-layers 1 --decoder-layers 1 --encoder-embed-dim 32 --decoder-embed-dim 32 --encoder-ffn-embed-dim 64 "
    "--decoder-ffn-embed-dim 64 --max-tokens 250 --warmup-updates 20 --lr 0.005 --required-batch-size-multiple 1"
).split()
# A model that has learnt nothing yet says nothing, or spaces alone, of which fairseq computes no BLEU at all: sampling
# says something.
SMALL += ["--eval-bleu-args", '{"sampling": true, "beam": 1, "max_len_b": 20, "min_len": 10}']
# The vote is before epoch 10 on IWSLT'14, before epoch 4 on Multi30k.
EPOCHS = {"iwslt14.de-en": 16, "multi30k.de-en": 7}


@pytest.fixture(scope="module", params=EPOCHS)
def finished(request, tmp_path_factory):
    """Folders and printed table of a benchmark: (name, folder)."""
    name, folder = request.param, tmp_path_factory.mktemp(request.param)
    archives = folder / "archives"
    archives.mkdir()
    if name.startswith("iwslt14"):
        miniature_archives.iwslt14(archives, "de-en")
    else:
        miniature_archives.multi30k(archives)
    with pytest.MonkeyPatch.context() as patch:
        # The archives here are not the published ones: nothing is known of their sizes and checksums.
        patch.setattr(catalogue, "LINES", {})
        patch.setattr(catalogue, "SHA256", {})
        arguments = [name, str(folder / "data" / name), "--source", str(archives), "--vocab", "60"]
        assert prepare_data.main(arguments) == 0
        patch.chdir(REPOSITORY)
        patch.setenv("OMP_NUM_THREADS", "1")
        assert run(name, folder, "--jobs", "2") == 0
    return name, folder


def run(name, folder, *arguments, more=()):
    small = [*SMALL, "--max-epoch", str(EPOCHS[name]), *more]
    where = ["--data", str(folder / "data"), "--runs", str(folder / "runs"), "--gpus", "0"]
    return benchmark.main([name, "--systems", "transformer", "ght-ps", *where, *arguments, "--", *small])


def runs(name, folder):
    return [folder / "runs" / name / system for system in ("transformer", "ght-ps")]


def test_the_final_model_is_the_slim_average_of_voted_checkpoints(finished):
    plain, pruned = runs(*finished)
    assert set(heads_in_checkpoint(read_checkpoint(plain / "average.pt")).values()) == {8}
    assert set(heads_in_checkpoint(read_checkpoint(pruned / "slim.pt")).values()) == {2}
    kept = re.findall(r"vote: (\S+) keeps heads", (pruned / "train.log").read_text())
    assert len(kept) == 3  # one attention of the encoder, two of the decoder
    best = list(pruned.glob("checkpoint.best_bleu_*.pt"))
    assert best and list(pruned.glob("before_vote.checkpoint.best_bleu_*.pt"))
    assert all(set(heads_in_checkpoint(read_checkpoint(path)).values()) == {2} for path in best)


def test_scores_are_those_of_the_raw_references(finished):
    name, folder = finished
    references = read_lines(folder / "data" / name / "raw" / "test.en")
    for one in runs(name, folder):
        hypotheses = read_generation_log(one / "generate.log").hypotheses
        expected = BLEU(lowercase=name.startswith("iwslt14")).corpus_score(hypotheses, [references]).score
        (score,) = json.loads((one / "score.json").read_text())["scores"]["BLEU"].values()
        assert score["score"] == pytest.approx(expected) and len(hypotheses) == len(references)


def test_python_translates_the_raw_text_as_the_log_did(finished):
    """Subwords and case are those of prepared.json."""
    name, folder = finished
    sentences = read_lines(folder / "data" / name / "raw" / "test.de")
    for one, model in zip(runs(name, folder), ("average.pt", "slim.pt")):
        translator = load(one / model, folder / "data" / name)
        assert translator.translate(sentences) == read_generation_log(one / "generate.log").hypotheses
        assert translator.translate(sentences[0]) == translator.translate(sentences[:1])[0]


def test_exports_are_measured_beside_fairseq_and_translate_alike(finished, tmp_path, capsys):
    """Also a model that lost only neurons, which is fairseq's own, and one of a budget over heads and neurons."""
    pytest.importorskip("ctranslate2", reason="ctranslate2 is not installed: pip install ctranslate2")
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install matplotlib")
    import benchmark_export

    name, folder = finished
    data, (plain, pruned) = folder / "data" / name, runs(name, folder)
    models = {"full": plain / "average.pt", "slim": pruned / "slim.pt"}
    for cut, options in (("neurons", "--keep-heads all --ffn-neurons 0.5"), ("both", "--budget parameters=0.5")):
        models[cut] = tmp_path / f"{cut}.pt"
        vote.main(f"{models['full']} {data / 'bin'} {models[cut]} {options} --cpu".split())
    capsys.readouterr()
    named, picture = [f"{model}={path}" for model, path in models.items()], tmp_path / "speed.svg"
    arguments = [str(data), *named, "--repeats", "2", "--max-len", "20", "--beam", "2", "--json"]
    assert benchmark_export.main([*arguments, "--picture", str(picture)]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    engines = ["fairseq", "CTranslate2, float32", "CTranslate2, int8"]
    assert [(row["model"], row["engine"]) for row in rows] == [(m, e) for m in models for e in engines]
    sentences = len(read_lines(data / "raw" / "test.en"))
    for model, (fairseq, float32, int8) in zip(models, zip(*[iter(rows)] * 3)):
        assert fairseq["greedy_as_fairseq"] == float32["greedy_as_fairseq"] == sentences
        assert float32["bleu"] == pytest.approx(fairseq["bleu"]) and int8["bytes"] < float32["bytes"]
        weights = read_checkpoint(models[model])["model"]
        assert fairseq["parameters"] == int8["parameters"] == non_embedding_parameters(weights)
    assert [row["heads"] for row in rows[:9:3]] == ["3 x 8", "3 x 2", "3 x 8"]
    assert [row["neurons"] for row in rows[:9:3]] == ["2 x 64", "2 x 64", "2 x 32"]
    assert rows[9]["parameters"] < rows[6]["parameters"] < rows[0]["parameters"]
    assert "<svg" in picture.read_text()


def test_the_table_has_both_systems_and_their_speed(finished, capfd, monkeypatch):
    name, folder = finished
    monkeypatch.chdir(REPOSITORY)
    assert run(name, folder, "--stages", "table") == 0
    out = capfd.readouterr().out
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in out.splitlines() if line.startswith("|")]
    named = {row[0]: row for row in rows[2:]}
    published = ["transformer, published", "ght-ps, published"] if name.startswith("iwslt14") else []
    assert sorted(named) == sorted(["transformer", "ght-ps", *published])
    assert named["transformer"][2] == "8" and named["ght-ps"][2] == "2" and int(named["ght-ps"][1]) > 0
    bench = json.loads((folder / "runs" / name / "bench.json").read_text())["checkpoints"]
    assert [f"{one['sentences_per_second']['median']:,.1f}" for one in bench] == [
        named[system][4] for system in ("transformer", "ght-ps")
    ]
    assert ("case:lc" in out) == name.startswith("iwslt14")


def test_the_page_has_both_systems_before_and_after_the_vote(finished):
    name, folder = finished
    page = (folder / "runs" / name / "report.html").read_text()
    assert all(f'<th scope="col">{system}</th>' in page for system in ("transformer", "ght-ps"))
    for one, models in zip(runs(name, folder), (["average.pt"], ["average.pt", "before_vote.checkpoint_best.pt"])):
        (score,) = json.loads((one / "score.json").read_text())["scores"]["BLEU"].values()
        assert f"{score['score']:.2f} ± " in page
        assert all(f"each two heads of {one / model}" in page for model in models)


@pytest.mark.parametrize("finished", ["multi30k.de-en"], indirect=True)  # one set is enough
def test_the_same_command_again_goes_on_from_what_is_there(finished, monkeypatch):
    """Also fairseq's own model, whose checkpoints torch's safe loading refuses without the plug-in."""
    name, folder = finished
    monkeypatch.chdir(REPOSITORY)
    for one in runs(name, folder):
        last = one / "checkpoint_last.pt"
        before = last.read_bytes()
        (one / "checkpoint_last.pt.done.json").unlink()  # as of a run that was stopped before its end
        assert run(name, folder, "--systems", one.name, "--stages", "train") == 0
        ends = re.findall(r"Loaded checkpoint \S+/checkpoint_last.pt \(epoch (\d+) ", (one / "train.log").read_text())
        assert ends == [str(EPOCHS[name] + 1)] and last.read_bytes() == before


@pytest.mark.parametrize("finished", ["multi30k.de-en"], indirect=True)  # one set is enough
def test_what_is_finished_is_not_run_again(finished, monkeypatch, capsys):
    name, folder = finished
    monkeypatch.chdir(REPOSITORY)
    stages = ["--stages", "train", "average", "slim", "evaluate"]
    assert run(name, folder, *stages) == 0
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("step ")]
    assert len(told) == 2 * 5 + 1 and all(line.endswith(": there already") for line in told)


def test_a_run_of_other_settings_is_not_gone_on_with(finished, capsys, monkeypatch):
    name, folder = finished
    monkeypatch.chdir(REPOSITORY)
    with pytest.raises(SystemExit):
        run(name, folder, "--stages", "train", more=["--dropout", "0.5"])
    assert re.search(r"transformer: was made with other settings \(.*0.5.*\); give another", capsys.readouterr().err)


@pytest.mark.parametrize("finished", ["multi30k.de-en"], indirect=True)  # one set is enough
def test_a_run_that_never_began_is_no_obstacle_to_other_settings(finished, tmp_path, monkeypatch):
    name, folder = finished
    monkeypatch.chdir(REPOSITORY)
    arguments = [name, "--systems", "ght", "--stages", "train", "--data", str(folder / "data"), "--runs", str(tmp_path)]
    for subset in ("none", "no other"):
        assert benchmark.main([*arguments, "--gpus", "0", "--", "--train-subset", subset]) == 1
        assert json.loads((tmp_path / name / "ght" / "run.json").read_text())["train"][-1] == subset


def test_words_become_phonemes_with_two_seeds_of_a_small_model_from_the_start(tmp_path, monkeypatch, capfd):
    """Another kind of task: batches of words, no subwords, error rates; and heads that go before the first update."""
    pytest.importorskip("jiwer", reason="jiwer is not installed: pip install jiwer")
    miniature_archives.sigmorphon2020(tmp_path, "vie")
    monkeypatch.setattr(catalogue, "LINES", {})
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    name, data, models = "sigmorphon2020.vie", tmp_path / "data", tmp_path / "runs"
    assert prepare_data.main([name, str(data / name), "--source", str(tmp_path)]) == 0
    arguments = [name, "--systems", "from-start", "--seeds", "1", "2", "--jobs", "2", "--gpus", "0"]
    arguments += ["--data", str(data), "--runs", str(models), "--stages"]
    assert benchmark.main([*arguments, "prepare"]) == 0 and not models.exists()  # there already
    arguments += ["train", "slim", "evaluate", "table", "--"]
    small = [option for option in SMALL if option not in ("--max-tokens", "250")][:-2]
    assert benchmark.main([*arguments, *small, "--max-update", "10", "--batch-size", "60"]) == 0
    table = [line.split("|")[1:-1] for line in capfd.readouterr().out.splitlines() if line.startswith("| ")]
    titles, row = ([cell.strip() for cell in line] for line in (table[0], table[2]))
    assert titles[:4] == ["model", "n", "updates", "heads kept"] and row[:4] == ["from-start", "2", "10", "2"]
    assert titles[7:] == [f"{name} WER", f"{name} PER"]
    for seed in ("", "-seed2"):
        scores = json.loads((models / name / f"from-start{seed}" / "score.json").read_text())["scores"]
        ((score, *_),) = (system.values() for system in scores["WER"].values())
        references = read_lines(data / name / "raw/test.phonemes")
        hypotheses = read_generation_log(models / name / f"from-start{seed}" / "generate.log").hypotheses
        assert score == pytest.approx(100 * sum(map(str.__ne__, references, hypotheses)) / len(references))


def refused(capsys, *arguments):
    with pytest.raises(SystemExit):
        benchmark.main([str(argument) for argument in arguments])
    return capsys.readouterr().err


def test_bad_input_is_refused_before_any_work(finished, tmp_path, capsys, monkeypatch):
    name, folder = finished
    monkeypatch.chdir(REPOSITORY)
    data = ("--data", folder / "data")
    assert "SET iwslt14.xx: allowed is " in refused(capsys, "iwslt14.xx")
    assert "--systems ghtps: allowed is " in refused(capsys, name, *data, "--systems", "ghtps")
    assert "--gpus -1: allowed is 0 or more" in refused(capsys, name, *data, "--gpus", -1)
    assert "options of fairseq-train: unrecognized arguments: --no-such" in refused(
        capsys, name, *data, "--gpus", 0, "--", "--no-such"
    )
    for given in ("--no-last-checkpoints", "--seed=5"):
        told = refused(capsys, name, *data, "--gpus", 0, "--", given)
        assert f"-- {given}: is set by this program itself" in told
    assert "do not divide" in refused(capsys, name, *data, "--gpus", 3)
    moses = refused(capsys, name, *data, "--subwords", "moses-bpe", "--gpus", 0)
    assert "prepared.json: subwords is sentencepiece, wanted is subword_nmt" in moses or "pip install" in moses
    assert "holds no checkpoint; add the stage train" in refused(
        capsys, name, *data, "--runs", tmp_path, "--gpus", 0, "--stages", "slim"
    )
    assert "add the stage prepare" in refused(capsys, name, "--data", tmp_path, "--gpus", 0, "--stages", "train")
    monkeypatch.chdir(tmp_path)
    assert "is not the root of the repository" in refused(capsys, name, "--gpus", 0)
    assert list(tmp_path.iterdir()) == []
