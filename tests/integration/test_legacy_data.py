"""Data of old fairseq (TNTIDX): what docs/troubleshooting.md says of them."""

import re

import pytest
from commands import run, train
from fairseq.tasks.translation import TranslationConfig, TranslationTask


@pytest.fixture(scope="module")
def legacy(corpus, tmp_path_factory):
    """The toy corpus in the old format."""
    folder, text = tmp_path_factory.mktemp("legacy"), corpus.parent
    run(
        f"fairseq-preprocess -s xx -t yy --joined-dictionary --dataset-impl cached --destdir {folder} "
        f"--trainpref {text}/train --validpref {text}/valid --testpref {text}/test"
    )
    assert (folder / "train.xx-yy.xx.idx").read_bytes().startswith(b"TNTIDX")
    return folder


def test_training_needs_the_flag_and_then_has_the_same_losses(corpus, legacy, tmp_path):
    options = "--max-epoch 2 --vote-epoch 2 --no-save"
    log = train(legacy, tmp_path, options, check=False)
    assert re.search(r"KeyError: (np\.int64\()?\d+", log)
    losses = [
        re.findall(r"valid on .* \| loss ([\d.]+)", train(data, tmp_path, options, *flags))
        for data, flags in ((corpus, ()), (legacy, ("--dataset-impl lazy",)))
    ]
    assert len(losses[0]) >= 2 and losses[0] == losses[1]


def pairs(data, impl):
    """The first five validation pairs, as an export reads them."""
    from fairseq_ghat.export.ctranslate2_model import first_pairs

    cfg = TranslationConfig(data=str(data), source_lang="xx", target_lang="yy", dataset_impl=impl)
    task = TranslationTask.setup_task(cfg)
    task.load_dataset("valid")
    return [(source.tolist(), target.tolist()) for source, target in first_pairs(task.dataset("valid"), 5)]


def test_pairs_that_an_export_is_checked_on(corpus, legacy):
    pytest.importorskip("ctranslate2", reason="needs ctranslate2")
    assert pairs(legacy, "cached") == pairs(corpus, "mmap") and len(pairs(corpus, "mmap")) == 5
