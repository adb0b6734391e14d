"""FLOPs against sums worked out by hand from the shapes, and the figures of the paper."""

import pytest
from tiny_models import TinyTask, build_grouped, keep_heads, lm_options

from fairseq_ghat.models.ghat_transformer_lm import GHATTransformerLanguageModel
from fairseq_ghat.modules.attention_layers import grouped_attentions, remove_heads
from fairseq_ghat.profiling.flops import Flops, count_flops
from fairseq_ghat.profiling.model_building import build_arch


def attention(length, width, share=1.0):
    """Four projections, scores and weighted sum, of the heads that stay."""
    return share * (4 * width**2 * length + 2 * length**2 * width)


def feed_forward(length, width, inner):
    return 2 * width * inner * length


def norm(length, width):
    """As fvcore counts a layer norm: five operations an element."""
    return 5 * length * width


def transformer(length, layers, width, inner, vocabulary, share=1.0):
    encoder = attention(length, width, share) + feed_forward(length, width, inner) + 2 * norm(length, width)
    decoder = 2 * attention(length, width, share) + feed_forward(length, width, inner) + 3 * norm(length, width)
    features = layers * (encoder + decoder)
    return Flops(int(features + length * width * vocabulary), int(features))


@pytest.mark.parametrize("length", [1, 7, 30])
def test_translation_model_by_hand(length):
    assert count_flops(build_grouped(), length) == transformer(length, 2, 64, 128, 54)


def test_heads_voted_out_cost_as_little_as_heads_removed():
    masked, slim = keep_heads(build_grouped(), [0, 1]), build_grouped()
    remove_heads(slim, {name: [0, 1] for name in grouped_attentions(slim)})
    assert count_flops(masked) == count_flops(slim) == transformer(30, 2, 64, 128, 54, share=1 / 4)


def test_language_model_by_hand():
    """Tiny arch: 2 layers, width 64, post-norm; one attention and two norms a layer."""
    layer = attention(30, 64) + feed_forward(30, 64, 128) + 2 * norm(30, 64)
    assert count_flops(build_arch("ghat_transformer_lm_tiny", 200)) == Flops(2 * layer + 30 * 64 * 200, 2 * layer)


def test_adaptive_softmax_is_the_output_layer():
    """54 types cut at 10 and 30: a head of 10 words and 2 clusters; clusters of 20 and 24 words, of width 16 and 4."""
    args = lm_options(adaptive_softmax_cutoff="10,30", adaptive_softmax_factor=4)
    flops = count_flops(GHATTransformerLanguageModel.build_model(args, TinyTask()))
    layer = attention(30, 64) + feed_forward(30, 64, 128) + 2 * norm(30, 64)
    output = 30 * (64 * (10 + 2) + 64 * 16 + 16 * 20 + 64 * 4 + 4 * 24)
    assert flops == Flops(2 * layer + output, 2 * layer)


def test_columns_of_the_papers_table_1():
    """Base size with all and with 2 of 8 heads, at the vocabulary that meets both figures."""
    full, pruned = (count_flops(build_arch("ghat_transformer", 42_672, keep)) for keep in (0, 2))
    assert full == transformer(30, 6, 512, 2048, 42_672)
    assert pruned == transformer(30, 6, 512, 2048, 42_672, share=1 / 4)
    assert (round(full.total / 1e6), round(pruned.total / 1e6)) == (1996, 1558)
