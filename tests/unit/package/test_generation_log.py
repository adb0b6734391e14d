"""Reading fairseq-generate's log, and the table made of it."""

import argparse

import pytest
import stage_table
import torch
from commands import refusal_of
from sacrebleu.metrics import BLEU

from fairseq_ghat.checkpoints.files import write_checkpoint
from fairseq_ghat.evaluation.generation_log import (
    GenerationLog,
    GenerationLogError,
    TextError,
    common_target_lang,
    is_generation_log,
    read_generation_log,
    read_lines,
)

LOG = """2026 | INFO | fairseq_cli.generate | loading model
S-1\tein Hund
T-1\ta dog
H-1\t-0.25\ta dog runs
D-1\t-0.25\ta dog runs
H-1\t-0.9\tthe second best
D-1\t-0.9\tthe second best
S-0\tzwei Katzen
H-0\t-1.5e-05\ttwo cats sleep here
D-0\t-1.5e-05\ttwo cats sleep here
H-2\t-0.5\t
D-2\t-0.5\t
2026 | INFO | Translated 3 sentences (1,234 tokens) in 0.5s (6.00 sentences/s, 99.00 tokens/s)
"""


def write(tmp_path, text, name="log"):
    (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path / name


def test_best_hypotheses_in_the_order_of_the_test_set(tmp_path):
    log = read_generation_log(write(tmp_path, LOG))
    assert log.hypotheses == ["two cats sleep here", "a dog runs", ""]
    assert log.sentences_per_second == 6.0
    assert (log.references, log.checkpoint, log.detokenised) == (["a dog"], None, False)


def test_what_a_log_was_made_of(tmp_path):
    options = "2026 | INFO | g | {'common_eval': {'path': 'runs/a/slim.pt', 'quiet': False}}\n"
    log = read_generation_log(
        write(tmp_path, options + "T-0\ttwo cats\n" + LOG.replace("D-2\t-0.5\t", "D-2\t-0.5\ta."))
    )
    assert (log.references, log.checkpoint, log.detokenised) == (["two cats", "a dog"], "runs/a/slim.pt", True)


@pytest.mark.parametrize(
    "text,message",
    [
        (LOG.replace("H-0", "X-0").replace("D-0", "X-0"), "not the whole log"),
        ("", "not the whole log"),
        (LOG.replace("D-1", "X-1"), "lines D- are missing"),
        (LOG * 2, "has H-1 twice, as of two runs"),
        (LOG.replace("a dog runs", "\u2581a \u2581dog"), "marker \u2581 is left.*--remove-bpe sentencepiece"),
        (LOG.replace("a dog runs", "a do@@ g runs"), "marker @@ is left.*--remove-bpe subword_nmt"),
    ],
    ids=["first sentence missing", "empty", "D- of some", "two runs", "sentencepiece", "subword-nmt"],
)
def test_logs_that_would_score_wrongly_are_refused(tmp_path, text, message):
    with pytest.raises(GenerationLogError, match=message):
        read_generation_log(write(tmp_path, text))


SKIPPED = "2026 | WARNING | 13 samples have invalid sizes and will be skipped, max_positions=(6, 9)"


@pytest.mark.parametrize(
    "warnings,missing,message",
    [
        (SKIPPED, 1, "fairseq skipped 13 sentences that are too long: generate without --skip-invalid-size-inputs"),
        (SKIPPED, 2, "fairseq skipped 13 sentences"),
        (f"{SKIPPED}\n{SKIPPED.replace('13', '1,000')}", 1, "fairseq skipped 1,013 sentences"),
        (
            "",
            1,
            r"sentences \[1\] are missing; .*--required-batch-size-multiple 1, and --skip-invalid-size.* long ones",
        ),
    ],
    ids=["inner", "last", "of several buffers", "unknown"],
)
def test_missing_sentences_are_laid_to_what_the_log_says(tmp_path, warnings, missing, message):
    text = f"{warnings}\n{LOG.replace(f'H-{missing}', 'X-0').replace(f'D-{missing}', 'X-0')}"
    with pytest.raises(GenerationLogError, match=message):
        read_generation_log(write(tmp_path, text))


OPTIONS = "2026 | INFO | fairseq_cli.generate | {'task': {'source_lang': %s, 'target_lang': %s, 'truncate': False}}\n"
DICTIONARIES = "2026 | INFO | [en] dictionary: 8 types\n2026 | INFO | [ja] dictionary: 9 types\n"


@pytest.mark.parametrize(
    "text,language",
    [
        (OPTIONS % ("'de'", "'zh_CN'") + DICTIONARIES + LOG, "zh_CN"),
        (OPTIONS % ("None", "None") + DICTIONARIES + LOG, "ja"),
        (f"Namespace(source_lang='en', target_lang='ja', task='translation')\n{LOG}", "ja"),
        (OPTIONS % ("None", "None") + 2 * DICTIONARIES + LOG, None),
        (LOG.replace("ein Hund", "target_lang='ja' 2 samples have invalid sizes and will be skipped"), None),
    ],
    ids=["options", "dictionaries", "older fairseq", "many languages", "in a sentence"],
)
def test_target_language_is_that_of_the_options(tmp_path, text, language):
    assert read_generation_log(write(tmp_path, text)).target_lang == language


def test_logs_of_different_languages_are_refused():
    logs = {name: GenerationLog([], None, language) for name, language in (("a", "ja"), ("b", None), ("c", "ja"))}
    assert common_target_lang(logs) == "ja" and common_target_lang({"b": logs["b"]}) is None
    with pytest.raises(GenerationLogError, match="different target languages .a: ja, d: zh"):
        common_target_lang({"a": logs["a"], "d": GenerationLog([], None, "zh")})


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "latin-1"])
def test_a_text_of_another_encoding_is_named(tmp_path, encoding):
    path = tmp_path / "text"
    path.write_text("two cats\n" if encoding == "utf-16-le" else "zwei Mäuse\n", encoding=encoding)
    for read in (read_lines, is_generation_log, read_generation_log):
        with pytest.raises(TextError, match=f"{path}: is not UTF-8 .*; convert it"):
            read(path)


