"""Words and phonemes of SIGMORPHON 2020."""

import os
import subprocess
from pathlib import Path

import pytest
from experiments.corpora import catalogue
from experiments.corpora.catalogue import CORPORA
from experiments.corpora.sigmorphon2020 import build, pronunciations
from experiments.corpora.sources import find
from experiments.corpora.text_files import CorpusError
from miniature_archives import sigmorphon2020


def test_a_word_becomes_its_characters_and_loses_its_spaces(tmp_path):
    """What the task's own `sed 's/./& /g'` and fairseq's splitting at spaces give; vowel signs stand alone."""
    path = tmp_path / "vie_dev.tsv"
    path.write_text("ai cập\tʔ  aː j ˧˧ k ə p̚ \nहिन\tɦ ɪ n\r\n", encoding="utf-8")
    assert list(pronunciations(path)) == [("a i c ậ p", "ʔ aː j ˧˧ k ə p̚"), ("ह ि न", "ɦ ɪ n")]


@pytest.mark.parametrize("line", ["word", "word\ta b\tc", "word\t ", " \ta", "", "word a b"])
def test_malformed_line_is_named(tmp_path, line):
    path = tmp_path / "dut_train.tsv"
    path.write_text(f"ja\tj aː\n{line}\n", encoding="utf-8")
    with pytest.raises(CorpusError, match="dut_train.tsv: line 2 is no word and its phonemes with a tab between them"):
        list(pronunciations(path))


def test_lines_are_counted(tmp_path, monkeypatch):
    found = sigmorphon2020(tmp_path, "ice")
    (tmp_path / "raw").mkdir()
    files = {path.name: path for path in tmp_path.glob("*.tsv")}
    with pytest.raises(CorpusError, match="ice_train.tsv: 90 lines found, expected 3,600"):
        build(CORPORA["sigmorphon2020.ice"], files, tmp_path / "raw", None)
    sizes = {split: len(texts) for split, texts in found.items()}
    monkeypatch.setattr(catalogue, "LINES", {"sigmorphon2020.ice": sizes})
    assert build(CORPORA["sigmorphon2020.ice"], files, tmp_path / "raw", None) == sizes


@pytest.mark.skipif("G2P_DATA_DIR" not in os.environ, reason="needs G2P_DATA_DIR with the files of SIGMORPHON 2020")
@pytest.mark.parametrize("language", catalogue.SIGMORPHON2020)
def test_published_files_are_cut_as_by_the_tasks_own_recipe(language, tmp_path):
    corpus = CORPORA[f"sigmorphon2020.{language}"]
    files = find(corpus, Path(os.environ["G2P_DATA_DIR"]))
    assert build(corpus, files, tmp_path, None) == {"train": 3_600, "valid": 450, "test": 450}
    for split, name in (("train", "train"), ("valid", "dev"), ("test", "test")):
        table = files[f"{language}_{name}.tsv"]
        for column, cut, side in ((1, "s/./& /g", "graphemes"), (2, "", "phonemes")):
            recipe = f"cut -f {column} {table} | sed '{cut}'"
            env = {**os.environ, "LC_ALL": "C.UTF-8"}
            expected = subprocess.run(["bash", "-c", recipe], env=env, capture_output=True, check=True).stdout.decode()
            text = (tmp_path / f"{split}.{side}").read_text(encoding="utf-8")
            assert [line.split() for line in text.splitlines()] == [line.split() for line in expected.splitlines()]
