"""The commands of the documents, in the order of each page, on a small demo corpus (slow)."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import prepare_data
import pytest
from commands import environment, run
from pages import DOCS, ROOT, blocks, commands, files_before

RUNNABLE = {"bash": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-c"]}
# Of this environment, and not to be changed by a test.
PREAMBLE = "pip() { :; }\n"
# Of the quickstarts: two epochs, with the vote in the second.
SHORT = {"EPOCHS": "2", "VOTE_EPOCH": "2"}


def to_run(page):
    return [block for block in blocks(page) if block.language in RUNNABLE and not block.not_run]


# README is run once it says what its folder holds.
README = [page for page in [ROOT / "README.md"] if files_before(page)]
RUN = [page.relative_to(ROOT).as_posix() for page in [*README, *DOCS] if to_run(page)]


@pytest.fixture(scope="session")
def desk(tmp_path_factory):
    """A folder with all that a page may have before its first block: data, runs and models, all small."""
    desk = tmp_path_factory.mktemp("desk")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("experiments.corpora.demo.sentences.SIZES", {"valid": 40, "test": 140, "train": 800})
        assert prepare_data.main(["demo.de-en", str(desk / "demo"), "--vocab", "300"]) == 0
    for copy, folder in {"data-bin": "bin", "raw": "raw", "my-text": "raw"}.items():
        shutil.copytree(desk / "demo" / folder, desk / copy)
    english = (desk / "raw/test.en").read_text(encoding="utf-8")
    (desk / "raw/test.zh").write_text(english, encoding="utf-8")
    references = "".join(json.dumps([line]) + "\n" for line in english.splitlines())
    (desk / "raw/test.references.jsonl").write_text(references, encoding="utf-8")

    tiny = (
        "--encoder-layers 2 --encoder-embed-dim 64 --encoder-ffn-embed-dim 128 --encoder-attention-heads 8 "
        "--decoder-layers 2 --decoder-embed-dim 64 --decoder-ffn-embed-dim 128 --decoder-attention-heads 8 "
        "--share-all-embeddings"
    )
    optimisation = "--optimizer adam --lr 0.005 --max-tokens 1000 --max-epoch 7 --keep-best-checkpoints 5"
    grouped = (
        f"--user-dir {ROOT}/fairseq_ghat --task translation_v2s --arch ghat_transformer_tiny --share-all-embeddings "
        "--criterion group_constrained_label_smoothed_cross_entropy"
    )
    systems = {
        "plain": f"--task translation --arch transformer --criterion label_smoothed_cross_entropy {tiny}",
        "ght": grouped,
        "ght-ps": f"{grouped} --vote-epoch 3",
    }
    for name, options in systems.items():
        printed = run(f"fairseq-train {desk}/data-bin {options} {optimisation} --cpu --save-dir {desk}/runs/{name}")
        (desk / f"runs/{name}/train.log").write_text(printed, encoding="utf-8")
    shutil.copytree(desk / "runs/ght-ps", desk / "checkpoints")
    shutil.copy(desk / "runs/plain/checkpoint_best.pt", desk / "transformer.pt")
    run(f"ghat-slim {desk}/checkpoints/checkpoint_best.pt {desk}/slim.pt")
    for log, model in {"baseline.log": "transformer.pt", "slim.log": "slim.pt"}.items():
        search = "--beam 5 --remove-bpe sentencepiece --required-batch-size-multiple 1 --cpu"
        command = f"fairseq-generate {desk}/data-bin --user-dir {ROOT}/fairseq_ghat --path {desk}/{model} {search}"
        (desk / log).write_text(run(command), encoding="utf-8")
    bench = run(f"ghat-bench {desk}/data-bin {desk}/runs/plain/checkpoint_best.pt --repeats 1 --cpu --json")
    (desk / "bench.json").write_text(bench[bench.index("{") :], encoding="utf-8")
    return desk


def laid_out(page, desk, folder):
    """The folder of a page: links to the repository, and copies of what it names from the desk."""
    for entry in ("examples", "scripts", "fairseq_ghat", "tests", "pyproject.toml", "README.md"):
        (folder / entry).symlink_to(ROOT / entry)
    for name in files_before(page):
        (shutil.copytree if (desk / name).is_dir() else shutil.copy)(desk / name, folder / name)
    for block in blocks(page):
        if block.file:
            (folder / block.file).write_text(block.text, encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("name", RUN)
def test_commands_of_a_page_run_in_their_order(name, desk, tmp_path):
    page = ROOT / name
    laid_out(page, desk, tmp_path)
    env = {**environment(), **SHORT, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for block in to_run(page):
        text = PREAMBLE + block.text if block.language == "bash" else block.text
        done = subprocess.run(
            [*RUNNABLE[block.language], text], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{name}:{block.line}\n{block.text}\n{(done.stdout + done.stderr)[-4000:]}"


def test_a_page_that_reads_files_says_so():
    """Every file that the first command of a page reads by one of the desk's names is in its comment."""
    desk_names = {"data-bin", "demo", "raw", "runs", "checkpoints", "transformer.pt", "slim.pt", "baseline.log"}
    for page in DOCS:
        if to_run(page) and to_run(page)[0].language == "bash":
            first = next(words for words in commands(to_run(page)[0].text) if words[0] != "pip")
            read = {word.split("/")[0] for word in first[1:]} & desk_names
            assert read <= set(files_before(page)), shlex.join(first)
