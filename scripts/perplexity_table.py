"""Prints one table of the stages of a language model: heads, parameters, perplexity and speed.

    python scripts/perplexity_table.py perplexity.json --stage plain plain.pt --stage slim slim.pt

reads what `ghat-perplexity ... --json > perplexity.json` measured, all of it under one window.
"""

import argparse
import json
import sys
from pathlib import Path

from fairseq_ghat.cli.console import markdown_table


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("measured", type=Path, metavar="JSON", help="what ghat-perplexity --json printed")
    parser.add_argument("--stage", nargs=2, action="append", required=True, metavar=("NAME", "CHECKPOINT"))
    args = parser.parse_args(argv)
    try:
        measured = json.loads(args.measured.read_text())
        checkpoints = measured["checkpoints"]
    except (OSError, ValueError, KeyError) as error:
        parser.error(f"{args.measured}: not what ghat-perplexity --json printed ({error})")
    for name, checkpoint in args.stage:
        if checkpoint not in checkpoints:
            parser.error(f"--stage {name} {checkpoint}: {args.measured} has {', '.join(checkpoints)}")

    stages = {name: checkpoints[checkpoint] for name, checkpoint in args.stage}
    unit = "word_perplexity" if measured["subwords"] else "perplexity"
    subsets = list(next(iter(stages.values()))["subsets"])
    titles = ["stage", "attentions x heads", "parameters without embeddings"]
    titles += [f"{subset} perplexity" for subset in subsets] + ["tokens/s"]
    rows = []
    for name, stage in stages.items():
        results = [stage["subsets"][subset] for subset in subsets]
        speed = sum(r["tokens"] for r in results) / sum(r["seconds"] for r in results)
        row = [name, stage["heads"], f"{stage['parameters_without_embeddings']:,}"]
        rows.append([*row, *(f"{r[unit]:.2f}" for r in results), f"{speed:,.0f}"])
    print(markdown_table(titles, rows))
    of = ", ".join(f"{subset} {sizes(result)}" for subset, result in next(iter(stages.values()))["subsets"].items())
    print(f"perplexity per {'word' if measured['subwords'] else 'token'}; {measured['window']}; {of}")
    if "voted" in stages and "slim" in stages:
        voted, slim = (stages[name]["subsets"][subsets[-1]]["bits_per_token"] for name in ("voted", "slim"))
        print(f"bits per token of the voted (masked) and the slim model, {subsets[-1]}: {voted:.4f} and {slim:.4f}")
    return 0


def sizes(result) -> str:
    """'6,210 tokens in 4,400 words', or the tokens alone where they are the words."""
    words = f" in {result['words']:,} words" if result["words"] else ""
    return f"{result['tokens']:,} tokens{words}"


if __name__ == "__main__":
    sys.exit(main())
