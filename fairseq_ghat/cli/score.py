"""`ghat-score REFERENCES SYSTEM...`: BLEU or ROUGE of fairseq-generate logs, side by side, with significance."""

import argparse
import json
from pathlib import Path
from typing import Dict, List, Optional, Tuple

from fairseq_ghat.cli.console import check_minimum, markdown_table, quiet_libraries
from fairseq_ghat.evaluation.generation_log import is_generation_log, read_generation_log, read_lines
from fairseq_ghat.evaluation.scoring import METRICS, SystemScore, read_references, score_systems


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ghat-score", description=__doc__.split("`: ")[1])
    add = parser.add_argument
    add("references", metavar="REFERENCES", help="raw text, a line each; .jsonl: a list of texts a line")
    kinds = "log of fairseq-generate, whole or its pasted lines H- and D-, or a text file with a hypothesis a line"
    first = "the first is what the others are tested against"
    add("systems", metavar="SYSTEM", nargs="+", help=f"{kinds}; {first}")
    add("--metric", choices=METRICS, default="bleu", help="default: bleu, by sacrebleu")
    add("--lowercase", action="store_true", help="BLEU without case")
    add("--tokenize", help="sacrebleu's tokenizer for BLEU (default: sacrebleu's, 13a)")
    add("--detokenize", metavar="LANG", help="undo Moses tokenization of this language (sacremoses)")
    add("--resamples", type=int, default=1000, metavar="N", help="of the bootstrap (default: 1000)")
    add("--json", action="store_true", help="print the figures, unrounded, as JSON instead of a table")
    return parser


def main(argv=None) -> int:
    parser = build_parser()
    args = parser.parse_args(argv)
    quiet_libraries()
    for role, path in (("REFERENCES", args.references), *(("SYSTEM", path) for path in args.systems)):
        if not Path(path).is_file():
            parser.error(f"{role} {path}: no such file")
    if len(set(args.systems)) < len(args.systems):
        parser.error("SYSTEM: one of them is given twice")
    check_minimum(parser, args, resamples=1)
    try:
        references = read_references(args.references)
        systems, speeds = {}, {}
        for path in args.systems:
            systems[path], speeds[path] = _hypotheses(path)
        if args.detokenize:
            systems = {path: _detokenized(texts, args.detokenize) for path, texts in systems.items()}
        scores = score_systems(systems, references, args.metric, args.lowercase, args.tokenize, args.resamples)
    except ImportError as error:
        parser.error(f"{error.name} is not installed: pip install rouge-score sacremoses")
    except ValueError as error:
        parser.error(str(error))
    if args.json:
        conditions = {"references": args.references, "metric": args.metric, "lowercase": args.lowercase}
        print(json.dumps({**conditions, "scores": scores, "sentences_per_second": speeds}, indent=1, default=vars))
    else:
        print(_table(scores))
    return 0


def _hypotheses(path: str) -> Tuple[List[str], Optional[float]]:
    """Hypotheses of a log or of a text file, and sentences per second if the log tells them."""
    if is_generation_log(path):
        log = read_generation_log(path)
        return log.hypotheses, log.sentences_per_second
    return read_lines(path), None


def _detokenized(texts: List[str], language: str) -> List[str]:
    from sacremoses import MosesDetokenizer

    detokenizer = MosesDetokenizer(lang=language)
    return [detokenizer.detokenize(text.split()) for text in texts]


def _table(scores: Dict[str, Dict[str, SystemScore]]) -> str:
    titles, rows, signatures = ["system"], {path: [path] for path in next(iter(scores.values()))}, []
    for metric, systems in scores.items():
        titles += [metric, "p"]
        for path, system in systems.items():
            p = "" if system.p_value is None else f"{system.p_value:.3f}"
            rows[path] += [f"{system.score:.2f} ± {system.interval:.2f}", p]
        signatures.append(f"{metric} {system.signature}")
    return "\n".join([markdown_table(titles, list(rows.values())), *signatures])
