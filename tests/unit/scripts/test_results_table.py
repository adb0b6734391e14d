"""The table of results: figures of the run folders, published rows beside them, significance, and what is refused."""

import json
import math
from statistics import mean, stdev

import pytest
import results_table
from commands import refusal_of
from sacrebleu.metrics import BLEU
from scipy.stats import ttest_rel, wilcoxon

REFERENCES = [f"the man number {i} sees a dog and a cat near house {i % 7}" for i in range(60)]
WORSE = [line.replace("sees", "saw") if i % 2 else "something else altogether" for i, line in enumerate(REFERENCES)]
BETTER = [line.replace("near", "at") for line in REFERENCES]


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def run_folder(tmp_path, name, system, kind="translation", heads=(8, 8), seed=1):
    folder = tmp_path / "runs" / name / (system if seed == 1 else f"{system}-seed{seed}")
    write(folder / "run.json", {"set": name, "system": system, "kind": kind, "seed": seed})
    parameters = 1_394_000 if kind == "transcription" else 44_100_000
    stats = {"heads": dict(zip("ab", heads)), "parameters_without_embeddings": parameters}
    stats.update(flops=1_995_500_000, flops_without_output_layer=1_340_100_000)
    write(folder / "stats.json", {str(folder / "final.pt"): stats})
    return folder


def translated(tmp_path, name, system, hypotheses, metric="bleu", scoring=(), references=REFERENCES, **more):
    folder = run_folder(tmp_path, name, system, **more)
    path = write(tmp_path / "test.en", "\n".join(references) + "\n")
    write(folder / "score.json", {"references": str(path), "metric": metric, "lowercase": False, **dict(scoring)})
    write(folder / "generate.log", "".join(f"H-{i}\t-1\t{line}\n" for i, line in enumerate(hypotheses)))
    return folder


def printed(capsys, *arguments):
    assert results_table.main([str(argument) for argument in arguments]) == 0
    out = capsys.readouterr().out
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in out.splitlines() if line.startswith("|")]
    return rows[0], {row[0]: dict(zip(rows[0], row)) for row in rows[2:]}, out


def test_table_1_with_the_published_rows(tmp_path, capsys):
    plain = translated(tmp_path, "iwslt14.de-en", "transformer", WORSE)
    pruned = translated(tmp_path, "iwslt14.de-en", "ght-ps", BETTER, heads=(2, 1))
    write(pruned / "train.log", "train_inner | num_updates=1100, lr=1\ntrain | epoch 008 | num_updates 1120 | lr 0.1\n")
    speed = {"checkpoint": str(pruned / "final.pt"), "sentences_per_second": {"median": 123.45}}
    bench = write(tmp_path / "bench.json", {"setting": "beam 5", "machine": "CPU", "checkpoints": [speed]})
    titles, rows, out = printed(capsys, plain, pruned, "--bench", bench)
    assert list(rows) == ["transformer", "transformer, published", "ght-ps", "ght-ps, published"]
    assert titles[1:] == ["updates", "heads kept", "parameters", "sentences/s", "FLOPs", "iwslt14.de-en BLEU", "p"]
    assert (rows["ght-ps"]["updates"], rows["transformer"]["updates"]) == ("1,120", "")
    assert rows["ght-ps"]["heads kept"] == "1 to 2" and rows["ght-ps"]["sentences/s"] == "123.5"
    assert rows["transformer"]["parameters"] == "44.1M" and rows["transformer"]["FLOPs"] == "1995.5M"
    for name, texts in (("transformer", WORSE), ("ght-ps", BETTER)):
        score = BLEU().corpus_score(texts, [REFERENCES]).score
        assert rows[name]["iwslt14.de-en BLEU"].startswith(f"{score:.1f} ± ")
    assert rows["transformer"]["p"] == "" and float(rows["ght-ps"]["p"]) < 0.01
    assert [rows["ght-ps, published"][title] for title in titles[3:]] == ["30M", "1122.1", "1558M", "35.2", ""]
    assert "speed: beam 5; CPU" in out and "iwslt14.de-en: BLEU nrefs:1|bs:1000" in out


