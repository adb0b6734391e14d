"""Where the files of a corpus come from: a folder, its publisher's address, or another address."""

import os
from pathlib import Path
from typing import Dict, List, Optional, Sequence

from experiments.corpora import catalogue
from experiments.corpora.catalogue import Corpus, SourceFile
from experiments.corpora.download import download, reject
from experiments.corpora.folders import sha256_of
from experiments.corpora.text_files import CorpusError, NotThere, unpacked_sha256


def find(corpus: Corpus, folder: Path, deep: bool = True) -> Dict[str, Path]:
    """The files of a corpus in a folder.

    Args:
        corpus: whose files.
        folder: where they are looked for.
        deep: they may be anywhere below it; of files of the same name, that in the highest folder is taken.

    Returns:
        Each file under the name that the corpus knows it by.

    Raises:
        CorpusError: if some are missing, which it lists, or there is nothing to choose between two, which it names.
    """
    wanted = {name for files in corpus.alternatives for file in files for name in file.addresses}
    places: Dict[str, List[Path]] = {name: [] for name in wanted}
    for here, below, names in os.walk(folder):
        below[:] = sorted(below) if deep else []
        for name in wanted.intersection(names):
            places[name].append(Path(here) / name)
    missing = []
    for files in corpus.alternatives:
        paths = {file.name: _one(places, file) for file in files}
        lacking = [" or ".join(file.addresses) for file in files if paths[file.name] is None]
        if not lacking:
            return {name: path for name, path in paths.items() if path is not None}
        missing.append(", ".join(lacking))
    raise CorpusError(f"{folder}: has no {'; nor '.join(missing)}")


def _one(places: Dict[str, List[Path]], file: SourceFile) -> Optional[Path]:
    for name in file.addresses:
        paths = sorted(places[name], key=lambda path: (len(path.parts), path))
        if len(paths) > 1 and len(paths[0].parts) == len(paths[1].parts):
            raise CorpusError(f"{paths[0]} and {paths[1]}: two files of one name; give the folder of one of them")
        if paths:
            return paths[0]
    return None


def fetch(corpus: Corpus, address: Optional[str], folder: Path) -> Dict[str, Path]:
    """The files of a corpus in a folder of downloads, each downloaded if it is not there yet.

    Args:
        corpus: whose files.
        address: replaces that of every file, if given.
        folder: of the downloads.

    Returns:
        Each file under the name that the corpus knows it by.

    Raises:
        CorpusError: as `download` does.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # What is there already decides between files that would do.
    alternatives = sorted(corpus.alternatives, key=lambda files: not all(_there(file, folder) for file in files))
    note = f" ({corpus.note})" if corpus.note and not address else ""
    first: Optional[NotThere] = None
    for files in alternatives:
        try:
            return {file.name: _there(file, folder) or _fetch_one(corpus, file, address, folder) for file in files}
        except NotThere as error:
            first = first or error
        except CorpusError as error:
            raise CorpusError(f"{error}{note}") from error
    raise CorpusError(f"{first}{note}")


def _there(file: SourceFile, folder: Path) -> Optional[Path]:
    return next((folder / name for name in file.addresses if (folder / name).is_file()), None)


def _fetch_one(corpus: Corpus, file: SourceFile, address: Optional[str], folder: Path) -> Path:
    """Downloads the file under the first of its names that the site has."""
    absent: List[NotThere] = []
    for name, published in file.addresses.items():
        url = f"{(address or published).rstrip('/')}/{name}"
        try:
            download(url, folder / name, catalogue.SHA256.get(corpus.name, {}).get(name))
            return folder / name
        except NotThere as error:
            absent.append(error)
    raise absent[0]


def check_sums(corpus: Corpus, files: Sequence[Path], downloads: Path) -> Dict[str, str]:
    """Compares the files of a corpus with what is published, as far as that is known.

    Args:
        corpus: whose files.
        files: all of them.
        downloads: folder in which a wrong file is renamed, so that the next run fetches it again.

    Returns:
        SHA-256 of each file by its name.

    Raises:
        CorpusError: if a file, or its unpacked content, is another.
    """
    known = catalogue.SHA256.get(corpus.name, {})
    sums = {}
    for path in files:
        actual = sums[path.name] = sha256_of(path)
        expected = known.get(path.name)
        if expected is None and path.stem in known:
            actual, expected = unpacked_sha256(path), known[path.stem]
        if expected not in (None, actual):
            fate = f"; {reject(path, path)}" if path.parent == downloads else ""
            raise CorpusError(f"{path}: SHA-256 is {actual}, expected {expected}{fate}")
    return sums
