"""The tour of docs/architecture.md is the way of a vote, the example of CONTRIBUTING.md a way of choosing heads."""

import re
import subprocess
import sys

import torch
from commands import REPOSITORY, environment, train_command
from tiny_models import build_grouped

from fairseq_ghat.modules.attention_layers import grouped_attentions
from fairseq_ghat.pruning.calibration import Calibration
from fairseq_ghat.pruning.options import VoteOptions

ARCHITECTURE = (REPOSITORY / "docs/architecture.md").read_text()
CONTRIBUTING = (REPOSITORY / "CONTRIBUTING.md").read_text()

# fairseq-train that prints each file of the package when a vote first enters it, and each entry from below: a call of a
# file that stands higher on the stack already.
FOLLOWED = """
import os, sys
import fairseq_ghat
from fairseq_cli.train import cli_main
from fairseq_ghat.modules.grouped_attention import GroupedAttention
from fairseq_ghat.tasks.voting_to_stay import VotingToStayMixin

ROOT = os.path.dirname(fairseq_ghat.__file__) + os.sep
begin_epoch, remove_units = VotingToStayMixin.begin_epoch, GroupedAttention.remove_units
entered = []

def files_above(frame):
    while frame is not None:
        if frame.f_code.co_filename.startswith(ROOT):
            yield frame.f_code.co_filename[len(ROOT):]
        frame = frame.f_back

def note(frame, event, argument):
    if event == "call" and frame.f_code.co_filename.startswith(ROOT):
        file, *above = files_above(frame)
        if file not in entered:
            entered.append(file)
            print("ENTERED", file)
        if above and above[0] != file and file in above:
            print("FROM BELOW", file, "by", above[0])

def followed(task, epoch, model):
    sys.setprofile(note if epoch == 2 else None)
    begin_epoch(task, epoch, model)
    sys.setprofile(None)

def removed(*arguments, **options):
    remove_units(*arguments, **options)
    sys.setprofile(None)

VotingToStayMixin.begin_epoch, GroupedAttention.remove_units = followed, removed
cli_main()
"""


def test_tour_is_the_way_of_a_vote(corpus, tmp_path):
    arguments = train_command(corpus, tmp_path, "--max-epoch 2 --vote-epoch 2 --no-save --disable-validation")[1:]
    command = [sys.executable, "-c", FOLLOWED, *arguments]
    done = subprocess.run(command, cwd=REPOSITORY, env=environment(), capture_output=True, text=True, check=True)
    tour = re.findall(r"^\d+\. `(.*?)`", ARCHITECTURE, re.MULTILINE)
    beside = re.findall(r"^(?:The forward passes|Small questions) (.*?)\n\n", ARCHITECTURE, re.MULTILINE | re.DOTALL)
    entered, aside = (
        re.findall(r"^ENTERED (.*)", done.stdout, re.MULTILINE),
        set(re.findall("`(.*?)`", "".join(beside))),
    )
    assert [file for file in entered if file not in aside] == tour and len(tour) <= 12
    assert len(aside) == 11 and aside < set(entered)
    assert "FROM BELOW" not in done.stdout


def test_example_keeps_the_heads_with_the_largest_value_projections():
    (source,) = (
        block for block in re.findall(r"```python\n(.*?)```", CONTRIBUTING, re.DOTALL) if "class ValueNorm" in block
    )
    names = {}
    exec(source, names)
    model = build_grouped()
    with torch.no_grad():
        for layer in grouped_attentions(model).values():
            layer.v_proj.weight[[17, 41]] *= 9  # rows of heads 2 and 5
    calibration = Calibration(model, lambda shuffle: [], lambda: 0, padding_idx=1)
    for mask in names["ValueNorm"](VoteOptions(vote_heads=2)).select(calibration).values():
        assert mask.nonzero().flatten().tolist() == [2, 5]
