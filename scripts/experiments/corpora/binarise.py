"""fairseq-preprocess on the splits of a corpus."""

import importlib.util
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import List

from experiments.corpora.catalogue import Corpus
from experiments.corpora.errors import CorpusError
from experiments.corpora.folders import built

_WITH_LOG = Path(__file__).resolve().parents[2] / "with_log.py"
_LAST_LINES = 15  # of the log, shown after a failure


def require_fairseq() -> None:
    """Raises CorpusError where fairseq is not installed."""
    if importlib.util.find_spec("fairseq_cli") is None:
        raise CorpusError("--until bin: fairseq cannot be imported; install it, or stop before: --until subwords")


def options(corpus: Corpus, text: Path) -> List[str]:
    """Options of fairseq-preprocess that say what to read and what dictionaries to make."""
    one_side = len(corpus.suffixes) == 1
    end = f".{corpus.suffixes[0]}" if one_side else ""
    given = (
        ["--only-source"] if one_side else ["--source-lang", corpus.suffixes[0], "--target-lang", corpus.suffixes[1]]
    )
    if corpus.joined_dictionary:
        given.append("--joined-dictionary")
    for split in ("train", "valid", "test"):
        given += [f"--{split}pref", f"{text / split}{end}"]
    return given


def binarise(corpus: Corpus, text: Path, out: Path, workers: int) -> None:
    """Builds OUT/bin from the splits in `text`; the log is OUT/preprocess.log, of which the counts are printed.

    Raises CorpusError, with the last lines of the log, where fairseq-preprocess fails.
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
