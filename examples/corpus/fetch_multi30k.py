"""Multi30k German-English (Elliott et al., 2016): 29,000 / 1,014 / 1,000 image captions, raw text.

    python examples/corpus/fetch_multi30k.py OUT [--from DIR]

writes OUT/{train,valid,test}.{de,en}; test is test_2016_flickr. Downloads from the public repository
multi30k/dataset, or reads the same .gz files from DIR. Every file is verified by its SHA-256.
"""

import gzip
import sys

from corpus_files import check_sum, download, end_unfetched, fetch_parser, write_whole

URL = "https://raw.githubusercontent.com/multi30k/dataset/master/data/task1/raw/"
SPLITS = {"train": "train", "val": "valid", "test_2016_flickr": "test"}
SHA256 = {
    "test_2016_flickr.de.gz": "9204244e408ccb38d2a55cfcd344df15005fc42a07a6e55ca6c52b6ababb8cc8",
    "test_2016_flickr.en.gz": "611d361c6334bc7246101d48097c13cf5c4413c5befc793cc629934359d532d9",
    "train.de.gz": "726e39b2fa9eb9ffb6dc763fb35a179f80fae06ffc5d28b6ace5faa883de28a6",
    "train.en.gz": "d79cfa999dd4c51d2cb42499b6796d5a882c3a8a961923c25a898c90f8bbd56f",
    "val.de.gz": "f0cba2f995189cf5770f29a8a9a537a3ad3f51657ad873405082ff6863a5e75a",
    "val.en.gz": "14f7d25ddd868909a9213e361768460edcacdd6ab9d1e77b92560dc10c10dc28",
}


def main(argv=None) -> int:
    parser = fetch_parser(__doc__.splitlines()[0], ".gz files")
    args = parser.parse_args(argv)
    if args.source is not None:
        for name in SHA256:
            if not (args.source / name).is_file():
                parser.error(f"--from {args.source}: has no {name}; needed are {', '.join(SHA256)}")
    args.out.mkdir(parents=True, exist_ok=True)
    for name in SHA256:
        try:
            path = (args.source or args.out) / name
            if not args.source:
                download(URL + name, path)
            packed = path.read_bytes()
            check_sum(path, packed, SHA256[name])
        except (ValueError, OSError) as error:
            end_unfetched(name, error, args.source, ".gz files")
        split, language, _ = name.split(".")
        write_whole(args.out / f"{SPLITS[split]}.{language}", gzip.decompress(packed))
    print(f"{args.out}: Multi30k de-en, {', '.join(SPLITS.values())}, checksums right")
    return 0


if __name__ == "__main__":
    sys.exit(main())
