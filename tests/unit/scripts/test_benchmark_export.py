"""Text that BLEU of the exports is taken of."""

from types import SimpleNamespace

import pytest

pytest.importorskip("ctranslate2", reason="ctranslate2 is not installed: pip install ctranslate2")

from experiments.exports import text_of

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
