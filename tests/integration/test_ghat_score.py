"""ghat-score on whole and pasted logs, of both programs, and on text; tokenizers, sentences, and what it refuses."""

import json
import sys

import pytest
from commands import refusal, run
from sacrebleu.metrics import BLEU

from fairseq_ghat.cli import score
from fairseq_ghat.evaluation.generation_log import read_generation_log

REFERENCES = ["two cats sleep here", "a dog runs home", "it's fine."]
CHINESE = ["今天天气很好", "他住在北京"]
LOG = """2026 | INFO | fairseq_cli.generate | loading model
H-1\t-0.25\ta dog runs
H-0\t-0.5\ttwo cats sleep here
H-2\t-0.5\tit 's fine .
"""
SPEED = "2026 | INFO | Translated 3 sentences (1,234 tokens) in 0.5s (6.00 sentences/s, 99.00 tokens/s)\n"


@pytest.fixture
def files(tmp_path):
    contents = {
        "test.en": "\n".join(REFERENCES) + "\n",
        "whole.log": LOG + SPEED,
        "pasted.log": LOG,
        "system.txt": "two cats sleep here\na dog runs\nit 's fine .\n",
        "perfect.txt": "\n".join(REFERENCES) + "\n",
        "short.txt": "one line\n",
        "pieces.txt": "\u2581two \u2581cats\n" * 3,
        "twice.log": (LOG + SPEED) * 2,
        "pieces.log": "H-0\t-1\t\u2581two \u2581cats\n",
        "test.zh": "\n".join(CHINESE) + "\n",
        "zh.txt": "\n".join(CHINESE).replace("很", "不") + "\n",
        "zh.log": f"{{'target_lang': 'zh'}}\nH-0\t-1\t{CHINESE[0].replace('很', '不')}\nH-1\t-1\t{CHINESE[1]}\n",
        "ja.log": f"{{'target_lang': 'ja'}}\nH-0\t-1\t{CHINESE[0]}\nH-1\t-1\t{CHINESE[1]}\n",
        "references.jsonl": json.dumps(["The dog barked.\nNobody came."]) + "\n",
        "marked.txt": "Nobody came.<q>The dog barked.\n",
        "unmarked.txt": "Nobody came. The dog barked.\n",
    }
    for name, content in contents.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    (tmp_path / "utf16.txt").write_text(contents["system.txt"], encoding="utf-16")
    return tmp_path