def test_several_data_sets_are_columns_and_each_has_its_own_baseline(tmp_path, capsys):
    folders = [
        translated(tmp_path, name, system, hypotheses)
        for name in ("iwslt14.de-en", "multi30k.de-en")
        for system, hypotheses in (("transformer", BETTER), ("ght", BETTER))
    ]
    for folder, updates in zip(folders, (100, 100, 200)):
        write(folder / "train.log", f"num_updates {updates}\n")
    titles, rows, _ = printed(capsys, *folders[:3])
    about = [rows[system][title] for system in ("transformer", "ght") for title in ("updates", "parameters")]
    assert about == ["differs", "44.1M", "100", "44.1M"]
    assert titles[6:] == ["iwslt14.de-en BLEU", "p", "multi30k.de-en BLEU", "p"]
    assert rows["ght"]["multi30k.de-en BLEU"] == "" and rows["ght"]["iwslt14.de-en BLEU"]
    assert rows["transformer, published"]["iwslt14.de-en BLEU"] == "34.4"
    assert rows["transformer, published"]["multi30k.de-en BLEU"] == ""


def test_seeds_are_one_row_with_two_tests(tmp_path, capsys):
    """Each run is compared with that of the first system and the same seed."""
    texts = {seed: [f"{line} {'so ' * seed}" for line in WORSE] for seed in (1, 2, 3)}
    plain = [translated(tmp_path, "multi30k.de-en", "transformer", texts[seed], seed=seed) for seed in (1, 2, 3)]
    better = [translated(tmp_path, "multi30k.de-en", "ght", BETTER, seed=seed) for seed in (3, 1)]
    one = translated(tmp_path, "multi30k.de-en", "ght-ps", texts[2], seed=2)
    titles, rows, out = printed(capsys, *plain, *better, one)
    assert titles[1:3] == ["n", "updates"] and titles[7:] == ["multi30k.de-en BLEU", "p", "p (seeds)"]
    assert [rows[name]["n"] for name in rows] == ["3", "2", "1"]
    scores = {seed: BLEU().corpus_score(texts[seed], [REFERENCES]).score for seed in texts}
    best = BLEU().corpus_score(BETTER, [REFERENCES]).score
    bleu = titles[7]
    assert rows["transformer"][bleu] == f"{mean(scores.values()):.1f} ± {stdev(scores.values()):.1f}"
    assert rows["ght"][bleu] == f"{best:.1f} ± 0.0" and float(rows["ght"]["p"]) < 0.01
    assert rows["ght"]["p (seeds)"] == f"{ttest_rel([scores[1], scores[3]], [best, best]).pvalue:.3f}"
    assert rows["ght-ps"][bleu].startswith(f"{scores[2]:.1f} ± ") and rows["ght-ps"]["p"] == "1.000"
    assert (rows["transformer"]["p"], rows["ght-ps"]["p (seeds)"]) == ("", "")
    assert "p (seeds): paired t-test" in out


def test_systems_whose_seeds_differ_by_as_much_each_time(tmp_path, capsys):
    """Of no spread at all, a t-test says nothing."""
    same = [translated(tmp_path, "multi30k.de-en", name, BETTER, seed=s) for name in ("ght", "vote") for s in (1, 2)]
    worse = [translated(tmp_path, "multi30k.de-en", "random", WORSE, seed=seed) for seed in (1, 2)]
    _, rows, _ = printed(capsys, *same, *worse)
    assert rows["vote"]["p (seeds)"] == "1.000" and rows["random"]["p (seeds)"] == "<0.001"


def test_a_set_that_was_not_published_has_no_such_row(tmp_path, capsys):
    _, rows, _ = printed(capsys, translated(tmp_path, "multi30k.de-en", "ght", BETTER))
    assert list(rows) == ["ght"]


LANGUAGES = [f"sigmorphon2020.{letter}" for letter in "abcdefgh"]


def transcribed(tmp_path, rates, system="transformer", seeds=(1,)):
    """Run folders of words, of which as many are wrong as rates says for each language and seed."""
    pytest.importorskip("jiwer", reason="jiwer is not installed: pip install jiwer")
    references = [f"{sound} a b c" for sound in range(20)]
    return [
        translated(
            tmp_path,
            name,
            system,
            [f"{line}{' d' if place < wrong + seed - 1 else ''}" for place, line in enumerate(references)],
            metric="error-rate",
            kind="transcription",
            references=references,
            seed=seed,
        )
        for name, wrong in zip(LANGUAGES, rates)
        for seed in seeds
    ]


