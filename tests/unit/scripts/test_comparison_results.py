"""Scores of a comparison: those of sacrebleu and ghat-perplexity; of all together means and significance."""

import argparse
import json
import random

import pytest
import torch
from experiments.comparison.plan import METHODS, Comparison, ScoredModel, starts, votes
from experiments.comparison.results import as_json, gather, hypotheses, read_score, references, spread, write_score
from sacrebleu.metrics import BLEU

from fairseq_ghat.checkpoints.files import write_checkpoint
from fairseq_ghat.cli import score
from fairseq_ghat.evaluation.generation_log import GenerationLogError
from fairseq_ghat.evaluation.scoring import score_systems

LOG = """T-1\ta dog walks home
H-1\t-0.25\ta dog runs home
D-1\t-0.25\ta dog runs home
T-0\ttwo cats sleep here .
H-0\t-0.5\ttwo cats sleep here .
D-0\t-0.5\ttwo cats sleep here.
2026 | INFO | Translated 2 sentences (12 tokens) in 0.5s (6.00 sentences/s, 99.00 tokens/s)
"""
TEXTS = ["two cats sleep here.", "a dog runs home"]
OF_DATA = ["two cats sleep here .", "a dog walks home"]


def model(tmp_path, log=LOG):
    made = ScoredModel(tmp_path / "voted.pt", tmp_path, "voted", translates=True)
    made.output.write_text(log)
    return made


def of_l1(tmp_path, **more):
    return Comparison("bin", "trained.pt", tmp_path, "translation", 8, ["l1"], languages=("de", "en"), **more)


def test_references_are_those_of_the_data_unless_raw_ones_are_given(tmp_path):
    translated = model(tmp_path)
    (tmp_path / "test.en").write_text("Two cats sleep here.\na dog walks home\n")
    assert hypotheses(translated) == TEXTS
    assert references(of_l1(tmp_path), translated.output) == [OF_DATA]
    raw = of_l1(tmp_path, reference=tmp_path / "test.en")
    assert references(raw, translated.output) == [["Two cats sleep here.", "a dog walks home"]]


def test_bleu_is_that_of_sacrebleu(tmp_path):
    translated = model(tmp_path)
    write_score(of_l1(tmp_path), translated)
    made = read_score(translated)
    assert made["score"] == pytest.approx(BLEU().corpus_score(TEXTS, [OF_DATA]).score)
    assert (made["metric"], made["sentences"]) == ("BLEU", 2) and "case:mixed" in made["signature"]


def test_tokenizer_is_that_of_the_target_language(tmp_path):
    translated = model(tmp_path)
    write_score(Comparison("bin", "trained.pt", tmp_path, "translation", 8, ["l1"], languages=("de", "zh")), translated)
    assert "|tok:zh|" in read_score(translated)["signature"]


def test_bleu_is_that_of_ghat_score_against_the_same_references(tmp_path, capsys):
    translated = model(tmp_path)
    raw = tmp_path / "test.en"
    raw.write_text("Two cats sleep here.\na dog runs home\n")
    write_score(of_l1(tmp_path, reference=raw, lowercase=True), translated)
    assert score.main([str(raw), str(translated.output), "--lowercase", "--json"]) == 0
    expected = json.loads(capsys.readouterr().out)["scores"]["BLEU"][str(translated.output)]
    made = read_score(translated)
    assert made["score"] == expected["score"] == pytest.approx(100)
    assert (made["interval"], made["signature"]) == (expected["interval"], expected["signature"])


@pytest.mark.parametrize(
    "log,message",
    [
        (LOG.replace("T-", "X-"), "voted.generate.log: holds no references, lines T-; give raw ones"),
        (LOG.split("2026")[0], "voted.generate.log: not the whole log"),
        (LOG.replace("T-0", "X-0"), "voted.generate.log has 2 sentences, the references have 1"),
    ],
    ids=["no references", "cut off", "one reference missing"],
)
def test_logs_that_do_not_fit_are_refused_and_leave_no_score(tmp_path, log, message):
    translated = model(tmp_path, log)
    with pytest.raises((GenerationLogError, ValueError), match=message):
        write_score(of_l1(tmp_path), translated)
    assert not translated.score.exists()