def scored(capsys, files, *arguments, references="test.en"):
    """What --json prints, system's file name -> score."""
    words = [str(files / word) if (files / word).exists() else word for word in arguments]
    assert score.main([str(files / references), *words, "--resamples", "20", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    ((metric, of),) = list(found["scores"].items())[:1]
    return found, metric, {path.rpartition("/")[2]: one["score"] for path, one in of.items()}


def test_logs_pasted_lines_and_text_score_alike(files, capsys):
    found, metric, scores = scored(capsys, files, "whole.log", "pasted.log", "system.txt", "perfect.txt")
    expected = BLEU().corpus_score(["two cats sleep here", "a dog runs", "it 's fine ."], [REFERENCES]).score
    assert metric == "BLEU" and scores["perfect.txt"] == pytest.approx(100)
    assert scores["whole.log"] == scores["pasted.log"] == scores["system.txt"] == pytest.approx(expected)
    speeds = {path.rpartition("/")[2]: speed for path, speed in found["sentences_per_second"].items()}
    assert speeds == {"whole.log": 6.0, "pasted.log": None, "system.txt": None, "perfect.txt": None}


def test_moses_is_undone_on_demand(files, capsys):
    pytest.importorskip("sacremoses", reason="sacremoses is not installed: pip install sacremoses")
    _, _, scores = scored(capsys, files, "pasted.log", "--detokenize", "en")
    expected = BLEU().corpus_score(["two cats sleep here", "a dog runs", "it's fine."], [REFERENCES]).score
    assert scores["pasted.log"] == pytest.approx(expected)


def test_command_prints_a_table_with_intervals_and_signature(files):
    out = run(f"ghat-score {files}/test.en {files}/whole.log {files}/perfect.txt --lowercase --resamples 20")
    rows = [line for line in out.splitlines() if line.startswith("|")]
    assert "perfect.txt" in rows[-1] and "100.00 ± 0.00" in rows[-1] and "\u00b1" in rows[-2]
    titles, *cells = [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows]
    assert titles[3:] == ["precisions", "BP", "ratio", "hyp_len", "ref_len"]
    # 4 and 3 tokens match, and of "it 's fine ." against "it's fine ." 2 of 4; 3 and 2 pairs, 1 of 3; 2 and 1
    # triples, none of 2; 1 of 2 fours. Lengths are 4 + 3 + 4 against 4 + 4 + 3.
    assert cells[1][3:] == ["81.8/75.0/60.0/50.0", "1.000", "1.000", "11", "11"]
    assert cells[2][3:] == ["100.0/100.0/100.0/100.0", "1.000", "1.000", "11", "11"]
    assert "BLEU nrefs:1|bs:20|seed:12345|case:lc" in out


def test_rouge_has_three_scores(files, capsys):
    pytest.importorskip("rouge_score", reason="rouge-score is not installed: pip install rouge-score")
    found, metric, _ = scored(capsys, files, "perfect.txt", "--metric", "rouge")
    assert list(found["scores"]) == ["ROUGE-1", "ROUGE-2", "ROUGE-L"]
    assert all(of["score"] == pytest.approx(100) for by in found["scores"].values() for of in by.values())


def test_error_rates_are_of_words_and_of_phonemes(files, capsys):
    """The log lacks a word of the second line, and has four others for the two of the third: 1 + 4 edits of 10."""
    pytest.importorskip("jiwer", reason="jiwer is not installed: pip install jiwer")
    made, _, wer = scored(capsys, files, "whole.log", "perfect.txt", "--metric", "error-rate")
    per = {path.rpartition("/")[2]: one["score"] for path, one in made["scores"]["PER"].items()}
    assert wer == {"whole.log": pytest.approx(200 / 3), "perfect.txt": 0}
    assert per == {"whole.log": pytest.approx(50), "perfect.txt": 0}
    assert made["metric"] == "error-rate" and made["target_lang"] is None
    out = run(f"ghat-score {files}/test.en {files}/whole.log --metric error-rate --resamples 5")
    titles = [cell.strip() for cell in out.splitlines()[0].split("|")[1:-1]]
    assert titles == ["system", "WER (lower is better)", "p", "PER (lower is better)", "p"]
    assert "PER nrefs:1|bs:5|seed:12345|counts:edits|jiwer:" in out


def test_missing_package_is_named(files, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "jiwer", None)
    message = refusal(f"ghat-score {files}/test.en {files}/whole.log --metric error-rate", capsys)
    assert "jiwer is not installed: pip install rouge-score pysbd sacremoses jiwer" in message


def test_both_programs_of_fairseq_and_their_language(corpus, stock_checkpoint, tmp_path, capsys):
    """The same sentences translated by fairseq-generate and by fairseq-interactive."""
    raw, logs = corpus.parent, ("generate.log", "interactive.log")
    model = f"{corpus} --path {stock_checkpoint} --user-dir fairseq_ghat --beam 4 --cpu --batch-size 8"
    for name, further in zip(logs, ("--required-batch-size-multiple 1", "--buffer-size 8")):
        program = f"python scripts/with_log.py fairseq-{name.partition('.')[0]}"
        log = run(f"{program} {model} {further}", STDIN=(raw / "test.xx").read_text())
        assert "\nS-0\t" in log and "\nD-0\t" in log
        (tmp_path / name).write_text(log)
    generated, interactive = (read_generation_log(tmp_path / name) for name in logs)
    assert generated.hypotheses == interactive.hypotheses and any(generated.hypotheses)
    (tmp_path / "test.en").write_bytes((raw / "test.yy").read_bytes())
    made, _, scores = scored(capsys, tmp_path, *logs)
    assert made["target_lang"] == "yy" and scores["generate.log"] == scores["interactive.log"]


@pytest.mark.parametrize("command", ["fairseq-generate", "fairseq-interactive"])
def test_a_run_that_skipped_sentences_says_so(corpus, stock_checkpoint, tmp_path, capsys, command):
    """Of every sentence but the shortest ones, the last one among them."""
    options = "--max-source-positions 4 --skip-invalid-size-inputs-valid-test --cpu --user-dir fairseq_ghat"
    sources = (corpus.parent / "test.xx").read_text().splitlines() + ["a1 a2 a3 a4 a5"]
    log = run(
        f"{command} {corpus} --path {stock_checkpoint} {options} --required-batch-size-multiple 1 --batch-size 4 "
        f"{'--buffer-size 8' if command == 'fairseq-interactive' else ''}",
        STDIN="\n".join(sources) + "\n",
    )
    (tmp_path / "log").write_text(log)
    skipped = sum(len(line.split()) > 3 for line in (sources if command == "fairseq-interactive" else sources[:-1]))
    message = refusal(f"ghat-score {corpus.parent}/test.yy {tmp_path}/log", capsys)
    assert f"log: fairseq skipped {skipped} sentences that are too long: generate without --skip-invalid" in message


@pytest.mark.parametrize("arguments", [("zh.txt", "--target-lang", "zh_CN"), ("zh.log",), ("zh.txt", "zh.log")])
def test_tokenizer_is_that_of_the_target_language(files, capsys, arguments):
    made, _, scores = scored(capsys, files, *arguments, references="test.zh")
    expected = BLEU(trg_lang="zh").corpus_score([CHINESE[0].replace("很", "不"), CHINESE[1]], [CHINESE]).score
    assert all(one == pytest.approx(expected) for one in scores.values()) and made["target_lang"] in ("zh", "zh_CN")


def test_target_language_is_that_of_prepared_data(files, capsys):
    (files / "raw").mkdir()
    (files / "test.zh").rename(files / "raw" / "test.zh")
    names = {"set": "own", "task": "translation", "source_lang": "en", "target_lang": "zh", "until": "raw"}
    more = {"subwords": None, "tokenizer": None, "lowercase": False, "vocab": None, "joined_dictionary": True}
    empty = {"sentences": {}, "references": {}, "sha256": {}}
    (files / "prepared.json").write_text(json.dumps({**names, **more, **empty}))
    made, _, scores = scored(capsys, files, "zh.txt", references="raw/test.zh")
    assert made["target_lang"] == "zh" and scores["zh.txt"] > 50
    (files / "prepared.json").write_text("{}")
    assert "prepared.json: is damaged" in refusal(f"ghat-score {files}/raw/test.zh {files}/zh.txt", capsys)
    assert scored(capsys, files, "zh.txt", "--tokenize", "char", references="raw/test.zh")[2]["zh.txt"] > 50


def test_text_without_spaces_is_warned_of_and_given_another_tokenizer(files):
    out = run(f"ghat-score {files}/test.zh {files}/zh.txt --resamples 5")
    assert "the references have almost no spaces" in out and "--target-lang (ja, ko, zh) or --tokenize" in out
    out = run(f"ghat-score {files}/test.zh {files}/zh.txt --resamples 5 --tokenize char")
    assert "no spaces" not in out and "tok:char" in out


def test_summaries_are_compared_by_sentence(files):
    """Both sentences match in the other order: as one sequence, 3 of 5 words would."""
    pytest.importorskip("rouge_score", reason="rouge-score is not installed: pip install rouge-score")
    out = run(f"ghat-score {files}/references.jsonl {files}/marked.txt --metric rouge --resamples 5")
    assert out.count("100.00 ± 0.00") == 2  # ROUGE-1 and -L; one pair of words is another
    assert "ROUGE-L nrefs:1|bs:5|seed:12345|kind:rougeLsum|sentences:marked|stem:porter" in out
    pytest.importorskip("pysbd", reason="pysbd is not installed: pip install pysbd")
    more = f"{files}/marked.txt {files}/unmarked.txt --metric rouge --resamples 5 --split-sentences"
    out = run(f"ghat-score {files}/references.jsonl {more}")
    assert out.count("100.00 ± 0.00") == 4 and "sentences:marked+pysbd-" in out


@pytest.mark.parametrize(
    "arguments,message",
    [
        (("none.log",), "SYSTEM none.log: no such file"),
        (("utf16.txt",), "utf16.txt: is not UTF-8"),
        (("short.txt",), "short.txt has 1 sentences, the references have 3"),
        (("pieces.log",), "marker \u2581 is left in the hypotheses"),
        (("pieces.txt",), "marker \u2581 is left in the hypotheses"),
        (("twice.log",), "twice.log: has H-1 twice, as of two runs"),
        (("whole.log", "whole.log"), "given twice"),
        (("whole.log", "--resamples", "0"), "--resamples 0: allowed is 1 or more"),
        (("whole.log", "--tokenize", "nonsense"), "--tokenize nonsense: allowed is none, zh, 13a"),
        (("whole.log", "--split-sentences"), "--split-sentences: only with --metric rouge"),
        (("whole.log", "--metric", "rouge", "--target-lang", "ja"), "--target-lang: only with --metric bleu"),
        (("whole.log", "--metric", "error-rate", "--lowercase"), "--lowercase: only with --metric bleu"),
        (("whole.log", "--metric", "error-rate", "--tokenize", "char"), "--tokenize: only with --metric bleu"),
        (("whole.log", "--metric", "rouge", "--tokenize", "char"), "--tokenize: only with --metric bleu"),
        (("zh.log", "ja.log"), "different target languages"),
    ],
    ids=[
        *(
            "missing",
            "UTF-16",
            "length",
            "pieces",
            "pieces of text",
            "two runs",
            "twice",
            "resamples",
            "tokenizer",
            "BLEU",
            "ROUGE",
        ),
        *("case", "characters", "characters of ROUGE", "languages"),
    ],
)
def test_what_cannot_be_scored_is_refused(files, capsys, arguments, message):
    words = [str(files / word) if (files / word).exists() else word for word in arguments]
    with pytest.raises(SystemExit):
        score.main([str(files / "test.en"), *words])
    assert message in capsys.readouterr().err


def test_mecab_that_is_missing_is_named(files, capsys, monkeypatch):
    monkeypatch.setattr("sacrebleu.tokenizers.tokenizer_ja_mecab.MeCab", None)
    message = refusal(f"ghat-score {files}/test.zh {files}/ja.log", capsys)
    assert "--tokenize ja-mecab (of target language ja): cannot be used" in message
    assert 'pip install "sacrebleu[ja]"; allowed is none, zh' in message


def test_summaries_that_mark_no_sentences_are_refused(files, capsys):
    pytest.importorskip("rouge_score", reason="rouge-score is not installed: pip install rouge-score")
    message = refusal(f"ghat-score {files}/references.jsonl {files}/unmarked.txt --metric rouge", capsys)
    assert "unmarked.txt does not mark sentences" in message and "give --split-sentences" in message


def test_references_that_are_not_there_are_refused(files, capsys):
    with pytest.raises(SystemExit):
        score.main(["none.en", str(files / "whole.log")])
    assert "REFERENCES none.en: no such file" in capsys.readouterr().err


def test_references_of_another_encoding_are_named(files, capsys):
    log = refusal(f"ghat-score {files}/utf16.txt {files}/whole.log", capsys)
    assert f"{files}/utf16.txt: is not UTF-8" in log