def test_languages_are_one_mean_and_tests_over_them(tmp_path, capsys):
    plain = transcribed(tmp_path, [4, 6, 8, 10, 12, 14, 4, 6])
    worse = transcribed(tmp_path, [5, 8, 11, 9, 12, 18, 10, 13], "vote")  # worse in six, better in one
    results_table.main([str(path) for path in [*plain, *worse]])
    means, by_language = [part for part in capsys.readouterr().out.split("\n\n") if part.startswith("|")]
    titles, _, first, second = [[cell.strip() for cell in line.split("|")[1:-1]] for line in means.splitlines()]
    assert titles[1:3] == ["sets", "runs"] and second[1:3] == ["8", "8"]
    place = titles.index("mean WER")
    assert [first[place], second[place]] == ["40.00", f"{100 * 86 / 160:.2f}"]
    # Ranks of |1, 2, 3, -1, 0, 4, 6, 7|: the negative one has 1.5 of 28; exact with ties by scipy.
    expected = wilcoxon([1, 2, 3, -1, 4, 6, 7]).pvalue
    assert second[place + 1 : place + 4] == [f"{expected:.3f}", "1, 6", "0.125"]  # 2 * (1 + 7) / 2^7
    assert first[place + 1 : place + 4] == ["", "", ""]
    assert "| sigmorphon2020.c | 40.00" in by_language and "| 55.00" in by_language
    assert "mean PER" in titles


def test_seeds_of_languages_have_a_spread_of_means(tmp_path, capsys):
    results_table.main([str(path) for path in transcribed(tmp_path, [4, 6, 8], seeds=(1, 2, 3))])
    shown = capsys.readouterr().out
    titles, _, row = (line for line in shown.splitlines()[2:5])
    assert [title.strip() for title in titles.split("|")[2:7]] == [
        "sets",
        "runs",
        "updates",
        "heads kept",
        "parameters",
    ]
    assert [cell.strip() for cell in row.split("|")[2:7]] == ["3", "9", "", "8", "1.39M"]
    assert "35.00 ± 5.00" in row  # of 30, 35 and 40 %


def test_tables_are_made_of_the_figures_alone(tmp_path, capsys):
    plain = [translated(tmp_path, "iwslt14.de-en", "transformer", WORSE, seed=seed) for seed in (1, 2)]
    pruned = [translated(tmp_path, "iwslt14.de-en", "ght-ps", BETTER, seed=seed) for seed in (1, 2)]
    runs = [str(path) for path in (*plain, *pruned)]
    results_table.main(runs)
    shown = capsys.readouterr().out
    results_table.main([*runs, "--json"])
    figures = write(tmp_path / "figures.json", capsys.readouterr().out)
    results_table.main([str(figures)])
    assert capsys.readouterr().out == shown
    write(figures, {"rows": [{}]})
    assert "figures.json: is not what results_table.py --json wrote" in refused(capsys, figures)


def test_figures_of_further_systems_go_on_in_a_file_of_their_own(tmp_path, capsys):
    """They are tested over the seeds against the first system of all, as if the folders were given together."""
    texts = {seed: [f"{line} {'so ' * seed}" for line in WORSE] for seed in (1, 2, 3)}
    plain = [translated(tmp_path, "multi30k.de-en", "transformer", texts[seed], seed=seed) for seed in (1, 2, 3)]
    others = [
        translated(tmp_path, "multi30k.de-en", name, lines, seed=seed)
        for name, lines in (("vote", BETTER), ("random", REFERENCES))
        for seed in (1, 2)
    ]
    _, together, _ = printed(capsys, *plain, *others)
    results_table.main([*map(str, others), "--json"])
    figures = write(tmp_path / "figures.json", capsys.readouterr().out)
    titles, rows, out = printed(capsys, *plain, figures)
    for name in ("transformer", "vote", "random"):
        assert rows[name] == {title: together[name][title] for title in titles if title != "p"}
    assert rows["random"]["p (seeds)"] and out.count("BLEU nrefs") == 1
    assert printed(capsys, plain[0], *plain, figures, plain[0])[1] == rows  # a folder that is given twice is one
    told = "multi30k.de-en: vote is in two of the inputs; give the folders of all its runs together"
    assert told in refused(capsys, figures, *others)
    other = json.loads(figures.read_text())
    for row in other["rows"]:
        row["scores"]["chrF"] = row["scores"]["BLEU"]
    other = write(tmp_path / "other.json", other)
    assert "not scored alike: transformer has BLEU; vote has BLEU, chrF" in refused(capsys, *plain, other)
    assert "--bench bench.json: wants the folders of the runs" in refused(capsys, figures, "--bench", "bench.json")


