"""A toy translation corpus and a training run on it, made once through fairseq's own commands."""

import random

import pytest
from commands import run, train


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """Binarised toy corpus: the target is the source reversed with every word renamed."""
    folder = tmp_path_factory.mktemp("corpus")
    rng = random.Random(5)
    for split, count in (("train", 240), ("valid", 40), ("test", 24)):
        with open(folder / f"{split}.xx", "w") as source, open(folder / f"{split}.yy", "w") as target:
            for _ in range(count):
                words = [rng.randrange(20) for _ in range(rng.randrange(2, 12))]
                source.write(" ".join(f"a{w}" for w in words) + "\n")
                target.write(" ".join(f"b{w}" for w in reversed(words)) + "\n")
    run(
        f"fairseq-preprocess -s xx -t yy --joined-dictionary --destdir {folder}/bin "
        f"--trainpref {folder}/train --validpref {folder}/valid --testpref {folder}/test"
    )
    return folder / "bin"


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
