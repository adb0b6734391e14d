"""A toy corpus, runs on it and a toy text, made once through fairseq's own commands; a web server of archives."""

import prepare_data
import pytest
from commands import MODEL, TRAIN, preprocess_toy_corpus, preprocess_toy_text, run, train
from corpus_server import serving
from experiments.corpora import catalogue, download


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """Binarised toy corpus."""
    return preprocess_toy_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="session")
def text(tmp_path_factory):
    """Binarised toy text of a language model."""
    return preprocess_toy_text(tmp_path_factory.mktemp("text"))


@pytest.fixture(scope="session")
def voted_run(corpus, tmp_path_factory):
    """A run of 4 epochs with the vote before epoch 3: (save_dir, log)."""
    save_dir = tmp_path_factory.mktemp("voted")
    log = train(
        corpus,
        save_dir,
        "--max-epoch 4 --vote-epoch 3 --group-loss-scale 0.5",
        f"--tensorboard-logdir {save_dir}/tb",
    )
    return save_dir, log


@pytest.fixture(scope="session")
def slim_file(voted_run):
    """The last checkpoint of the voted run with heads removed: (path, what ghat-slim printed)."""
    save_dir, _ = voted_run
    path = save_dir / "slim.pt"
    return path, run(f"ghat-slim {save_dir}/checkpoint4.pt {path}")


@pytest.fixture(scope="session")
def stock_checkpoint(corpus, tmp_path_factory):
    """A checkpoint of fairseq's own transformer, trained for 2 epochs."""
    save_dir = tmp_path_factory.mktemp("stock")
    run(
        f"fairseq-train {corpus} --save-dir {save_dir} --task translation --arch transformer "
        f"--criterion label_smoothed_cross_entropy --max-epoch 2 --no-epoch-checkpoints {MODEL} {TRAIN}"
    )
    return save_dir / "checkpoint_last.pt"


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    """A small demo.de-en, as prepare_data.py makes it."""
    folder = tmp_path_factory.mktemp("prepared")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("experiments.corpora.demo.sentences.SIZES", {"valid": 20, "test": 20, "train": 300})
        assert prepare_data.main(["demo.de-en", str(folder), "--vocab", "300"]) == 0
    return folder


@pytest.fixture(scope="session")
def prepared_checkpoint(prepared, tmp_path_factory):
    """A checkpoint of our model, trained on the prepared demo.de-en."""
    save_dir = tmp_path_factory.mktemp("of_prepared")
    train(prepared / "bin", save_dir, "--max-epoch 5 --no-epoch-checkpoints")
    return save_dir / "checkpoint_last.pt"


@pytest.fixture
def miniature(monkeypatch):
    """The archives here are not the published ones: nothing is known of their sizes and checksums."""
    monkeypatch.setattr(catalogue, "LINES", {})
    monkeypatch.setattr(catalogue, "SHA256", {})


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A web server of tmp_path/site, asked without delay or proxy."""
    monkeypatch.setattr(download, "WAIT", 0.0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    (tmp_path / "site").mkdir()
    with serving(tmp_path / "site") as server:
        yield server
