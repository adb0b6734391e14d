"""Prints one table of the stages of a run: heads, parameters, quality and speed.

    python scripts/stage_table.py --reference test.en --stage plain plain.log plain.pt --stage slim slim.log slim.pt
    python scripts/stage_table.py --perplexity perplexity.json --stage plain plain.pt --stage slim slim.pt

Of translations, each --stage takes a name, the log of fairseq-generate, and the checkpoint that generated it; BLEU is
sacreBLEU on detokenised text against the raw reference, with the tokenizer of the target language that the logs tell.
Of language models, a name and the checkpoint, as it was given to `ghat-perplexity ... --json > perplexity.json`, which
measured all under one window.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

from fairseq_ghat.checkpoints.files import CheckpointError, read_checkpoint
from fairseq_ghat.cli.console import markdown_table
from fairseq_ghat.evaluation.bleu import bleu_metric
from fairseq_ghat.evaluation.generation_log import GenerationLog, common_target_lang, read_generation_log, read_lines
from fairseq_ghat.profiling.parameters import describe_counts, heads_in_checkpoint, non_embedding_parameters

Table = Tuple[List[str], List[List[str]], List[str]]  # titles of the last columns, rows, and lines below the table


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    measured = parser.add_mutually_exclusive_group(required=True)
    measured.add_argument("--reference", type=Path, help="raw text of the test set's target side")
    measured.add_argument("--perplexity", type=Path, metavar="JSON", help="what ghat-perplexity --json printed")
    parser.add_argument("--stage", nargs="+", action="append", required=True, metavar="NAME [LOG] CHECKPOINT")
    args = parser.parse_args(argv)
    parts = "NAME LOG CHECKPOINT" if args.reference else "NAME CHECKPOINT"
    for stage in args.stage:
        if len(stage) != len(parts.split()):
            parser.error(f"--stage {' '.join(stage)}: give {parts}")
    try:
        if args.reference:
            titles, rows, notes = _translations(args.reference, args.stage)
        else:
            titles, rows, notes = _perplexities(args.perplexity, args.stage)
    except ValueError as error:
        parser.error(str(error))
    print(markdown_table(["stage", "attentions x heads", "parameters without embeddings", *titles], rows))
    print("\n".join(notes))
    return 0


def _translations(reference: Path, stages: Sequence[Sequence[str]]) -> Table:
    """BLEU and speed of each stage, and whether the voted and the slim model translate alike."""
    if not reference.is_file():
        raise ValueError(f"--reference {reference}: no such file")
    references = read_lines(reference)
    logs: List[Tuple[str, GenerationLog]] = []
    rows = []
    for name, log_path, checkpoint in stages:
        try:
            log, state = read_generation_log(log_path, with_speed=True), read_checkpoint(checkpoint)
        except (ValueError, CheckpointError) as error:
            raise ValueError(f"--stage {name}: {error}") from error
        if len(log.hypotheses) != len(references):
            sizes = f"{log_path} has {len(log.hypotheses)} sentences, {reference} {len(references)}"
            raise ValueError(f"--stage {name}: {sizes}")
        logs.append((name, log))
        heads = describe_counts(heads_in_checkpoint(state).values())
        parameters = non_embedding_parameters(state["model"])
        rows.append([name, heads, f"{parameters:,}"])
    bleu = bleu_metric([references], target_lang=common_target_lang(dict(logs)))
    for row, (_, log) in zip(rows, logs):
        score = bleu.corpus_score(log.hypotheses, [references]).score
        row += [f"{score:.1f}", f"{log.sentences_per_second:.1f}"]
    notes = [f"sacreBLEU {bleu.get_signature()}"]
    texts = {name: log.hypotheses for name, log in logs}
    if "voted" in texts and "slim" in texts:
        differing = sum(a != b for a, b in zip(texts["voted"], texts["slim"]))
        same = "identical" if differing == 0 else f"different in {differing} of {len(references)} sentences"
        notes.append(f"translations of the voted and the slim model: {same}")
    return ["BLEU", "sentences/s"], rows, notes


def _perplexities(path: Path, stages: Sequence[Sequence[str]]) -> Table:
    """Perplexity and speed of each stage, the window, and the bits per token of the voted and the slim model."""
    try:
        measured = json.loads(path.read_text())
        checkpoints = measured["checkpoints"]
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{path}: not what ghat-perplexity --json printed ({error})") from error
    for name, checkpoint in stages:
        if checkpoint not in checkpoints:
            raise ValueError(f"--stage {name} {checkpoint}: {path} has {', '.join(checkpoints)}")
    results = {name: checkpoints[checkpoint] for name, checkpoint in stages}
    unit = "word" if measured["subwords"] else "token"
    rows = []
    for name, result in results.items():
        subsets = result["subsets"]
        speed = sum(r["tokens"] for r in subsets.values()) / sum(r["seconds"] for r in subsets.values())
        figures = [f"{r['word_perplexity' if unit == 'word' else 'perplexity']:.2f}" for r in subsets.values()]
        rows.append([name, result["heads"], f"{result['parameters_without_embeddings']:,}", *figures, f"{speed:,.0f}"])
    sizes = ", ".join(f"{subset} {_size(r)}" for subset, r in subsets.items())
    notes = [f"perplexity per {unit}; {measured['window']}; {sizes}"]
    if "voted" in results and "slim" in results:
        last = list(subsets)[-1]
        voted, slim = (f"{results[name]['subsets'][last]['bits_per_token']:.4f}" for name in ("voted", "slim"))
        notes.append(f"bits per token of the voted and the slim model, {last}: {voted} and {slim}")
    return [*(f"{subset} perplexity" for subset in subsets), "tokens/s"], rows, notes


def _size(result: Dict[str, Any]) -> str:
    """'6,210 tokens in 4,400 words', or the tokens alone where they are the words."""
    return f"{result['tokens']:,} tokens" + (f" in {result['words']:,} words" if result["words"] else "")


if __name__ == "__main__":
    sys.exit(main())
