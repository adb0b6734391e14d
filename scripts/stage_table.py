"""Prints one table of the stages of a run: heads, parameters, BLEU and speed.

    python scripts/stage_table.py --reference test.en --stage plain plain.log plain.pt --stage slim slim.log slim.pt

Each --stage takes a name, the log of fairseq-generate, and the checkpoint that generated it. BLEU is sacreBLEU on
detokenised text against the raw reference.
"""

import argparse
import sys
from pathlib import Path

from sacrebleu.metrics import BLEU

from fairseq_ghat.checkpoints.files import CheckpointError, read_checkpoint
from fairseq_ghat.cli.console import markdown_table
from fairseq_ghat.evaluation.generation_log import GenerationLogError, read_generation_log, read_lines
from fairseq_ghat.profiling.parameters import describe_heads, heads_in_checkpoint, non_embedding_parameters


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
            log, state = read_generation_log(log_path, with_speed=True), read_checkpoint(checkpoint)
        except (GenerationLogError, CheckpointError, FileNotFoundError) as error:
            parser.error(f"--stage {name}: {error}")
        if len(log.hypotheses) != len(references):
            parser.error(
                f"--stage {name}: {log_path} has {len(log.hypotheses)} sentences, {args.reference} {len(references)}"
            )
        score = bleu.corpus_score(log.hypotheses, [references]).score
        parameters = non_embedding_parameters(state["model"])
        heads = describe_heads(heads_in_checkpoint(state).values())
        rows.append((name, heads, f"{parameters:,}", f"{score:.1f}", f"{log.sentences_per_second:.1f}"))
        texts[name] = log.hypotheses

    titles = ("stage", "attentions x heads", "parameters without embeddings", "BLEU", "sentences/s")
    print(markdown_table(titles, rows))
    print(f"sacreBLEU {bleu.get_signature()}")
    if "voted" in texts and "slim" in texts:
        differing = sum(a != b for a, b in zip(texts["voted"], texts["slim"]))
        same = "identical" if differing == 0 else f"different in {differing} of {len(references)} sentences"
        print(f"translations of the voted (masked) and the slim model: {same}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
