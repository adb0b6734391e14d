"""Models built without their data."""

import copy

import pytest
import torch
from tiny_models import TinyTask, build_stock, lm_options, padded_batch, tiny_args

from fairseq_ghat.checkpoints.dictionary_task import DictionaryTask
from fairseq_ghat.checkpoints.model_options import NotGroupable
from fairseq_ghat.models.ghat_transformer_lm import GHATTransformerLanguageModel
from fairseq_ghat.profiling.model_building import build_arch, build_from_checkpoint
from fairseq_ghat.profiling.model_size import measure_model
from fairseq_ghat.profiling.parameters import non_embedding_parameters


def test_a_language_model_that_predicts_fewer_types_than_it_reads():
    """--output-dictionary-size."""
    weights = {
        "decoder.embed_tokens.weight": torch.zeros(24, 8),
        "decoder.output_projection.weight": torch.zeros(15, 8),
    }
    task = DictionaryTask.of_weights(weights)
    assert (len(task.source_dictionary), len(task.target_dictionary)) == (24, 15)
    weights["encoder.embed_tokens.weight"] = torch.zeros(30, 8)
    task = DictionaryTask.of_weights(weights)
    assert (len(task.source_dictionary), len(task.target_dictionary)) == (30, 24)


def test_columns_of_the_papers_table_1():
    """44M and 30M parameters without embeddings with 8 and 2 heads."""
    full, pruned = (non_embedding_parameters(build_arch("ghat_transformer", 100, keep).state_dict()) for keep in (0, 2))
    assert (round(full / 1e6), round(pruned / 1e6)) == (44, 30)
    assert full - pruned == 18 * (4 * 384 * 512 + 3 * 384)


@pytest.mark.parametrize(
    "arguments,message",
    [
        (("transformer", 100), "--arch transformer: allowed are ghat_transformer, ghat_transformer_iwslt"),
        (("ghat_transformer_tiny", 4), "--vocab 4: allowed is more than the 4 special symbols"),
        (("ghat_transformer_tiny", 100, 9), "--keep 9: allowed is 1 to 8"),
        (("ghat_transformer_lm_wiki103", 60_000), "--vocab 60000: .* adaptive softmax cutoffs up to 60000"),
    ],
)
def test_numbers_that_cannot_be_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        build_arch(*arguments)


def test_stock_checkpoint_computes_what_it_computed():
    args = tiny_args()
    args.arch = args._name = "transformer"
    stock = build_stock().eval()
    model = build_from_checkpoint({"model": stock.state_dict(), "args": args, "cfg": None}).eval()
    batch = padded_batch()
    with torch.no_grad():
        torch.testing.assert_close(model(**batch["net_input"])[0], stock(**batch["net_input"])[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("option", ["checkpoint_activations", "offload_activations"])
def test_options_of_memory_do_not_change_the_count_of_flops(option):
    plain, saving = tiny_args(), tiny_args(**{option: True})
    sizes = []
    for args in (plain, saving):
        args.arch = args._name = "transformer"
        state = {"model": build_stock().state_dict(), "args": args, "cfg": None}
        sizes.append(measure_model(build_from_checkpoint(state), 5))
    assert sizes[0] == sizes[1] and sizes[0]["flops"] > 0


@pytest.mark.parametrize("adaptive", [False, True])
def test_vocabulary_of_a_language_model_is_that_of_its_embedding(adaptive):
    cutoffs = {"adaptive_input": True, "adaptive_input_cutoff": "10,30", "adaptive_softmax_cutoff": "10,30"}
    args = lm_options(**(cutoffs if adaptive else {}))
    args.arch = args._name = "ghat_transformer_lm_tiny"
    model = GHATTransformerLanguageModel.build_model(copy.deepcopy(args), TinyTask()).eval()
    again = build_from_checkpoint({"model": model.state_dict(), "args": args, "cfg": None}).eval()
    tokens = torch.arange(4, 54)[None, :30]
    with torch.no_grad():
        assert torch.equal(model(tokens)[0], again(tokens)[0])


def test_other_models_are_refused():
    args = tiny_args()
    args.arch = args._name = "lstm"
    with pytest.raises(NotGroupable, match="its model is lstm"):
        build_from_checkpoint({"model": {}, "args": args, "cfg": None})
