"""Speed and BLEU of models in fairseq and, exported, in CTranslate2: all by turns in one process.

    python scripts/benchmark_export.py work/data/multi30k.de-en full=average.pt slim=slim.pt --picture speed.svg

DATA is a folder of scripts/prepare_data.py. Each checkpoint is exported in float32 and in int8, checked against
fairseq, and the test set translated by all: the same batches, beam and largest length. Greedy translations of fairseq
and of CTranslate2 are compared sentence by sentence. --picture draws BLEU against sentences/s.
"""

import argparse
import json
import logging
import sys
import tempfile
from pathlib import Path

from experiments.checks import BadInput, check_least, check_packages
from experiments.export_picture import check_picture, draw
from experiments.pictures import save

from fairseq_ghat.checkpoints.files import CheckpointError
from fairseq_ghat.checkpoints.whole_file import NotWritten
from fairseq_ghat.cli.console import quiet_libraries
from fairseq_ghat.data.prepared import read_prepared
from fairseq_ghat.evaluation.bleu import BadTokenizer, bleu_metric
from fairseq_ghat.evaluation.generation_log import read_lines


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("data", metavar="DATA", type=Path)
    add("checkpoints", metavar="NAME=CHECKPOINT", nargs="+")
    add("--beam", type=int, default=5, metavar="N", help="default: 5")
    add("--batch-size", type=int, default=64, metavar="N", help="sentences in a batch (default: 64)")
    add("--max-len", type=int, default=60, metavar="N", help="most tokens (default: 60)")
    add("--repeats", type=int, default=7, metavar="N", help="passes that count (default: 7)")
    add("--sentences", type=int, metavar="N", help="about so many of the test set, of all lengths (default: all)")
    add("--picture", type=Path, metavar="FILE", help="also draw BLEU against sentences/s, as .png or .svg")
    add("--json", action="store_true")
    args = parser.parse_args(argv)
    quiet_libraries(logging.WARNING, sys.stderr)
    named = [text.partition("=")[::2] for text in args.checkpoints]
    for name, path in named:
        if not path or not Path(path).is_file():
            parser.error(f"NAME=CHECKPOINT {name}={path}: no such file")
    try:
        check_packages({"ctranslate2": "ctranslate2"})
        if args.picture:
            check_picture(args.picture)
        check_least(args, beam=1, batch_size=1, max_len=1, repeats=1, sentences=1)
        prepared = read_prepared(args.data)
        references = read_lines(args.data / prepared.references["test"])
        bleu = bleu_metric([references], prepared.lowercase, target_lang=prepared.languages[-1])
    except (BadInput, BadTokenizer, NotWritten) as error:
        parser.error(str(error))
    except (OSError, KeyError, ValueError) as error:
        parser.error(f"DATA {args.data}: is not a folder of prepare_data.py ({error})")
    from experiments.exports import described, measure, sides_of

    from fairseq_ghat.export.ctranslate2_model import ExportMismatch

    with tempfile.TemporaryDirectory() as folder:
        try:
            sides = [side for name, path in named for side in sides_of(name, path, args, Path(folder))]
        except (CheckpointError, ExportMismatch, ValueError) as error:
            parser.error(str(error))
        measured = measure(sides, args, references, prepared, bleu)
    print(json.dumps(measured, indent=1, default=vars) if args.json else described(measured))
    if args.picture:
        try:
            save(draw(measured), args.picture)
        except NotWritten as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