@pytest.mark.parametrize("subwords,expected,unit", [(None, 12.5, "token"), ("sentencepiece", 40.0, "word")])
def test_perplexity_is_per_word_where_the_text_is_in_subwords(tmp_path, subwords, expected, unit):
    translated = ScoredModel(tmp_path / "voted.pt", tmp_path, "voted", translates=False)
    figures = {"perplexity": 12.5, "word_perplexity": 40.0 if subwords else None, "tokens": 77}
    said = {"window": "blocks of 32 tokens", "subwords": subwords}
    said["checkpoints"] = {str(translated.checkpoint): {"subsets": {"valid": figures}}}
    translated.output.write_text(json.dumps(said))
    write_score(
        Comparison("bin", "t.pt", tmp_path, "language_modeling", 8, ["l1"], generate_args=["--gen-subset=valid"]),
        translated,
    )
    assert read_score(translated) == {
        "metric": "perplexity",
        "score": expected,
        "signature": f"per {unit}; blocks of 32 tokens",
        "tokens": 77,
    }


REFERENCES = [" ".join(f"w{(3 * i + j) % 20}" for j in range(6 + i % 4)) for i in range(40)]


def finished(given, scores, texts=None):
    """Writes what the commands would have made. scores, texts: (title, keep, seed, "voted" or "tuned") -> value."""
    weights = {"decoder.layers.0.self_attn.head_mask": torch.tensor([2, 2, 0, 0])}
    weights["decoder.layers.0.fc2.weight"] = torch.zeros(2, 3)
    write_checkpoint({"model": weights, "args": argparse.Namespace()}, given.checkpoint)
    written = [(vote.voted, (vote.title, vote.size, vote.seed, "voted")) for vote in votes(given)]
    written += [(vote.tuned, (vote.title, vote.size, vote.seed, "tuned")) for vote in votes(given)]
    written += [(start.model, (start.title,)) for start in starts(given)]
    for model, key in written:
        model.folder.mkdir(parents=True, exist_ok=True)
        content = {"metric": "BLEU", "score": scores(*key), "signature": "signed"}
        model.score.write_text(json.dumps(content))
        lines = [
            f"T-{i}\t{reference}\nH-{i}\t-1\t{text}" for i, (reference, text) in enumerate(zip(REFERENCES, texts(*key)))
        ]
        speed = "2026 | INFO | Translated 40 sentences (9 tokens) in 0.5s (6.00 sentences/s, 99.00 tokens/s)"
        model.output.write_text("\n".join([*lines, speed]) + "\n")
    for vote in votes(given):
        write_checkpoint({"model": weights, "args": argparse.Namespace()}, vote.voted.checkpoint)
        vote.tuned.checkpoint.parent.mkdir(exist_ok=True)
        write_checkpoint({"model": {}, "args": argparse.Namespace()}, vote.tuned.checkpoint)


def dropping(share, seed):
    """The references with words left out at random."""
    rng = random.Random(seed)
    return [" ".join(word for word in text.split() if rng.random() > share) for text in REFERENCES]


def translation(tmp_path, **more):
    options = {"methods": ["l1", "pillars", "random"], "seeds": [1, 2], "keep": [2, 3], "heads": 8, **more}
    return Comparison("bin", str(tmp_path / "trained.pt"), tmp_path, "translation", languages=("de", "en"), **options)


# By heads kept and method, the scores of two seeds after fine-tuning; after the vote they are ten less.
TUNED = {
    2: {"l1": (20.0, 24.0), "pillars": (21.0, 22.0), "random": (30.0, 30.0)},
    3: {"l1": (25.0, 26.0), "pillars": (28.0, 25.0), "random": (11.0, 12.0)},
}


def of_table(title, keep=None, seed=None, moment=None):
    if keep is None:
        return 33.25
    return TUNED[keep][title][seed - 1] - (10 if moment == "voted" else 0)


def texts_of(title, keep=None, seed=1, moment="tuned"):
    """Those of l1 with 2 heads are those of pillars; random leaves out more words."""
    share = {"random": 0.3}.get(title, 0.1)
    return dropping(share, seed if keep == 2 else title + str(seed))


@pytest.fixture
def results(tmp_path):
    given = translation(tmp_path)
    finished(given, of_table, texts_of)
    return given, gather(given)


