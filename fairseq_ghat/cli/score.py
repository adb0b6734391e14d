"""`ghat-score REFERENCES SYSTEM...`: BLEU or ROUGE of fairseq-generate logs, side by side, with significance."""

import argparse
import json
import logging
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Dict, List

from fairseq_ghat.cli.console import markdown_table, quiet_libraries
from fairseq_ghat.evaluation.generation_log import (
    GenerationLogError,
    is_generation_log,
    read_generation_log,
    read_lines,
)
from fairseq_ghat.evaluation.scoring import METRICS, BadReferences, SystemScore, read_references, score_systems


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(prog="ghat-score", description=__doc__.split("`: ")[1])
    found.add_argument("references", metavar="REFERENCES", help="raw text, a line each; .jsonl: a list of texts a line")
    found.add_argument(
        "systems",
        metavar="SYSTEM",
        nargs="+",
        help="log of fairseq-generate, whole or its pasted lines H- and D-, or a text file with a hypothesis a line; "
        "the first is what the others are tested against",
    )
    found.add_argument("--metric", choices=METRICS, default="bleu", help="default: bleu, by sacrebleu")
    found.add_argument("--lowercase", action="store_true", help="BLEU without case")
    found.add_argument("--tokenize", help="sacrebleu's tokenizer for BLEU (default: sacrebleu's, 13a)")
    found.add_argument("--detokenize", metavar="LANG", help="undo Moses tokenization of this language (sacremoses)")
    found.add_argument("--resamples", type=int, default=1000, metavar="N", help="of the bootstrap (default: 1000)")
    found.add_argument("--json", action="store_true", help="print the figures, unrounded, as JSON instead of a table")
    return found


def main(argv=None) -> int:
    command = parser()
    args = command.parse_args(argv)
    quiet_libraries(logging.WARNING, sys.stderr)
    for what, path in (("REFERENCES", args.references), *(("SYSTEM", path) for path in args.systems)):
        if not Path(path).is_file():
            command.error(f"{what} {path}: no such file")
    if len(set(args.systems)) < len(args.systems):
        command.error("SYSTEM: one of them is given twice")
    if args.resamples < 1:
        command.error(f"--resamples {args.resamples}: allowed is 1 or more")
    try:
        references = read_references(args.references)
        systems, speeds = {}, {}
        for path in args.systems:
            systems[path], speeds[path] = _hypotheses(path)
        if args.detokenize:
            systems = {path: _detokenized(texts, args.detokenize) for path, texts in systems.items()}
        scores = score_systems(systems, references, args.metric, args.lowercase, args.tokenize, args.resamples)
    except ImportError as error:
        command.error(f"{error.name} is not installed: pip install rouge-score sacremoses")
    except (BadReferences, GenerationLogError, ValueError) as error:
        command.error(str(error))
    if args.json:
        content = {name: {path: asdict(found) for path, found in of.items()} for name, of in scores.items()}
        conditions = {"references": args.references, "metric": args.metric, "lowercase": args.lowercase}
        print(json.dumps({**conditions, "scores": content, "sentences_per_second": speeds}, indent=1))
    else:
        print(_table(scores))
    return 0


def _hypotheses(path: str):
    """Hypotheses of a log or of a text file, and the speed that a log tells."""
    if is_generation_log(path):
        log = read_generation_log(path)
        return log.hypotheses, log.sentences_per_second
    return read_lines(path), None


def _detokenized(texts: List[str], language: str) -> List[str]:
    from sacremoses import MosesDetokenizer

    detokenizer = MosesDetokenizer(lang=language)
    return [detokenizer.detokenize(text.split()) for text in texts]


def _table(scores: Dict[str, Dict[str, SystemScore]]) -> str:
    titles, rows = ["system"], {path: [path] for path in next(iter(scores.values()))}
    for name, of in scores.items():
        titles += [name, "p"]
        for path, found in of.items():
            p = "" if found.p_value is None else f"{found.p_value:.3f}"
            rows[path] += [f"{found.score:.2f} ± {found.interval:.2f}", p]
    signatures = [f"{name} {next(iter(of.values())).signature}" for name, of in scores.items()]
    return "\n".join([markdown_table(titles, list(rows.values())), *signatures])


if __name__ == "__main__":
    sys.exit(main())
