"""WikiText-2 (Merity et al., 2016), word level: 2,088,628 / 217,646 / 245,569 tokens, one end of line each counted.

    python examples/corpus/fetch_wikitext2.py OUT [--from DIR]

writes OUT/{train,valid,test}.en. Downloads the text files from the public repository pytorch/examples, or reads
{train,valid,test}.txt or .txt.gz from DIR. Every text is verified by its SHA-256.
"""

import gzip
import sys
import zlib

from corpus_files import check_sum, download, end_unfetched, fetch_parser, write_whole

URL = "https://raw.githubusercontent.com/pytorch/examples/main/word_language_model/data/wikitext-2/"
SHA256 = {
    "train": "9e9fa1ad55b1c2c95b08e37dd8e653f638fac2c6de904b79e813611eefbc985f",
    "valid": "f0737ed31fc1329026e95cb8b98e19c2a182c39c240ab909dc31abf2f8af58e8",
    "test": "d790b833ef8cf03a90db7bf1271b7520b83c45ce07ba3c1a9699df81e239eca0",
}


def main(argv=None) -> int:
    parser = fetch_parser(__doc__.splitlines()[0], "text files")
    args = parser.parse_args(argv)
    files = {split: args.out / f"{split}.txt" for split in SHA256}
    for split in SHA256 if args.source else ():
        found = [path for path in (args.source / f"{split}.txt", args.source / f"{split}.txt.gz") if path.is_file()]
        if not found:
            parser.error(f"--from {args.source}: has no {split}.txt or {split}.txt.gz")
        files[split] = found[0]
    args.out.mkdir(parents=True, exist_ok=True)
    for split, path in files.items():
        try:
            if not args.source:
                download(f"{URL}{path.name}", path)
            text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
            check_sum(path, text, SHA256[split])
        except (ValueError, OSError, EOFError, zlib.error) as error:
            end_unfetched(path.name, error, args.source, "files")
        write_whole(args.out / f"{split}.en", text)
    print(f"{args.out}: WikiText-2, {', '.join(SHA256)}, checksums right")
    return 0


if __name__ == "__main__":
    sys.exit(main())