def test_equal_errors_of_two_seeds_are_a_tie(tmp_path, capsys):
    """Means of equal sums differ in the last bit, as those of 10 and 14, and of twice 12 wrong words of 450."""
    rows = []
    for system, errors in (("transformer", (10, 14)), ("vote", (12, 12))):
        row = {"kind": "transcription", "system": system, "heads": "4", "parameters": 1, "flops": 1.0, "updates": 1}
        row.update(speed=None, seeds=[1, 2], scores={"WER": [100 * wrong / 450 for wrong in errors]})
        rows += [{"set": name, **row} for name in LANGUAGES[:6]]
    first, second = rows[0]["scores"]["WER"], rows[-1]["scores"]["WER"]
    assert mean(first) != mean(second) and mean(first) == pytest.approx(mean(second))
    results_table.main([str(write(tmp_path / "figures.json", {"rows": rows, "conditions": []}))])
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| vote ")]
    assert [cell.strip() for cell in line.split("|")[-4:-1]] == ["1.000", "0, 0", "1.000"]


def test_table_4_has_three_rouge_scores(tmp_path, capsys):
    pytest.importorskip("rouge_score", reason="rouge-score is not installed: pip install rouge-score")
    folder = translated(tmp_path, "cnn-dailymail", "ght-ps", BETTER, metric="rouge", kind="summarization")
    titles, rows, _ = printed(capsys, folder)
    assert titles[6:] == ["cnn-dailymail ROUGE-1", "cnn-dailymail ROUGE-2", "cnn-dailymail ROUGE-L"]
    assert [rows["ght-ps, published"][title] for title in titles[6:]] == ["40.01", "21.31", "37.62"]
    # 12 of 13 words match, and 10 of 12 bigrams.
    assert rows["ght-ps"][titles[6]].startswith(f"{100 * 12 / 13:.2f}")
    assert rows["ght-ps"][titles[7]].startswith(f"{100 * 10 / 12:.2f}")


def test_bleu_is_computed_again_as_ghat_score_was_told(tmp_path, capsys):
    """The first version's JSON had neither."""
    for scoring, tokenizer in (({}, "13a"), ({"target_lang": "zh"}, "zh"), ({"tokenize": "char"}, "char")):
        folder = translated(tmp_path, "own", "ght", BETTER, scoring=scoring)
        assert f"|tok:{tokenizer}|" in printed(capsys, folder)[2]


def test_sentences_are_found_again_as_ghat_score_was_told(tmp_path, capsys):
    pytest.importorskip("pysbd", reason="pysbd is not installed: pip install pysbd")
    pytest.importorskip("rouge_score", reason="rouge-score is not installed: pip install rouge-score")
    for split, score, signature in ((False, "60.00", "marked|"), (True, "100.00", "marked+pysbd")):
        more = {"scoring": {"split_sentences": split}, "metric": "rouge", "kind": "summarization"}
        summaries = {"hypotheses": ["No dogs. A man ran."] * 4, "references": ["A man ran. No dogs."] * 4}
        _, rows, out = printed(capsys, translated(tmp_path, "own", "ght", **summaries, **more))
        assert rows["ght"]["own ROUGE-L"].startswith(score) and f"sentences:{signature}" in out  # 3 of 5 in order


