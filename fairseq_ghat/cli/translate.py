"""`ghat-translate CHECKPOINT DATA SOURCE OUT`: translates a plain text, and scores it if there are references."""

import argparse
from ast import literal_eval
from pathlib import Path
from typing import Any, Dict

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from fairseq_ghat.checkpoints.files import CheckpointError
from fairseq_ghat.checkpoints.whole_file import NotWritten, whole_file
from fairseq_ghat.cli import console, score
from fairseq_ghat.cli.loading import InputError, check_data, data_files
from fairseq_ghat.data.prepared import prepared_files
from fairseq_ghat.evaluation.bleu import bleu_metric
from fairseq_ghat.evaluation.generation_log import read_lines
from fairseq_ghat.evaluation.scoring import read_references
from fairseq_ghat.hub import checkpoint_files, load
from fairseq_ghat.models.translator import SentenceTooLong, Translator


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ghat-translate", description=__doc__.split("`: ")[1])
    add = parser.add_argument
    add("checkpoint", metavar="CHECKPOINT", help="of fairseq's transformer or of ours, voted or slim")
    prepared = "folder of scripts/prepare_data.py, whose subwords and case are followed"
    add("data", metavar="DATA", help=f"{prepared}; or of fairseq-preprocess, with --model-overrides")
    add("source", metavar="SOURCE", help="plain text to translate, a sentence a line")
    add("out", metavar="OUT", help="file for the translations, a line each")
    scored = "plain text, a line each, or .jsonl, a list of texts a line: print BLEU, as ghat-score does"
    add("--reference", metavar="REFERENCES", help=scored)
    add("--beam", type=int, default=5, metavar="N", help="beam size (default: 5)")
    add("--lenpen", type=float, default=1.0, metavar="X", help="penalty of length; above 1: longer (default: 1)")
    add("--max-len-a", type=float, default=0.0, metavar="A", help="most tokens: A x source length + B")
    add("--max-len-b", type=int, default=200, metavar="B", help="(default: A 0, B 200)")
    overrides = "as fairseq-generate's: {'bpe': 'sentencepiece', 'sentencepiece_model': 'spm.model'}"
    add("--model-overrides", default="{}", metavar="DICT", help=overrides)
    add("--cpu", action="store_true", help="also where there is a GPU")
    return parser


def main(argv=None) -> int:
    parser = build_parser()
    args = parser.parse_args(argv)
    console.quiet_libraries()
    inputs = {
        "CHECKPOINT": checkpoint_files(args.checkpoint),
        "DATA": [*data_files(args.data), *prepared_files(Path(args.data))],
        "SOURCE": [args.source],
        "--reference": [args.reference] if args.reference else [],
    }
    console.check_out(parser, args.out, inputs)
    console.check_minimum(parser, args, beam=1, lenpen=0, max_len_a=0, max_len_b=1)
    try:
        check_data(args.data)
        sentences = read_lines(args.source)
        if not sentences:
            raise InputError(f"SOURCE {args.source}: is empty")
        if args.reference:
            _check_references(args, len(sentences))
        translator = _load(args)
        if args.reference:  # whether its tokenizer is there shows before the work
            language = translator.task.cfg.target_lang
            bleu_metric(read_references(args.reference), translator.lowercase, target_lang=language)
        translator.to(console.choose_device(args))
        options = {name: getattr(args, name) for name in ("lenpen", "max_len_a", "max_len_b")}
        translations = translator.translate(sentences, args.beam, **options)
    except SentenceTooLong as error:
        where = f"SOURCE {args.source}: line {error.number + 1} has {error.length} tokens"
        allowed = (
            f"allowed are {error.most}, by the model's positions and max_tokens of its training (--model-overrides)"
        )
        parser.error(f"{where}; {allowed}")
    except (CheckpointError, ValueError) as error:
        parser.error(str(error))
    try:
        with whole_file(args.out) as file:
            file.writelines(f"{text}\n".encode() for text in translations)
    except NotWritten as error:
        parser.error(f"OUT {error}")
    if not args.reference:
        print(f"{args.out}: {len(translations)} translations")
        return 0
    language = ["--target-lang", translator.task.cfg.target_lang]
    return score.main([args.reference, args.out, *language, *(["--lowercase"] if translator.lowercase else [])])


def _check_references(args, sentences: int) -> None:
    """Raises InputError unless there is a reference for each sentence."""
    if not Path(args.reference).is_file():
        raise InputError(f"--reference {args.reference}: no such file")
    references = len(read_references(args.reference)[0])
    if references != sentences:
        raise InputError(f"--reference {args.reference}: has {references} lines, SOURCE {args.source} has {sentences}")


def _load(args) -> Translator:
    """The model. Raises InputError if fairseq does not take the options of --model-overrides."""
    overrides = _overrides(args.model_overrides)
    try:
        return load(args.checkpoint, args.data, **overrides)
    except (OSError, TypeError, KeyError, RuntimeError, OmegaConfBaseException, HydraException) as error:
        if not overrides:
            raise
        told = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"--model-overrides {args.model_overrides}: {told}") from error


def _overrides(text: str) -> Dict[str, Any]:
    """The options of --model-overrides, which fairseq's commands write as a dictionary of Python."""
    try:
        given = literal_eval(text)
    except (ValueError, SyntaxError):
        given = None
    if not isinstance(given, dict) or not all(isinstance(name, str) for name in given):
        raise InputError(f"--model-overrides {text}: give a dictionary, such as \"{{'max_tokens': 999}}\"")
    return given
