"""The wheel: what it holds, and (slow) that it does all without the repository."""

import os
import shutil
import site
import subprocess
import sys
import zipfile

import pytest
from commands import REPOSITORY, environment, run

IN_THE_ROOT = ("pyproject.toml", "setup.py", "README.md", "LICENSE")
TRAIN = (
    "-m fairseq_cli.train data/bin --task translation_v2s --arch ghat_transformer_tiny --share-all-embeddings "
    "--criterion group_constrained_label_smoothed_cross_entropy --label-smoothing 0.1 --optimizer adam --lr 0.005 "
    "--max-tokens 4096 --max-epoch 1 --no-epoch-checkpoints --cpu --num-workers 0 --log-format simple --user-dir"
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built of a copy: setuptools leaves folders beside the sources, and takes what an earlier build left there."""
    sources, out = tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("wheel")
    for name in IN_THE_ROOT:
        shutil.copy(REPOSITORY / name, sources)
    shutil.copytree(REPOSITORY / "fairseq_ghat", sources / "fairseq_ghat")
    call([sys.executable, "-m", "pip", "wheel", sources, "--no-deps", "--no-build-isolation", "-w", out], sources)
    (built,) = out.iterdir()
    return built


@pytest.fixture(scope="module")
def outside(wheel, tmp_path_factory):
    """A folder with an environment of the wheel and of all that is installed here, but not of the repository."""
    folder = tmp_path_factory.mktemp("outside")
    call([sys.executable, "-m", "venv", "--without-pip", "venv"], folder)
    (packages,) = (folder / "venv").glob("lib/python*/site-packages")
    # A folder that a .pth names has its own .pth files left alone, thus those of editable installs.
    (packages / "installed_here.pth").write_text("\n".join(site.getsitepackages()))
    options = ["--no-deps", "--no-index", "--ignore-installed", "--no-warn-script-location"]
    call([folder / "venv/bin/python", "-m", "pip", "install", *options, wheel], folder)
    return folder


def call(words, folder):
    """Runs a command in a folder, without the repository on the path; returns what it printed on standard output."""
    env = {name: value for name, value in environment().items() if name != "PYTHONPATH"}
    done = subprocess.run(list(map(str, words)), cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    return done.stdout


@pytest.mark.slow
def test_wheel_holds_the_package_and_nothing_else(wheel):
    package = REPOSITORY / "fairseq_ghat"
    files = {f for f in package.rglob("*") if f.is_file() and f.suffix != ".pyc"}
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert held == {str(file.relative_to(REPOSITORY)) for file in files}
    assert {"fairseq_ghat/py.typed", "fairseq_ghat/report/page.html.j2"} <= held


@pytest.mark.slow
def test_installed_wheel_trains_votes_slims_and_translates(outside):
    run(f"python scripts/prepare_data.py demo.de-en {outside}/data")
    python, commands = outside / "venv/bin/python", outside / "venv/bin"
    package = call([python, "-m", "fairseq_ghat"], outside).strip()
    find = "import importlib.util; print(importlib.util.find_spec('fairseq_ghat').origin)"
    assert call([python, "-c", find], outside).strip() == os.path.join(package, "__init__.py")
    assert package.startswith(f"{outside / 'venv'}{os.sep}")

    assert "done training" in call([python, *TRAIN.split(), package], outside)
    trained, voted, slim = "checkpoints/checkpoint_best.pt", "voted.pt", "slim.pt"
    call([commands / "ghat-vote", trained, "data/bin", voted, "--cpu", "--no-progress-bar"], outside)
    call([commands / "ghat-slim", voted, slim], outside)
    lines = (outside / "data/raw/test.de").read_text(encoding="utf-8").splitlines()[:20]
    (outside / "some.de").write_text("\n".join(lines) + "\n", encoding="utf-8")
    call([commands / "ghat-translate", slim, "data", "some.de", "some.en", "--cpu"], outside)
    assert len((outside / "some.en").read_text(encoding="utf-8").splitlines()) == len(lines)
    assert (outside / slim).stat().st_size < (outside / trained).stat().st_size / 2
