"""What is checked of a comparison beside the command line: budgets, split, references, what a checkpoint allows."""

from pathlib import Path

import pytest
import torch
from experiments.comparison.inputs import BadInput, Trained, check_fits, selectable, split_of
from experiments.comparison.plan import Comparison
from fairseq.data import indexed_dataset

from fairseq_ghat.pruning.importance.registry import IMPORTANCES


def comparison(data="bin", kind="translation", **more):
    given = {"methods": ["disagreement"], "heads": 8, "languages": ("de", "en"), **more}
    return Comparison(str(data), "trained.pt", Path("out"), kind, **given)


def trained(*heads):
    return Trained("translation", ("de", "en"), {f"encoder.layers.{i}.self_attn": n for i, n in enumerate(heads)})


@pytest.fixture
def data(tmp_path):
    """A split named test of 3 sentences and one named valid of 2, whose pair is en-de."""
    for split, count in (("test", 3), ("valid", 2)):
        pair = "de-en" if split == "test" else "en-de"
        built = indexed_dataset.make_builder(str(tmp_path / f"{split}.{pair}.en.bin"), "mmap", 50)
        for _ in range(count):
            built.add_item(torch.IntTensor([5, 6, 2]))
        built.finalize(str(tmp_path / f"{split}.{pair}.en.idx"))
    return tmp_path


@pytest.mark.parametrize(
    "arguments,split",
    [
        ([], "test"),
        (["--beam", "4", "--gen-subset", "valid", "--fp16"], "valid"),
        (["--gen-subset=valid"], "valid"),
        (["--gen-subset", "a", "--gen-subset", "b"], "b"),
    ],
)
def test_the_split_is_that_of_the_arguments(arguments, split):
    assert split_of(arguments) == split


def test_methods_of_groups_know_no_budget_over_the_model():
    assert selectable("layer") == list(IMPORTANCES)
    assert set(IMPORTANCES) - set(selectable("model")) == {"pillars", "random-in-group"}


@pytest.mark.parametrize("split,lines", [("test", 3), ("valid", 2)])
def test_references_must_be_as_many_as_sentences(data, split, lines):
    """Also where the data was preprocessed for the other direction."""
    references = data / "references"
    what = comparison(data, reference=references, subset=split)
    references.write_text("a line\n" * lines)
    check_fits(what, trained(8, 8))
    references.write_text("a line\n" * (lines + 1))
    with pytest.raises(
        BadInput, match=f"--reference .*: has {lines + 1} lines; allowed is {lines}, the sentences of {split}"
    ):
        check_fits(what, trained(8, 8))


def test_the_fewest_heads_of_an_attention_limit_the_budget(data):
    check_fits(comparison(data, keeps=[3]), trained(8, 4))
    with pytest.raises(BadInput, match="--keep 4: allowed is 1 to 3 of 4 heads"):
        check_fits(comparison(data, keeps=[2, 4]), trained(8, 4))


def test_disagreement_is_regularised_where_all_attentions_have_as_many_heads(data):
    """It takes one number of groups, as many as heads."""
    check_fits(comparison(data, continue_epochs=1), trained(8, 8))
    check_fits(comparison(data, continue_epochs=1, methods=["l1"]), trained(8, 4))
    with pytest.raises(BadInput, match="--methods disagreement with --continue-epochs: .* CHECKPOINT has 4 to 8"):
        check_fits(comparison(data, continue_epochs=1), trained(8, 4))


@pytest.mark.parametrize(
    "given,flag", [({"reference": Path("test.en")}, "--reference"), ({"lowercase": True}, "--lower")]
)
def test_a_language_model_has_no_references(given, flag):
    check_fits(comparison(kind="language_modeling"), trained(8))
    with pytest.raises(BadInput, match=f"{flag}.*: allowed for translation"):
        check_fits(comparison(kind="language_modeling", **given), trained(8))