def test_only_a_line_feed_ends_a_line(tmp_path):
    """Other line ends occur inside sentences."""
    (tmp_path / "text").write_bytes("one\rtwo\u2028three\x0bfour\nfive\n".encode())
    assert read_lines(tmp_path / "text") == ["one\rtwo\u2028three\x0bfour", "five"]


def test_a_byte_order_mark_is_no_text(tmp_path):
    (tmp_path / "text").write_bytes(b"\xef\xbb\xbfw1 w2\r\nw3\r\n")
    assert read_lines(tmp_path / "text") == ["w1 w2", "w3"]


def test_a_text_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(TextError, match=f"{tmp_path}: cannot be read .Is a directory"):
        read_lines(tmp_path)


def test_pasted_lines_are_enough_unless_the_speed_is_wanted(tmp_path):
    pasted = write(tmp_path, "\n".join(line for line in LOG.splitlines() if line.startswith("H-")))
    log = read_generation_log(pasted)
    assert log.hypotheses == ["two cats sleep here", "a dog runs", ""] and log.sentences_per_second is None
    with pytest.raises(GenerationLogError, match="not the whole log"):
        read_generation_log(pasted, with_speed=True)


def test_detokenised_lines_are_preferred(tmp_path):
    """With --tokenizer moses, H- is tokenised and D- is not; the order of nbest is kept."""
    text = "H-0\t-1\tit 's fine .\nD-0\t-1\tit's fine.\nH-0\t-2\tsecond\nD-0\t-2\tsecond\n"
    assert read_generation_log(write(tmp_path, text)).hypotheses == ["it's fine."]


def test_logs_are_told_from_text(tmp_path):
    assert is_generation_log(write(tmp_path, LOG))
    assert not is_generation_log(write(tmp_path, "H-0 is not\na log\n", "text"))


def checkpoint(tmp_path, name, heads):
    weights = {
        "encoder.embed_tokens.weight": torch.zeros(50, 8),
        "encoder.layers.0.self_attn.q_proj.weight": torch.zeros(8, 8),
        "encoder.layers.0.fc1.weight": torch.zeros(16, 8),
    }
    if heads:
        mask = torch.tensor([h in heads for h in range(4)], dtype=torch.uint8)
        weights["encoder.layers.0.self_attn.head_mask"] = mask
    path = tmp_path / name
    write_checkpoint({"model": weights, "args": argparse.Namespace(encoder_attention_heads=4)}, path)
    return str(path)


def table(tmp_path, capsys, slim_log):
    reference = write(tmp_path, "two cats sleep here\na dog walks\nnothing\n", "ref.en")
    stages = []
    for name, heads, text in (("plain", (), LOG), ("voted", (1, 2), LOG), ("slim", (0,), slim_log)):
        log = write(tmp_path, text, f"{name}.log")
        stages += ["--stage", name, str(log), checkpoint(tmp_path, f"{name}.pt", heads)]
    assert stage_table.main(["--reference", str(reference), *stages]) == 0
    return capsys.readouterr().out


def test_table_of_stages(tmp_path, capsys):
    printed = table(tmp_path, capsys, LOG)
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in printed.splitlines() if line.startswith("|")]
    expected = BLEU().corpus_score(
        ["two cats sleep here", "a dog runs", ""], [["two cats sleep here", "a dog walks", "nothing"]]
    )
    assert cells[2:] == [
        [name, heads, "192", f"{expected.score:.1f}", "6.0"]
        for name, heads in (("plain", "1 x 4"), ("voted", "1 x 2"), ("slim", "1 x 1"))
    ]
    assert "sacreBLEU nrefs:1" in printed
    assert "voted and the slim model: identical" in printed


def test_table_has_the_tokenizer_of_the_language_in_the_logs(tmp_path, capsys):
    printed = table(tmp_path, capsys, OPTIONS % ("'en'", "'zh'") + LOG)
    assert "|tok:zh|" in printed


def test_table_says_when_slim_translates_otherwise(tmp_path, capsys):
    printed = table(tmp_path, capsys, LOG.replace("a dog runs", "a dog ran"))
    assert "different in 1 of 3 sentences" in printed


def test_table_refuses_a_log_of_another_test_set(tmp_path, capsys):
    reference = write(tmp_path, "one line\n", "ref.en")
    stage = ["--stage", "plain", str(write(tmp_path, LOG)), checkpoint(tmp_path, "c.pt", (1,))]
    assert "has 3 sentences" in refusal_of(stage_table.main, ["--reference", reference, *stage], capsys)


def test_unicode_line_ends_inside_a_sentence_do_not_cut_it(tmp_path):
    text = "two\u2028cats\x85sleep"
    log = read_generation_log(write(tmp_path, LOG.replace("two cats sleep here", text)))
    assert log.hypotheses[0] == text
