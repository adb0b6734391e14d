"""Exported models: scores and greedy translations of fairseq, whatever heads stay; broken exports are caught."""

import pytest
import torch

ctranslate2 = pytest.importorskip("ctranslate2", reason="ctranslate2 is not installed: pip install ctranslate2")

from ctranslate2.specs import model_spec
from fairseq.sequence_generator import SequenceGenerator
from tiny_models import TinyTask, build_grouped

from fairseq_ghat.export.ctranslate2_model import ExportMismatch, check_export, fairseq_scores, largest_difference
from fairseq_ghat.export.ctranslate2_spec import NotExportable, as_transformer_spec
from fairseq_ghat.modules.attention_layers import grouped_attentions

TASK = TinyTask()
MIXED = [1, 4, 2, 3, 4, 1]
EMPTIED = [0, 0, 2, 0, 3, 0]  # no head in the encoder


def pruned(counts, remove=True, **options):
    """A model whose attention layers keep so many of their 8 heads, the last ones; weights larger than at the start,
    so that heads matter."""
    model = build_grouped(**options)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    for layer, count in zip(grouped_attentions(model).values(), counts):
        if count < 8:
            mask = torch.tensor([float(head >= 8 - count) for head in range(8)])
            layer.set_head_mask(mask, may_be_empty=True)
            if remove:
                layer.remove_units(list(range(8 - count, 8)))
    return model.eval()


def sentences(count=12):
    generator = torch.Generator().manual_seed(1)
    made = []
    for _ in range(count):
        pair = []
        for _ in range(2):
            length = int(torch.randint(1, 9, (1,), generator=generator))
            words = torch.randint(4, 54, (length,), generator=generator)
            pair.append(torch.cat([words, torch.tensor([2])]))
        made.append(tuple(pair))
    return made


def save(spec, folder, quantization=None):
    folder.mkdir()
    spec.validate()
    spec.optimize(quantization)
    spec.save(str(folder))
    return str(folder)


def spec_of(model):
    return as_transformer_spec(model, TASK.source_dictionary, TASK.target_dictionary)


LEARNED = {"encoder_learned_pos": True, "decoder_learned_pos": True, "activation_fn": "gelu"}
MODELS = {  # heads kept, whether the others are removed, options
    "all": ([8] * 6, True, {}),
    "two": ([2] * 6, True, {}),
    "one": ([1] * 6, True, {}),
    "mixed": (MIXED, True, {}),
    "masked": (MIXED, False, {}),
    "emptied": (EMPTIED, True, {}),
    "emptied and masked": (EMPTIED, False, {}),
    "pre-norm": (MIXED, True, {"encoder_normalize_before": True, "decoder_normalize_before": True}),
    "learned positions": ([2] * 6, True, LEARNED),
    "embedding norm": ([2] * 6, True, {"layernorm_embedding": True, "no_scale_embedding": True}),
    "one side pre-norm": ([2] * 6, True, {"encoder_normalize_before": True}),
}


@pytest.mark.parametrize("counts,remove,options", MODELS.values(), ids=MODELS)
def test_scores_and_greedy_translations_are_fairseqs(tmp_path, counts, remove, options):
    model = pruned(counts, remove, **options)
    folder = save(spec_of(model), tmp_path / "model")
    pairs = sentences()
    assert check_export(folder, model, TASK, pairs) < 1e-4
    generator = SequenceGenerator([model], TASK.target_dictionary, beam_size=1, max_len_b=10)
    translator = ctranslate2.Translator(folder, device="cpu")
    for source, _ in pairs:
        net_input = {"src_tokens": source[None], "src_lengths": torch.tensor([len(source)])}
        ((best, *_),) = generator.generate([model], {"net_input": net_input})
        expected = [TASK.target_dictionary[index] for index in best["tokens"] if index != 2]
        words = [[TASK.source_dictionary[index] for index in source[:-1]]]
        (translation,) = translator.translate_batch(words, beam_size=1, max_decoding_length=10)
        assert translation.hypotheses[0] == expected


def test_padding_of_a_batch_does_not_change_the_scores(tmp_path):
    model, pairs = pruned(MIXED), sentences()
    together = fairseq_scores(model, TASK, pairs)
    alone = [fairseq_scores(model, TASK, [pair])[0] for pair in pairs]
    assert largest_difference(together, alone) < 1e-5
    assert [len(row) for row in together] == [len(target) for _, target in pairs]


def attentions(spec):
    for layer in spec.encoder.layer:
        yield layer.self_attention
    for layer in spec.decoder.layer:
        yield from (layer.self_attention, layer.attention)


def without_width_and_scale(spec):
    """As CTranslate2's own fairseq converter leaves them: it loads, and takes the width from the number of heads."""
    for attention in attentions(spec):
        attention.queries_scale = model_spec.OPTIONAL
        del attention.head_dim


def without_scaling(spec):
    for attention in attentions(spec):
        attention.queries_scale = 1.0


def of_another_head_count(spec):
    spec.encoder.num_heads = type(spec.encoder.num_heads)(2)


def of_a_shifted_position_table(spec):
    spec.encoder.position_encodings.encodings = spec.encoder.position_encodings.encodings[1:]


APART = "scores a token .* apart from fairseq, allowed is 0.001"


@pytest.mark.parametrize(
    "broken,heads,message",
    [
        (without_width_and_scale, 4, APART),
        (without_scaling, 4, APART),
        (of_another_head_count, 4, APART),
        (of_a_shifted_position_table, 4, APART),
        (without_width_and_scale, 1, "CTranslate2 cannot compute the exported model"),
    ],
)
def test_broken_exports_are_caught(tmp_path, broken, heads, message):
    model = pruned([heads] * 6)
    spec = spec_of(model)
    broken(spec)
    with pytest.raises(ExportMismatch, match=message):
        check_export(save(spec, tmp_path / "model"), model, TASK, sentences())


def test_quantization_leaves_the_model_alone(tmp_path):
    model = pruned([2] * 6)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    save(spec_of(model), tmp_path / "int8", "int8")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    "options,message",
    [
        ({"activation_fn": "tanh"}, "--activation-fn tanh"),
        ({"no_token_positional_embeddings": True}, "--no-token-positional-embeddings"),
        ({"decoder_output_dim": 32, "share_all_embeddings": False}, "--decoder-output-dim other than"),
    ],
    ids=["activation", "positions", "output"],
)
def test_what_has_no_counterpart_is_named(options, message):
    with pytest.raises(NotExportable, match=f"no counterpart of .*{message}"):
        spec_of(build_grouped(**options))


def test_differences_that_are_no_numbers_or_no_tokens_are_infinite():
    assert largest_difference([[0.0, -1.0]], [[0.0, -1.5]]) == 0.5
    assert largest_difference([[0.0]], [[float("nan")]]) == float("inf")
    assert largest_difference([[0.0, 1.0]], [[0.0]]) == float("inf")
