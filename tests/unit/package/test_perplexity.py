"""Perplexity per token and per word, against numbers worked out by hand and a token-by-token oracle."""

import argparse
import math
import random

import pytest
import sentencepiece
import torch
from fairseq.data import Dictionary, MonolingualDataset, TokenBlockDataset
from fairseq.models.transformer_lm import TransformerLanguageModel, TransformerLanguageModelConfig
from fairseq.tasks.language_modeling import LanguageModelingConfig, LanguageModelingTask
from torch import nn

from fairseq_ghat.evaluation.perplexity import Perplexity, measure_perplexity, word_units


def dictionary_of(*symbols):
    found = Dictionary()
    for symbol in symbols:
        found.add_symbol(symbol)
    return found


def test_perplexities_by_hand():
    """Three words cut into six tokens of 2 bits each: 12 bits, 4 a word."""
    measured = Perplexity(tokens=6, words=3, bits_per_token=2.0, seconds=1.0)
    assert measured.perplexity == 4.0 and measured.word_perplexity == 16.0
    assert Perplexity(6, None, 2.0, 1.0).word_perplexity is None


def test_words_of_a_thousand_bits_do_not_end_the_measurement():
    """As of Chinese, whose lines have no spaces."""
    assert Perplexity(tokens=1023, words=1, bits_per_token=1.0, seconds=1.0).word_perplexity == 2.0**1023
    assert Perplexity(tokens=1024, words=1, bits_per_token=1.0, seconds=1.0).word_perplexity == math.inf
    assert math.isnan(Perplexity(tokens=6, words=3, bits_per_token=math.nan, seconds=1.0).word_perplexity)


@pytest.mark.parametrize(
    "subwords,counted",
    [
        ("sentencepiece", {"\u2581the", "\u2581", "</s>"}),
        ("subword_nmt", {"\u2581the", "\u2581", "s", "<unk>", "</s>"}),
    ],
)
def test_which_symbols_are_words(subwords, counted):
    dictionary = dictionary_of("\u2581the", "\u2581", "s", "wor@@")
    units = word_units(dictionary, subwords)
    special = {dictionary.bos(), dictionary.pad()}  # neither is ever scored
    assert {dictionary[n] for n in range(len(dictionary)) if units[n] and n not in special} == counted


@pytest.mark.parametrize("subwords,mark", [("sentencepiece", "\u2581"), ("subword_nmt", "@@")])
def test_dictionary_without_the_marks_is_refused(subwords, mark):
    with pytest.raises(ValueError, match=f"no symbol of the dictionary has the mark {mark} of {subwords}"):
        word_units(dictionary_of("the", "cat"), subwords)


def test_words_of_sentencepiece_are_those_between_spaces(tmp_path):
    rng = random.Random(1)
    words = ["".join(rng.choice("abcde") for _ in range(rng.randrange(1, 9))) for _ in range(60)]
    lines = [" ".join(rng.choice(words) for _ in range(rng.randrange(1, 15))) for _ in range(300)]
    (tmp_path / "text").write_text("\n".join(lines))
    sentencepiece.SentencePieceTrainer.train(
        input=str(tmp_path / "text"), model_prefix=str(tmp_path / "m"), vocab_size=40, minloglevel=2
    )
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "m.model"))
    encoded = [pieces.encode(line, out_type=str) for line in lines]
    dictionary = dictionary_of(*{piece for line in encoded for piece in line})
    units = word_units(dictionary, "sentencepiece")
    tokens = torch.cat([dictionary.encode_line(" ".join(line)).long() for line in encoded])
    assert int(units[tokens].sum()) == len(" ".join(lines).split()) + len(lines)


# ---------------------------------------------------------------------- measured on a model


class Text:
    """A tiny untrained language model, and a text of 70 tokens in 9 lines, at a stride."""

    def __init__(self, stride, **options):
        rng = random.Random(2)
        self.dictionary = dictionary_of(*(f"{'' if n % 2 else chr(0x2581)}w{n}" for n in range(20)))
        lines = [[rng.randrange(4, 24) for _ in range(n)] + [2] for n in (5, 11, 1, 7, 13, 3, 9, 8, 4)]
        self.tokens = torch.tensor(sum(lines, []))
        cfg = LanguageModelingConfig(data="", tokens_per_sample=stride, **options)
        self.task = LanguageModelingTask(cfg, self.dictionary)
        blocks = TokenBlockDataset(
            [torch.tensor(line) for line in lines], [len(line) for line in lines], stride, 1, 2, "none", True
        )
        self.task.datasets["test"] = MonolingualDataset(
            blocks,
            blocks.sizes,
            self.dictionary,
            self.dictionary,
            False,
            True,
            ["future"],
            add_bos_token=cfg.add_bos_token,
        )
        torch.manual_seed(4)
        args = argparse.Namespace(**vars(TransformerLanguageModelConfig()))
        args.__dict__.update(
            decoder_layers=2, decoder_embed_dim=16, decoder_input_dim=16, decoder_output_dim=16, dropout=0.1,
            decoder_ffn_embed_dim=16, decoder_attention_heads=2, max_target_positions=16, tokens_per_sample=16,
        )  # fmt: skip
        self.model = TransformerLanguageModel.build_model(args, self.task).eval()
        nn.init.normal_(self.model.decoder.output_projection.weight)  # unequal probabilities

    def bits(self, token, begin, first=()):
        """-log2 p of a token by its own forward pass over what stands before it from begin on."""
        before = torch.tensor([*first, *[2, *self.tokens[:token]][begin : token + 1]])[None]
        scores = self.model(before)[0][0, -1].log_softmax(-1)
        return -float(scores[self.tokens[token]]) / math.log(2)


@pytest.mark.parametrize("window,stride", [(0, 16), (0, 7), (9, 7), (15, 1), (3, 13)])
def test_every_token_once_with_the_context_of_its_window(window, stride):
    text = Text(stride)
    with torch.no_grad():
        expected = 0.0
        for token in range(len(text.tokens)):
            begin = token - token % stride - window  # its stride, and the window before it
            expected += text.bits(token, max(0, begin))
    found = measure_perplexity(text.task, text.model, "test", window, max_tokens=64, subwords="sentencepiece")
    assert found.tokens == 70
    assert found.bits_per_token == pytest.approx(expected / 70, rel=1e-5)
    assert found.words == sum(int(t) == 2 or (int(t) - 4) % 2 == 0 for t in text.tokens)


def test_begin_of_sentence_is_read_and_not_scored():
    text = Text(15, add_bos_token=True)
    with torch.no_grad():
        expected = sum(text.bits(token, token - token % 15, first=[0]) for token in range(70)) / 70
    found = measure_perplexity(text.task, text.model, "test", max_tokens=64, subwords="sentencepiece")
    assert (found.tokens, found.bits_per_token) == (70, pytest.approx(expected, rel=1e-5))


def test_text_that_fairseq_would_leave_out_is_refused():
    """A block longer than the model's positions is skipped by fairseq-eval-lm without a word."""
    text = Text(20)
    with pytest.raises(ValueError, match="60 of 70 tokens of test were not scored.*16 positions"):
        measure_perplexity(text.task, text.model, "test", max_tokens=64)
