"""Prints one table of the stages of a run: heads, parameters, BLEU and speed.

    python examples/stage_table.py --reference test.en --stage plain plain.log plain.pt --stage slim slim.log slim.pt

Each --stage takes a name, the log of fairseq-generate, and the checkpoint that generated it. BLEU is sacreBLEU on
detokenised text against the raw reference.
"""

import argparse
import sys
from collections import Counter
from pathlib import Path

from sacrebleu.metrics import BLEU

from fairseq_ghat.checkpoints.files import CheckpointError, read_checkpoint
from fairseq_ghat.metrics.generation_log import GenerationLogError, read_generation_log, read_lines
from fairseq_ghat.metrics.parameters import non_embedding_parameters
from fairseq_ghat.pruning.head_masks import masks_in_state
from fairseq_ghat.pruning.slimming import model_config


def heads(state) -> str:
    """'9 x 8': attention layers x heads that are computed in each."""
    counts = Counter(len(kept) for kept in masks_in_state(state["model"]).values())
    if not counts:  # fairseq's own transformer: the heads stand in its options only
        sides = [key.split(".")[0] for key in state["model"] if key.endswith("q_proj.weight")]
        counts = Counter(getattr(model_config(state), f"{side}_attention_heads") for side in sides)
    return ", ".join(f"{layers} x {count}" for count, layers in sorted(counts.items()))


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reference", type=Path, required=True, help="raw text of the test set's target side")
    parser.add_argument("--stage", nargs=3, action="append", required=True, metavar=("NAME", "LOG", "CHECKPOINT"))
    args = parser.parse_args(argv)
    if not args.reference.is_file():
        parser.error(f"--reference {args.reference}: no such file")
    references = read_lines(args.reference)

    bleu, rows, texts = BLEU(), [], {}
    for name, log_path, checkpoint in args.stage:
        try:
            log, state = read_generation_log(log_path), read_checkpoint(checkpoint)
        except (GenerationLogError, CheckpointError, FileNotFoundError) as error:
            parser.error(f"--stage {name}: {error}")
        if len(log.hypotheses) != len(references):
            parser.error(
                f"--stage {name}: {log_path} has {len(log.hypotheses)} sentences, {args.reference} {len(references)}"
            )
        score = bleu.corpus_score(log.hypotheses, [references]).score
        parameters = non_embedding_parameters(state["model"])
        rows.append((name, heads(state), f"{parameters:,}", f"{score:.1f}", f"{log.sentences_per_second:.1f}"))
        texts[name] = log.hypotheses

    titles = ("stage", "attentions x heads", "parameters without embeddings", "BLEU", "sentences/s")
    widths = [max(len(row[i]) for row in [titles, *rows]) for i in range(len(titles))]
    for row in (titles, tuple("-" * width for width in widths), *rows):
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |")
    print(f"sacreBLEU {bleu.get_signature()}")
    if "voted" in texts and "slim" in texts:
        differing = sum(a != b for a, b in zip(texts["voted"], texts["slim"]))
        same = "identical" if differing == 0 else f"different in {differing} of {len(references)} sentences"
        print(f"translations of the voted (masked) and the slim model: {same}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
