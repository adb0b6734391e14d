"""Trains one sentencepiece model on the training text of one or two languages and encodes all splits with it.

    python examples/encode_pieces.py RAW OUT --languages de en --vocab 6000

reads RAW/{train,valid,test}.{de,en} and writes OUT/spm.model and OUT/{train,valid,test}.{de,en} in pieces.
"""

import argparse
import os
from pathlib import Path

import sentencepiece

SPLITS = ("train", "valid", "test")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("raw", type=Path, metavar="RAW", help="folder of the raw text")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to write")
    parser.add_argument("--languages", nargs="+", required=True, metavar="LANG", help="what the files' names end in")
    parser.add_argument("--vocab", type=int, required=True, help="number of pieces, joint over the languages")
    args = parser.parse_args()

    files = [args.raw / f"{split}.{lang}" for split in SPLITS for lang in args.languages]
    for file in files:
        if not file.is_file():
            parser.error(f"{file}: no such file; {args.raw} must hold {{train,valid,test}}.LANG")
        if file.stat().st_size == 0:
            parser.error(f"{file}: is empty")
    args.out.mkdir(parents=True, exist_ok=True)
    try:
        sentencepiece.SentencePieceTrainer.train(
            input=[str(file) for file in files if file.name.startswith("train.")],
            model_prefix=str(args.out / "spm"),
            vocab_size=args.vocab,
            character_coverage=1.0,
            num_threads=1,  # the same model on every machine
            minloglevel=2,
        )
    except RuntimeError as error:  # its message says which sizes the text allows
        parser.error(f"--vocab {args.vocab}: {str(error).rsplit('] ')[-1]}")
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(args.out / "spm.model"))
    for file in files:
        beside = args.out / f"{file.name}.part"
        with open(file, encoding="utf-8") as lines, open(beside, "w", encoding="utf-8") as encoded:
            for line in lines:
                encoded.write(" ".join(pieces.encode(line.strip(), out_type=str)) + "\n")
        os.replace(beside, args.out / file.name)
    print(f"{args.out}: {args.vocab} pieces, {', '.join(SPLITS)} encoded")


if __name__ == "__main__":
    main()
