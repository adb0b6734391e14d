"""--user-dir by every path to the package: itself, links, second copies, with it imported before or not."""

import os
import shutil
import subprocess
import sys

import pytest
from commands import REPOSITORY, environment

# Imports the package or not, then gives fairseq each --user-dir; prints where the model comes from.
SCRIPT = """
import argparse, sys
from fairseq import utils
from fairseq.models import MODEL_REGISTRY
if {first}:
    import fairseq_ghat
for folder in {folders}:
    utils.import_user_module(argparse.Namespace(user_dir=folder))
kind = MODEL_REGISTRY["ghat_transformer"]
print("from", sys.modules[kind.__module__].__file__, kind.__module__)
"""


@pytest.fixture
def places(tmp_path):
    """An installed package, a clone of it, and links and copies of other names."""
    for place in ("installed/fairseq_ghat", "clone/fairseq_ghat", "copy_of_it"):
        shutil.copytree(REPOSITORY / "fairseq_ghat", tmp_path / place, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "fairseq_ghat").symlink_to(tmp_path / "installed" / "fairseq_ghat")
    (tmp_path / "links" / "heads").symlink_to(tmp_path / "installed" / "fairseq_ghat")
    return tmp_path


def imported(places, first, *folders):
    """Ends of a process that imports the package, if first, and gives fairseq the folders."""
    code = SCRIPT.format(first=first, folders=[str(places / folder) for folder in folders])
    env = {**environment(), "PYTHONPATH": str(places / "installed"), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=places, env=env, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    "first,folders,used",
    [
        (False, ["installed/fairseq_ghat"], "installed"),
        (False, ["clone/fairseq_ghat"], "clone"),
        (False, ["links/fairseq_ghat", "installed/fairseq_ghat", "links/heads"], "links"),
        (False, ["links/heads", "installed/fairseq_ghat"], "links"),
        (False, ["copy_of_it"], "copy_of_it"),
        (True, ["installed/fairseq_ghat", "links/fairseq_ghat", "links/heads"], "installed"),
    ],
    ids=lambda value: "+".join(value).replace("/", "|") if isinstance(value, list) else str(value),
)
def test_one_copy_works_under_any_name(places, first, folders, used):
    done = imported(places, first, *folders)
    assert done.returncode == 0, done.stderr[-3000:]
    file, module = done.stdout.split()[1:]
    assert file.startswith(f"{places}/{used}") and module == "fairseq_ghat.models.ghat_transformer"


@pytest.mark.parametrize("folder", ["clone/fairseq_ghat", "copy_of_it"])
def test_a_second_copy_is_refused_and_both_are_named(places, folder):
    done = imported(places, True, folder)
    assert done.returncode == 1
    told = done.stderr.splitlines()[-1]
    assert told.startswith(f"ImportError: --user-dir={places / folder}: is a second copy of fairseq_ghat, which is")
    assert f"imported already from {places}/installed/fairseq_ghat" in told
    assert f"Give --user-dir={places}/installed/fairseq_ghat" in told


@pytest.mark.parametrize("place", ["installed", "links"])
def test_python_m_prints_the_folder_without_torch(places, place):
    paths = [places / place]
    if sys.version_info >= (3, 10):  # Python 3.9 does not tell the package how it was started
        (places / "no_torch").mkdir()
        (places / "no_torch" / "torch.py").write_text("raise ImportError")
        paths.append(places / "no_torch")
    env = {**environment(), "PYTHONPATH": os.pathsep.join(map(str, paths)), "PYTHONDONTWRITEBYTECODE": "1"}
    words = [sys.executable, "-m", "fairseq_ghat"]
    done = subprocess.run(words, cwd=places, env=env, capture_output=True, text=True, check=False)
    assert done.stdout == f"{places / place / 'fairseq_ghat'}\n", done.stderr


def test_training_through_a_link_of_another_name(places, corpus):
    command = (
        f"fairseq-train {corpus} --user-dir links/heads --task translation_v2s --arch ghat_transformer_tiny "
        "--criterion group_constrained_label_smoothed_cross_entropy --optimizer adam --max-tokens 400 --cpu --no-save "
        "--vote-epoch 1 --max-epoch 1 --max-update 2"
    )
    words = command.split()
    words[0] = os.path.join(os.path.dirname(sys.executable), words[0])
    env = {**environment(), "PYTHONPATH": ""}
    done = subprocess.run(words, cwd=places, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "heads 2,2,2,2,2,2" in done.stdout + done.stderr
