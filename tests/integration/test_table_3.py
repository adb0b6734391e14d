"""Every row of the paper's Table 3 is one command: those of docs/reproducing_the_paper.md, on a toy corpus."""

import re

import pytest
from commands import REPOSITORY, train

from fairseq_ghat.checkpoints.files import read_checkpoint
from fairseq_ghat.pruning.slimming import kept_heads_in_checkpoint

UNVOTED = ("GHT", "beta = 0", "alpha = 0")


def rows():
    """Row and flags, from the table of the page."""
    text = (REPOSITORY / "docs/reproducing_the_paper.md").read_text(encoding="utf-8")
    table = text[text.index("| row of Table 3") :].split("\n\n")[0]
    return dict(re.findall(r"^\| ([^|]+?) \| `([^`|]+)` \|", table, re.MULTILINE))


@pytest.fixture(scope="module")
def runs(corpus, tmp_path_factory):
    """Log and kept heads of each row; votes before epoch 3 of 4 where the page votes later."""
    trained = {}
    for row, flags in rows().items():
        flags = flags.replace("--vote-epoch 10", "--vote-epoch 3")
        save_dir = tmp_path_factory.mktemp("row")
        log = train(corpus, save_dir, "--max-epoch 4 --group-loss-scale 1 --no-epoch-checkpoints", flags)
        state = read_checkpoint(save_dir / "checkpoint_last.pt")
        trained[row] = (log, kept_heads_in_checkpoint(state))
    return trained


def constrained_epochs(log):
    return [bool(re.search(r"\bconstraint -?[\d.]+", line)) for line in re.findall(r"\| valid \|.*", log)]


def test_all_rows_of_the_table_are_there():
    assert list(rows()) == [
        "GHT",
        "beta = 0",
        "alpha = 0",
        "GHT-PS",
        "vote at the very start (no GCT)",
        "vote after plain training (no constraint)",
        "random heads kept after GCT",
        "a random member kept in each group",
        "constraint in stage 2 only",
        "constraint in stages 1 and 2",
    ]


def test_kept_heads_differ_from_row_to_row(runs):
    """GHT, beta = 0 and alpha = 0 keep all heads. Constraint in stage 2 only is plain training up to the vote, and
    constraint in both stages is GHT-PS up to it, so their heads are those of these rows. All others differ."""
    kept = {row: masks for row, (_, masks) in runs.items()}
    for row in UNVOTED:
        assert all(heads == list(range(8)) for heads in kept[row].values()), row
    assert kept["constraint in stage 2 only"] == kept["vote after plain training (no constraint)"]
    assert kept["constraint in stages 1 and 2"] == kept["GHT-PS"]
    others = [row for row in kept if "stage" not in row and row not in UNVOTED]
    assert len(others) == 5
    for row in others:
        assert {len(heads) for heads in kept[row].values()} == {2}, row
        for other in others:
            assert row == other or kept[row] != kept[other], (row, other)


def test_constraint_acts_in_the_stages_of_its_row(runs):
    both, first, second, none = [True] * 4, [True, True, False, False], [False, False, True, True], [False] * 4
    expected = {
        "GHT": both,
        "beta = 0": both,
        "alpha = 0": both,
        "GHT-PS": first,
        "vote at the very start (no GCT)": none,
        "vote after plain training (no constraint)": first,  # logged, with weight 0
        "random heads kept after GCT": first,
        "a random member kept in each group": first,
        "constraint in stage 2 only": second,
        "constraint in stages 1 and 2": both,
    }
    assert {row: constrained_epochs(log) for row, (log, _) in runs.items()} == expected


def test_random_rows_follow_the_seed(corpus, tmp_path, runs):
    flags = rows()["random heads kept after GCT"].replace("--vote-epoch 10", "--vote-epoch 3")
    masks = []
    for seed in (1, 2):
        train(
            corpus,
            tmp_path / str(seed),
            "--max-epoch 3 --group-loss-scale 1 --no-epoch-checkpoints",
            flags,
            f"--seed {seed}",
        )
        masks.append(kept_heads_in_checkpoint(read_checkpoint(tmp_path / str(seed) / "checkpoint_last.pt")))
    assert masks[0] == runs["random heads kept after GCT"][1] != masks[1]


def test_lena_voita_story_of_heads_1_every_validation_line_tells_stage_and_heads(runs):
    """lena-voita/the-story-of-heads#1: is a score that of the pruned model?"""
    for row, (log, _) in runs.items():
        lines = re.findall(r"\| valid \|.*", log)
        assert len(lines) == 4
        vote_epoch = 1 if "start" in row else 3
        for epoch, line in enumerate(lines, start=1):
            after = row not in UNVOTED and epoch >= vote_epoch
            assert ("stage voted" if after else "stage grouped") in line, (row, epoch)
            assert f"heads {','.join(['2' if after else '8'] * 6)}" in line, (row, epoch)
