"""Text that BLEU of the exports is taken of, and the table of what was measured."""

from types import SimpleNamespace

import pytest

pytest.importorskip("ctranslate2", reason="ctranslate2 is not installed: pip install ctranslate2")

from experiments.exports import described, text_of

from fairseq_ghat.profiling.interleaved_runs import Spread

SENTENCEPIECE = {"subwords": "sentencepiece", "tokenizer": None, "languages": ("de", "en")}
MOSES = {"subwords": "subword_nmt", "tokenizer": "moses", "languages": ("de", "en")}


@pytest.mark.parametrize(
    "pieces,prepared,text",
    [
        ("▁It ' s ▁a ▁dog .", SENTENCEPIECE, "It's a dog."),
        ("It &apos;s a do@@ g .", MOSES, "It's a dog."),
        ("a dog", {**MOSES, "subwords": None, "tokenizer": None}, "a dog"),
    ],
)
def test_subwords_and_tokens_become_text(pieces, prepared, text):
    assert text_of(pieces.split(" "), SimpleNamespace(**prepared)) == text


def test_the_table_has_sizes_beside_speed_and_quality():
    row = {"model": "cut", "engine": "fairseq", "heads": "9 x 8", "neurons": "3 x 79, 3 x 91", "parameters": 697150}
    row.update(bytes=2_100_000, sentences_per_second=Spread(71.46, 70, 72), ratio=Spread(0.94, 0.9, 1))
    row.update(bleu=46.41, greedy_as_fairseq=64)
    lines = described({"setting": "64 sentences", "machine": "CPU", "signature": "signed", "rows": [row]}).splitlines()
    titles, _, cells = ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:5])
    assert dict(zip(titles, cells)) == {
        "model": "cut",
        "engine": "fairseq",
        "attentions x heads": "9 x 8",
        "feed-forwards x neurons": "3 x 79, 3 x 91",
        "parameters without embeddings": "697,150",
        "file, MB": "2.1",
        "sentences/s": "71.5",
        "ratio to the first": "0.94 (0.90 to 1.00)",
        "BLEU": "46.4",
        "greedy translations as fairseq's": "64",
    }
    assert [*lines[:2], lines[-1]] == ["64 sentences", "CPU", "BLEU signed"]
