"""Folders that are there whole or not at all."""

import hashlib

import pytest
from experiments.corpora.folders import built, remove, sha256_of


def test_a_built_folder_takes_the_place_of_the_old_one(tmp_path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "old").write_text("old")
    with built(tmp_path / "raw") as part:
        (part / "new").write_text("new")
        assert (tmp_path / "raw" / "old").exists() and part.name == "raw.part"
    assert [path.name for path in (tmp_path / "raw").iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_the_folder_as_it_was(tmp_path, failure):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "old").write_text("old")
    (tmp_path / "raw.part").mkdir()
    (tmp_path / "raw.part" / "left by a kill").write_text("x")
    with pytest.raises(failure):
        with built(tmp_path / "raw") as part:
            assert not list(part.iterdir())
            (part / "new").write_text("new")
            raise failure()
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == ["raw", "raw/old"]


def test_of_a_link_only_the_link_is_removed(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "precious").write_text("x")
    (tmp_path / "raw").symlink_to(tmp_path / "elsewhere")
    with built(tmp_path / "raw") as part:
        (part / "new").write_text("new")
    assert (tmp_path / "elsewhere" / "precious").exists() and not (tmp_path / "raw").is_symlink()
    remove(tmp_path / "nothing there")


def test_sum_of_a_file_of_several_blocks(tmp_path):
    content = b"0123456789" * 250_000
    (tmp_path / "big").write_bytes(content)
    assert sha256_of(tmp_path / "big") == hashlib.sha256(content).hexdigest()
