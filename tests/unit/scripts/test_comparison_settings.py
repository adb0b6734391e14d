"""A folder of results takes more of the same settings, and none of others."""

import json
import re

import pytest
from experiments.comparison.plan import Comparison
from experiments.comparison.settings import OtherSettings, claim


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
        given = {"methods": ["l1"], "train": ["--lr", "0.1"], "reference": tmp_path / "test.en", **more}
        return Comparison("bin", str(tmp_path / "trained.pt"), out, "translation", 8, **given)

    return make


def test_more_methods_budgets_refits_and_seeds_are_welcome(made):
    first = claim(made(begun=False))
    more = made(methods=["l1", "random"], keeps=[2, 4], refits=["none", "output"], seeds=[1, 2], cpu=True)
    assert claim(more) == first == json.loads((more.out / "settings.json").read_text())


@pytest.mark.parametrize(
    "other,told",
    [
        ({"epochs": 2}, "--epochs: 1 there, 2 now"),
        ({"continue_epochs": 1}, "--continue-epochs: 0 there, 1 now"),
        ({"budget": "model"}, "--budget: layer there, model now"),
        ({"lowercase": True}, "--lowercase: False there, True now"),
        ({"train": ["--lr", "0.2"]}, "options of fairseq-train: --lr 0.1 there, --lr 0.2 now"),
        ({"vote": ["--select-batches", "3"]}, "--vote-args: [] there, --select-batches 3 now"),
        ({"measure": ["--beam", "1"]}, "--generate-args: [] there, --beam 1 now"),
        ({"content": b"trained again"}, "SHA-256 of CHECKPOINT: [0-9a-f]{64} there, [0-9a-f]{64} now"),
        ({"reference": None}, "--reference: .*test.en there, None now"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_other_settings_are_refused_by_name(made, other, told):
    claim(made(begun=False))
    with pytest.raises(OtherSettings) as refusal:
        claim(made(**other))
    message = str(refusal.value)
    assert re.search(f"out: is a comparison of other settings .*{told.replace('[]', re.escape('[]'))}", message)


def test_the_seed_of_the_starts_is_a_setting_where_they_are_trained_on(made):
    claim(made(begun=False, continue_epochs=1))
    claim(made(continue_epochs=1, seeds=[1, 2]))
    with pytest.raises(OtherSettings, match="first of --seeds, .*: 1 there, 2 now"):
        claim(made(continue_epochs=1, seeds=[2, 1]))


def test_a_folder_in_which_nothing_was_made_is_no_obstacle(made):
    claim(made(begun=False))
    assert claim(made(begun=False, epochs=5))["--epochs"] == 5


def test_a_folder_of_something_else_is_refused(made):
    with pytest.raises(OtherSettings, match="holds checkpoints, but no settings.json"):
        claim(made(begun=True))