def test_rows_are_ordered_within_a_budget_by_the_score_after_fine_tuning(results):
    _, gathered = results
    assert [(row.size, row.title) for row in gathered.rows] == [
        *((2, name) for name in ("random", "l1", "pillars")),  # 30, 22, 21.5
        *((3, name) for name in ("pillars", "l1", "random")),  # 26.5, 25.5, 11.5
    ]
    assert gathered.all_heads == [("all heads", 33.25, None)]
    assert (gathered.metric, gathered.signature) == ("BLEU", "signed")


def test_perplexities_are_ordered_the_other_way(tmp_path):
    given = translation(tmp_path)
    finished(given, of_table, texts_of)
    other = Comparison(**{**vars(given), "kind": "language_modeling"})
    for vote in votes(given):
        for here, there in ((vote.voted, "voted"), (vote.tuned, "tuned")):
            (here.folder / f"{there}.perplexity.json").write_text("{}")
    rows = gather(other).rows
    assert [row.title for row in rows if row.size == 2] == ["pillars", "l1", "random"]
    assert {row.p_value for row in rows} == {None}


def test_figures_are_those_of_the_seeds(results):
    given, gathered = results
    l1 = next(row for row in gathered.rows if (row.title, row.size) == ("l1", 2))
    assert (l1.seeds, l1.voted, l1.tuned) == ([1, 2], [10.0, 14.0], [20.0, 24.0])
    assert (l1.paper, l1.attentions_x_heads, l1.start) == (METHODS["l1"].paper, "1 x 2", "plain")
    assert (l1.feed_forwards_x_neurons, l1.parameters, gathered.parameters) == ("1 x 3", 6, 6)
    assert spread(l1.tuned) == {"mean": 22.0, "standard_deviation": pytest.approx(8**0.5)}  # (2^2 + 2^2) / (2 - 1)
    assert spread([20.0]) == {"mean": 20.0, "standard_deviation": None}
    plain = json.loads(json.dumps(as_json(given, gathered, {"--epochs": 1})))
    row = next(vote for vote in plain["rows"] if (vote["title"], vote["size"]) == ("l1", 2))
    assert row["after_the_vote"] == {"scores": [10.0, 14.0], "mean": 12.0, "standard_deviation": pytest.approx(8**0.5)}
    assert row["after_fine_tuning"]["scores"] == [20.0, 24.0] and row["p_value"] == l1.p_value
    assert plain["settings"] == {"--epochs": 1} and plain["baseline"] == "pillars" and plain["seeds"] == [1, 2]
    assert plain["versions"]["torch"].startswith("2.") and {"sacrebleu", "python"} < set(plain["versions"])


def test_significance_is_that_of_all_seeds_translations_together(results):
    _, gathered = results
    p_values = {(row.title, row.size): row.p_value for row in gathered.rows}
    assert p_values["pillars", 2] is None and p_values["pillars", 3] is None
    assert p_values["l1", 2] == 1  # the same translations
    assert p_values["random", 2] < 0.01
    systems = {name: texts_of(name, 3, 1) + texts_of(name, 3, 2) for name in ("pillars", "l1", "random")}
    expected = score_systems(systems, [REFERENCES * 2], "bleu")["BLEU"]
    assert p_values["l1", 3] == expected["l1"].p_value and 0 < p_values["l1", 3] < 1


def test_without_fine_tuning_the_votes_are_ordered_and_tested(tmp_path):
    given = translation(tmp_path, epochs=0, methods=["l1", "random"])

    def other_texts(title, keep=None, seed=1, moment="voted"):
        return texts_of(title, keep, seed) if moment == "voted" else REFERENCES

    finished(given, of_table, other_texts)
    gathered = gather(given)
    assert [row.title for row in gathered.rows if row.size == 2] == ["random", "l1"]
    assert all(row.tuned == [] for row in gathered.rows)
    # No row is called pillars: the first method is what the other is tested against.
    assert {row.title: row.p_value is None for row in gathered.rows if row.size == 2} == {
        "l1": True,
        "random": False,
    }
    assert next(row.p_value for row in gathered.rows if (row.title, row.size) == ("random", 2)) < 0.01
    assert as_json(given, gathered, {})["rows"][0]["after_fine_tuning"] is None
