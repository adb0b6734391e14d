"""What is checked of a comparison: budgets, split, references, what a checkpoint allows, and the folder of results."""

import json
import re
from pathlib import Path

import pytest
import torch
from experiments.checks import BadInput
from experiments.comparison.inputs import check_fits, claim_folder
from experiments.comparison.plan import METHODS, Comparison, selectable
from fairseq.data import indexed_dataset


def comparison(data="bin", kind="translation", **more):
    options = {"methods": ["disagreement"], "heads": 8, "languages": ("de", "en"), **more}
    return Comparison(str(data), "trained.pt", Path("out"), kind, **options)


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
    assert comparison(generate_args=arguments).subset == split


def test_methods_of_groups_know_no_budget_over_the_model():
    assert selectable("layer") == list(METHODS)
    assert set(METHODS) - set(selectable("model")) == {"pillars", "random-in-group"}


@pytest.mark.parametrize("split,lines", [("test", 3), ("valid", 2)])
def test_references_must_be_as_many_as_sentences(data, split, lines):
    """Also where the data was preprocessed for the other direction."""
    references = data / "references"
    given = comparison(data, reference=references, generate_args=["--gen-subset", split])
    references.write_text("a line\n" * lines)
    check_fits(given)
    references.write_text("a line\n" * (lines + 1))
    with pytest.raises(
        BadInput, match=f"--reference .*: has {lines + 1} lines; allowed is {lines}, the sentences of {split}"
    ):
        check_fits(given)


def test_the_fewest_heads_of_an_attention_limit_the_budget(data):
    check_fits(comparison(data, keep=[3], fewest_heads=4))
    with pytest.raises(BadInput, match="--keep 4: allowed is 1 to 3 of 4 heads"):
        check_fits(comparison(data, keep=[2, 4], fewest_heads=4))


def test_disagreement_is_regularised_where_all_attentions_have_as_many_heads(data):
    """It takes one number of groups, as many as heads."""
    check_fits(comparison(data, continue_epochs=1))
    check_fits(comparison(data, continue_epochs=1, methods=["l1"], fewest_heads=4))
    with pytest.raises(BadInput, match="--methods disagreement with --continue-epochs: .* CHECKPOINT has 4 to 8"):
        check_fits(comparison(data, continue_epochs=1, fewest_heads=4))


def test_bleu_can_be_computed_in_the_end(data, monkeypatch):
    monkeypatch.setattr("sacrebleu.tokenizers.tokenizer_ja_mecab.MeCab", None)
    with pytest.raises(ValueError, match="--tokenize ja-mecab .of target language ja.: cannot be used"):
        check_fits(comparison(data, languages=("de", "ja")))


@pytest.mark.parametrize(
    "given,flag", [({"reference": Path("test.en")}, "--reference"), ({"lowercase": True}, "--lower")]
)
def test_a_language_model_has_no_references(given, flag):
    check_fits(comparison(kind="language_modeling"))
    with pytest.raises(BadInput, match=f"{flag}.*: allowed for translation"):
        check_fits(comparison(kind="language_modeling", **given))


@pytest.fixture
def made(tmp_path):
    """Makes a comparison of given settings, with a checkpoint of given content, in a folder that has begun or not."""
    (tmp_path / "test.en").write_text("one\n")

    def make(content=b"weights", begun=True, **more):
        (tmp_path / "trained.pt").write_bytes(content)
        out = tmp_path / "out"
        if begun:
            (out / "starts" / "plain").mkdir(parents=True, exist_ok=True)
            (out / "starts" / "plain" / "all-heads.generate.log.done.json").write_text("{}")
        options = {"methods": ["l1"], "train": ["--lr", "0.1", "--fp16"], "reference": tmp_path / "test.en", **more}
        return Comparison("bin", str(tmp_path / "trained.pt"), out, "translation", 8, **options)

    return make


def test_more_methods_budgets_refits_and_seeds_are_welcome(made):
    first = claim_folder(made(begun=False))
    more = made(methods=["l1", "random"], keep=[2, 4], refit=["none", "output"], seeds=[1, 2], cpu=True)
    assert claim_folder(more) == first == json.loads((more.out / "settings.json").read_text())


@pytest.mark.parametrize(
    "other,told",
    [
        ({"epochs": 2}, "--epochs: 1 there, 2 now"),
        ({"continue_epochs": 1}, "--continue-epochs: 0 there, 1 now"),
        ({"vote_budget": "model"}, "--vote-budget: layer there, model now"),
        ({"lowercase": True}, "--lowercase: False there, True now"),
        ({"train": ["--fp16", "--lr", "0.1"]}, "options of fairseq-train: another order"),
        ({"train": ["--lr", "0.2", "--fp16"]}, "options of fairseq-train: --lr 0.1 there, --lr 0.2 now"),
        ({"vote_args": ["--select-batches", "3"]}, "--vote-args: nothing there, --select-batches 3 now"),
        ({"generate_args": ["--beam", "1"]}, "--generate-args: nothing there, --beam 1 now"),
        ({"content": b"trained again"}, "SHA-256 of CHECKPOINT: [0-9a-f]{64} there, [0-9a-f]{64} now"),
        ({"reference": None}, "--reference: .*test.en there, None now"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_other_settings_are_refused_by_name(made, other, told):
    claim_folder(made(begun=False))
    with pytest.raises(BadInput) as refusal:
        claim_folder(made(**other))
    assert re.search(f"OUT .*out: was made with other settings .*{told}", str(refusal.value))


def test_the_seed_of_the_starts_is_a_setting_where_they_are_trained_on(made):
    claim_folder(made(begun=False, continue_epochs=1))
    claim_folder(made(continue_epochs=1, seeds=[1, 2]))
    with pytest.raises(BadInput, match="first of --seeds, .*: 1 there, 2 now"):
        claim_folder(made(continue_epochs=1, seeds=[2, 1]))


def test_a_folder_in_which_nothing_was_made_is_no_obstacle(made):
    claim_folder(made(begun=False))
    assert claim_folder(made(begun=False, epochs=5))["--epochs"] == 5


def test_a_folder_of_something_else_is_refused(made):
    with pytest.raises(BadInput, match="holds checkpoints, but no settings.json"):
        claim_folder(made(begun=True))


def test_a_folder_that_cannot_be_written_to_and_a_damaged_record_are_named(made):
    given = made(begun=False)
    given.out.write_text("a file")
    with pytest.raises(BadInput, match=f"OUT {given.out}: {given.out}.*: File exists; .*allow access there"):
        claim_folder(given)
    given.out.unlink()
    given = made(begun=True)
    (given.out / "settings.json").write_text("{")
    with pytest.raises(BadInput, match=f"OUT {given.out}: {given.out}/settings.json is damaged"):
        claim_folder(given)
