"""fairseq-preprocess on the splits of a corpus."""

import importlib.util
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import List

from experiments.corpora.catalogue import Corpus
from experiments.corpora.folders import built
from experiments.corpora.text_files import SPLITS, CorpusError

_WITH_LOG = Path(__file__).resolve().parents[2] / "with_log.py"
_LAST_LINES = 15  # of the log, shown after a failure


def require_fairseq() -> None:
    """Raises CorpusError where fairseq is not installed: the package that describes prepared data needs it too."""
    if importlib.util.find_spec("fairseq_cli") is None:
        raise CorpusError("fairseq cannot be imported; install it, as README.md says")


def options(corpus: Corpus, text: Path) -> List[str]:
    """Options of fairseq-preprocess that say what to read and what dictionaries to make."""
    one_side = len(corpus.suffixes) == 1
    end = f".{corpus.suffixes[0]}" if one_side else ""
    sides = zip(("--source-lang", "--target-lang"), corpus.suffixes)
    flags = ["--only-source"] if one_side else [word for side in sides for word in side]
    if corpus.joined_dictionary:
        flags.append("--joined-dictionary")
    for split in SPLITS:
        flags += [f"--{split}pref", f"{text / split}{end}"]
    return flags


def binarise(corpus: Corpus, text: Path, out: Path, workers: int) -> None:
    """Builds OUT/bin; the log is OUT/preprocess.log, of which the counts are printed.

    Args:
        corpus: what is binarised.
        text: folder of its splits.
        out: folder to write into.
        workers: number of processes.

    Raises:
        CorpusError: if fairseq-preprocess fails; with the last lines of its log.
    """
    log = out / "preprocess.log"
    with built(out / "bin") as folder:
        command = [sys.executable, str(_WITH_LOG), "fairseq-preprocess", *options(corpus, text)]
        command += ["--destdir", str(folder), "--workers", str(workers)]
        print(f"$ {shlex.join(command)} > {log}", flush=True)
        part = log.with_name(f"{log.name}.part")
        with open(part, "w", encoding="utf-8") as file:
            status = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, check=False).returncode
        os.replace(part, log)
        lines = log.read_text(encoding="utf-8").splitlines()
        if status:
            last = "\n".join(lines[-_LAST_LINES:])
            raise CorpusError(f"fairseq-preprocess ended with status {status}; the end of {log}:\n{last}")
        for line in lines:
            if "replaced" in line:
                print(f"  {line.split('|')[-1].strip()}", flush=True)
