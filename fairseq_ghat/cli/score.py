"""`ghat-score REFERENCES SYSTEM...`: BLEU, ROUGE or error rates of logs of fairseq's programs, with significance."""

import argparse
import json
from pathlib import Path
from typing import Dict, List, Optional

from sacrebleu.metrics import BLEU

from fairseq_ghat.cli.console import check_minimum, markdown_table, quiet_libraries
from fairseq_ghat.data.prepared import NAME, read_prepared
from fairseq_ghat.evaluation.generation_log import (
    GenerationLog,
    check_no_subwords,
    common_target_lang,
    is_generation_log,
    read_generation_log,
    read_lines,
)
from fairseq_ghat.evaluation.scoring import LOWER_IS_BETTER, METRICS, SystemScore, read_references, score_systems


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ghat-score", description=__doc__.split("`: ")[1])
    add = parser.add_argument
    listed = "a list of texts a line, whose sentences newlines may separate"
    add("references", metavar="REFERENCES", help=f"raw text, a line each; .jsonl: {listed}")
    logs = "log of fairseq-generate or fairseq-interactive, whole or its pasted lines H- and D-"
    first = "the first is what the others are tested against"
    add("systems", metavar="SYSTEM", nargs="+", help=f"{logs}, or a text file with a hypothesis a line; {first}")
    rates = "shares of words and of phonemes that are wrong, a word a line (jiwer)"
    add("--metric", choices=METRICS, default="bleu", help=f"default: bleu, by sacrebleu; error-rate: {rates}")
    add("--lowercase", action="store_true", help="BLEU without case")
    known = "(default: as the logs say, or the prepared.json of a folder whose raw/ has REFERENCES)"
    add("--target-lang", metavar="LANG", help=f"of BLEU's tokenizer: ja, ko and zh have their own {known}")
    add("--tokenize", metavar="NAME", help=f"BLEU's for any language, instead: {', '.join(BLEU.TOKENIZERS)}")
    add("--detokenize", metavar="LANG", help="undo Moses tokenization of this language (sacremoses)")
    unmarked = "texts that do not mark them, by <q> or, in .jsonl, by newlines"
    add(
        "--split-sentences", action="store_true", help=f"for ROUGE-L, find the sentences of {unmarked} (pysbd, English)"
    )
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
    for given, flag, metric in (
        (args.lowercase, "--lowercase", "bleu"),
        (args.target_lang, "--target-lang", "bleu"),
        (args.tokenize, "--tokenize", "bleu"),
        (args.split_sentences, "--split-sentences", "rouge"),
    ):
        if given and args.metric != metric:
            parser.error(f"{flag}: only with --metric {metric}")
    check_minimum(parser, args, resamples=1)
    conditions = {name: getattr(args, name) for name in ("references", "metric", "lowercase", "tokenize")}
    try:
        references = read_references(args.references)
        logs = {path: _read_system(path) for path in args.systems}
        systems = {path: log.hypotheses for path, log in logs.items()}
        if args.detokenize:
            systems = {path: _detokenized(texts, args.detokenize) for path, texts in systems.items()}
        conditions["split_sentences"] = args.split_sentences
        conditions["target_lang"] = _target_lang(args, logs) if args.metric == "bleu" else None
        options = {name: value for name, value in conditions.items() if name != "references"}
        scores = score_systems(systems, references, resamples=args.resamples, **options)
    except ImportError as error:
        parser.error(f"{error.name} is not installed: pip install rouge-score pysbd sacremoses jiwer")
    except ValueError as error:
        parser.error(str(error))
    if args.json:
        speeds = {path: log.sentences_per_second for path, log in logs.items()}
        print(json.dumps({**conditions, "scores": scores, "sentences_per_second": speeds}, indent=1, default=vars))
    else:
        print(_table(scores))
    return 0


def _read_system(path: str) -> GenerationLog:
    """What a log says; of a text file, its hypotheses."""
    if is_generation_log(path):
        return read_generation_log(path)
    texts = read_lines(path)
    check_no_subwords(path, texts)
    return GenerationLog(texts, None)


def _target_lang(args: argparse.Namespace, logs: Dict[str, GenerationLog]) -> Optional[str]:
    """The language that BLEU's tokenizer is for, as far as it is known."""
    if args.target_lang or args.tokenize:
        return args.target_lang
    told, folder = common_target_lang(logs), Path(args.references).resolve().parent
    if told is None and folder.name == "raw" and (folder.parent / NAME).is_file():
        prepared = read_prepared(folder.parent)
        told = prepared.languages[-1] if prepared.task == "translation" else None
    return told


def _detokenized(texts: List[str], language: str) -> List[str]:
    from sacremoses import MosesDetokenizer

    detokenizer = MosesDetokenizer(lang=language)
    return [detokenizer.detokenize(text.split()) for text in texts]


def _table(scores: Dict[str, Dict[str, SystemScore]]) -> str:
    """A row for each system; BLEU with what it is made of, in sacrebleu's words."""
    titles, rows, signatures = ["system"], {path: [path] for path in next(iter(scores.values()))}, []
    for metric, systems in scores.items():
        titles += [f"{metric} (lower is better)" if metric in LOWER_IS_BETTER else metric, "p"]
        for path, system in systems.items():
            p = "" if system.p_value is None else f"{system.p_value:.3f}"
            rows[path] += [f"{system.score:.2f} ± {system.interval:.2f}", p]
        signatures.append(f"{metric} {system.signature}")
    if "BLEU" in scores:
        titles += ["precisions", "BP", "ratio", "hyp_len", "ref_len"]
        for path, system in scores["BLEU"].items():
            parts = system.parts
            ratio = parts.hypothesis_length / parts.reference_length if parts.reference_length else 0
            rows[path] += ["/".join(f"{precision:.1f}" for precision in parts.precisions)]
            rows[path] += [f"{parts.brevity_penalty:.3f}", f"{ratio:.3f}"]
            rows[path] += [str(parts.hypothesis_length), str(parts.reference_length)]
    return "\n".join([markdown_table(titles, list(rows.values())), *signatures])