def language_model(tmp_path, system, window="blocks of 8", subwords=None, seed=1, test=18.604):
    folder = run_folder(tmp_path, "wikitext-103", system, kind="language_modeling", seed=seed)
    subsets = {
        split: {"perplexity": value, "word_perplexity": 2 * value, "tokens": 1000, "seconds": 4.0}
        for split, value in (("valid", 18.571), ("test", test))
    }
    content = {"window": window, "subwords": subwords, "machine": "CPU", "checkpoints": {"x": {"subsets": subsets}}}
    write(folder / "perplexity.json", content)
    return folder


@pytest.mark.parametrize("subwords,factor", [(None, 1), ("sentencepiece", 2)], ids=["words", "subwords"])
def test_table_6_has_perplexities_and_flops_without_the_output_layer(tmp_path, capsys, subwords, factor):
    titles, rows, out = printed(capsys, language_model(tmp_path, "ght", subwords=subwords))
    assert titles[4:] == ["tokens/s", "FLOPs", "wikitext-103 valid", "wikitext-103 test"]
    expected = ["250.0", "1340.1M", f"{factor * 18.571:.2f}", f"{factor * 18.604:.2f}"]
    assert [rows["ght"][title] for title in titles[4:]] == expected
    assert [rows["ght, published"][title] for title in titles[6:]] == ["18.57", "18.60"]
    assert f"perplexity per {'word' if subwords else 'token'}; blocks of 8" in out


def test_json_has_the_figures_unrounded(tmp_path, capsys):
    folder = translated(tmp_path, "multi30k.de-en", "ght", BETTER)
    results_table.main([str(folder), "--json"])
    (one,) = json.loads(capsys.readouterr().out)["rows"]
    assert one["scores"]["BLEU"] == [BLEU().corpus_score(BETTER, [REFERENCES]).score]
    assert one["flops"] == 1_995_500_000 and one["speed"] is None


def refused(capsys, *folders):
    return refusal_of(results_table.main, folders, capsys)


@pytest.mark.parametrize("score,shown", [(math.inf, "inf ± nan"), (math.nan, "nan ± nan")])
def test_a_seed_that_diverged_leaves_the_others_their_table(tmp_path, capsys, score, shown):
    folders = []
    for system, scores in (("transformer", [180.0, 182.0]), ("ght", [181.0, score])):
        for seed, perplexity in enumerate(scores, start=1):
            folders.append(language_model(tmp_path, system, seed=seed, test=perplexity))
    titles, rows, _ = printed(capsys, *folders)
    column = "wikitext-103 test"
    assert rows["transformer"][column] == "181.00 ± 1.41" and rows["ght"][column] == shown
    assert rows["ght"]["p (seeds)"] == ""


def test_two_trainings_of_one_system_and_seed_are_no_seeds(tmp_path, capsys):
    one, other = (
        translated(tmp_path / name, "iwslt14.de-en", "ght", texts) for name, texts in (("a", WORSE), ("b", BETTER))
    )
    message = refused(capsys, one, other)
    assert f"{one} and {other}: both are ght of iwslt14.de-en with seed 1" in message


def test_what_is_missing_is_named(tmp_path, capsys):
    folder = translated(tmp_path, "multi30k.de-en", "ght", BETTER)
    (folder / "stats.json").unlink()
    assert "stats.json: cannot be read" in refused(capsys, folder)
    assert "run.json: cannot be read" in refused(capsys, tmp_path / "none")
    write(folder / "run.json", {"set": "x"})
    assert "run.json: has no system, kind, seed" in refused(capsys, folder)


def test_runs_that_were_not_scored_alike_are_refused(tmp_path, capsys):
    one, two = (translated(tmp_path, "multi30k.de-en", system, BETTER) for system in ("ght", "ght-ps"))
    content = json.loads((two / "score.json").read_text())
    for changed in ({"lowercase": True}, {"target_lang": "ja"}, {"tokenize": "char"}, {"split_sentences": True}):
        write(two / "score.json", {**content, **changed})
        assert "not scored alike" in refused(capsys, one, two)
    three, four = (language_model(tmp_path, system, window=system) for system in ("ght", "ght-ps"))
    assert "other windows: ['ght', 'ght-ps']" in refused(capsys, three, four)


def test_a_log_of_another_test_set_is_refused(tmp_path, capsys):
    folder = translated(tmp_path, "multi30k.de-en", "ght", BETTER[:-1])
    assert "has 59 sentences, the references have 60" in refused(capsys, folder)
