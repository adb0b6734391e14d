"""The settings of the benchmarks: those of the paper's tables, merged as they say, refused where they are wrong."""

import copy

import pytest
import yaml
from experiments.checks import BadInput
from experiments.recipes.settings import KINDS, SETTINGS_FILE, Recipe, named_sets, read_settings

# Tables 7 and 8: alpha, beta, feature of GHT and of GHT-PS.
PAPER = {
    "iwslt14.de-en": ((0.7, 0.5, "value"), (0.5, 0.7, "output")),
    "iwslt14.it-en": ((0.3, 0.5, "value"), (0.3, 0.3, "attention")),
    "iwslt14.en-de": ((0.3, 0.1, "attention"), (0.3, 0.7, "output")),
    "iwslt14.en-it": ((0.3, 0.3, "value"), (0.3, 1, "value")),
    "iwslt14.en-fr": ((0.7, 0.7, "value"), (0.5, 0.3, "attention")),
    "wmt14.en-de": ((0.5, 0.5, "value"), (0.5, 0.5, "value")),
    "wmt14.en-fr": ((0.3, 0.3, "value"), (0.3, 0.3, "value")),
    "wikitext-103": ((0.5, 0.5, "value"), (0.5, 0.5, "value")),
    "cnn-dailymail": ((0.5, 0.5, "value"), (0.5, 0.5, "value")),
}


@pytest.mark.parametrize("name", PAPER)
def test_constraint_is_that_of_tables_7_and_8(name):
    settings = read_settings()
    for system, expected in zip(("ght", "ght-ps"), PAPER[name]):
        grouping = Recipe(settings, name, system).options["grouping"]
        assert tuple(grouping[f"group-{what}"] for what in ("alpha", "beta", "feature")) == expected


def test_kinds_of_the_sets():
    settings = read_settings()
    kinds = {name: Recipe(settings, name, "ght").kind for name in settings["sets"]}
    assert set(kinds.values()) == set(KINDS)
    assert [name for name, kind in kinds.items() if kind == "summarization"] == ["cnn-dailymail", "scitldr"]
    assert list(kinds.values()).count("transcription") == 15


def test_families_are_all_their_sets():
    settings = read_settings()
    assert named_sets(settings, ["scitldr", "wmt14", "wmt14.en-fr"]) == ["scitldr", "wmt14.en-de", "wmt14.en-fr"]
    with pytest.raises(
        BadInput, match="SET wmt: allowed is iwslt14.de-en, .*, iwslt14, wmt14, multi30k, sigmorphon2020"
    ):
        named_sets(settings, ["wmt"])


def test_the_plain_transformer_has_nothing_of_ours():
    plain = Recipe(read_settings(), "iwslt14.de-en", "transformer")
    assert not plain.grouped and not plain.votes
    assert plain.languages == ("de", "en") and plain.references == "raw/test.en" and plain.lowercase


def test_a_set_overrides_the_system_and_the_lite_one_takes_the_pruned_ones():
    settings = read_settings()
    pruned = Recipe(settings, "multi30k.de-en", "ght-ps").options
    assert pruned["vote"] == {"vote-epoch": 4, "refit": "output"}
    assert pruned["grouping"] == {"head-groups": 2, "group-loss-scale": 0.03}
    assert Recipe(settings, "multi30k.de-en", "vote").options["grouping"]["group-loss-scale"] == 0
    assert Recipe(settings, "multi30k.de-en", "lite1").options["architecture"]["encoder-layers"] == 2
    lite = Recipe(settings, "wmt14.en-de", "ght-ps-lite").options
    assert lite["architecture"]["decoder-ffn-embed-dim"] == 1024 and lite["architecture"]["arch"]
    assert lite["grouping"] == Recipe(settings, "wmt14.en-de", "ght-ps").options["grouping"]


def test_a_recipe_does_not_change_the_settings():
    settings = read_settings()
    before = copy.deepcopy(settings)
    Recipe(settings, "iwslt14.de-en", "ght-ps-lite").options["optimizer"]["lr"] = 1
    assert settings == before


@pytest.mark.parametrize(
    "arguments,message",
    [
        (("iwslt14.de-fr", "ght"), "SET iwslt14.de-fr: allowed is iwslt14.de-en, "),
        (("iwslt14.de-en", "gth"), "--systems gth: allowed is transformer, ght, ght-ps"),
        (("sigmorphon2020.ady", "from-start-4"), "--systems from-start-4: keeps 4 heads of each attention, .* has 4"),
    ],
    ids=["set", "system", "all heads"],
)
def test_what_a_set_cannot_have_is_refused(arguments, message):
    with pytest.raises(BadInput, match=message):
        Recipe(read_settings(), *arguments)


@pytest.mark.parametrize(
    "change,message",
    [
        (lambda s: s.pop("sets"), "wants systems, sets and recipes"),
        (lambda s: s["systems"]["ght"].update(voting={}), "systems: ght has voting; allowed is architecture, "),
        (lambda s: s["recipes"]["iwslt14"].update(kind="mt"), "iwslt14: kind is mt; allowed is translation, "),
        (lambda s: s["recipes"]["iwslt14"].pop("optimizer"), "iwslt14 lacks optimizer"),
        (
            lambda s: s["recipes"]["scitldr"]["batches"].pop("tokens-per-update"),
            "scitldr: batches wants max-tokens with ",
        ),
        (lambda s: s["sets"]["scitldr"].update(recipe="sci"), "scitldr: there is no recipe sci"),
        (lambda s: s["systems"].update(ght=5), "systems: ght is 5; allowed are options and their values"),
        (lambda s: s["recipes"]["iwslt14"].update(vote="early"), "iwslt14: vote is 'early'; allowed are options"),
        (lambda s: s["recipes"]["iwslt14"].update(average="3"), "iwslt14: average is '3'; allowed is a whole number"),
        (lambda s: s["recipes"]["iwslt14"].update(average=0), "iwslt14: average is 0; allowed is a whole number from"),
        (
            lambda s: s["recipes"]["iwslt14"]["batches"].update({"tokens-per-update": "4096"}),
            "iwslt14: tokens-per-update is '4096'; allowed is a whole number from 1",
        ),
    ],
    ids=[
        *("part", "system", "kind", "label", "update", "recipe"),
        *("no options", "text", "text for a number", "zero", "quoted"),
    ],
)
def test_a_settings_file_that_is_wrong_is_named(tmp_path, change, message):
    content = yaml.safe_load(SETTINGS_FILE.read_text())
    change(content)
    path = tmp_path / "settings.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(BadInput, match=f"settings.yaml: .*{message}|settings.yaml: {message}"):
        read_settings(path)


def test_nothing_behind_a_name_is_no_options(tmp_path):
    content = yaml.safe_load(SETTINGS_FILE.read_text())
    content["systems"]["transformer"] = content["sets"]["scitldr"]["ght-ps"] = content["recipes"]["scitldr"]["vote"] = (
        None
    )
    path = tmp_path / "settings.yaml"
    path.write_text(yaml.safe_dump(content))
    settings = read_settings(path)
    assert settings["systems"]["transformer"] == {}
    assert Recipe(settings, "scitldr", "ght-ps").options["vote"] == {"refit": "none"}  # of the system alone


@pytest.mark.parametrize("content", [b"sets: [", "sets: {a: ä}".encode("latin-1")])
def test_a_file_that_is_no_yaml_is_named(tmp_path, content):
    path = tmp_path / "settings.yaml"
    path.write_bytes(content)
    with pytest.raises(BadInput, match="settings.yaml: "):
        read_settings(path)
