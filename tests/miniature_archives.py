"""Every corpus in the form of its published archives, but with a few hundred made-up sentences.

Each function writes into a folder and returns the text that a preparation must find, so that tests compare with what
went in. Words are made of few letters: small sets of subwords can be learnt from them.
"""

import gzip
import html
import io
import json
import lzma
import random
import tarfile
import zipfile
from hashlib import sha1
from itertools import product
from typing import Dict, List, Tuple

Pair = Tuple[str, str]

_WORDS = {
    language: [a + vowel + b for a, vowel, b in product("bdm", "aeo", ends)]
    for language, ends in (("de", "nr"), ("en", "ls"), ("fr", "xt"), ("it", "io"), ("cs", "kz"))
}


def sentences(language: str, count: int, seed: int) -> List[str]:
    """Sentences of 5 to 8 words, the first in capitals, each with a number of its own in letters."""
    rng = random.Random(f"{language} {seed}")
    made = []
    for number in range(count):
        words = [rng.choice(_WORDS[language]) for _ in range(rng.randrange(5, 9))]
        name = "".join("abdelmnors"[int(digit)] for digit in str(number))
        made.append(f"{words[0].capitalize()} {name} {' '.join(words[1:])}.")
    return made


def sentence_pairs(source: str, target: str, count: int, seed: int) -> List[Pair]:
    """Pairs of equally many words."""
    made = []
    for first, second in zip(sentences(source, count, seed), sentences(target, count, seed)):
        shorter = min(len(first.split()), len(second.split()))
        made.append(tuple(" ".join(text.split()[:shorter]) for text in (first, second)))
    return made


def write_tar(path, members: Dict[str, bytes], mode: str = "w:gz") -> None:
    """A tar of the members, in their order."""
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def text(lines) -> bytes:
    """Lines as the bytes of a file."""
    return "".join(f"{line}\n" for line in lines).encode()


def evaluation_xml(lines) -> bytes:
    """An evaluation set in the form of mteval, one document."""
    head = ['<?xml version="1.0" encoding="UTF-8"?>', '<mteval><refset setid="x">', '<doc docid="1">', "<url>u</url>"]
    body = [f'<seg id="{number}"> {html.escape(line)} </seg>' for number, line in enumerate(lines, 1)]
    return text([*head, *body, "</doc>", "</refset></mteval>"])


def iwslt14(folder, direction: str, tedx: str = "dev2012", without: str = "") -> Dict[str, List[Pair]]:
    """DIRECTION.tgz; of its pairs, those that must go are not among what is returned."""
    languages = direction.split("-")
    pairs = sentence_pairs(*languages, 90, seed=1)
    good = [("Das Leben, die Kunst", "Of life and art"), *pairs]  # the first is a title
    tags: Dict[str, List[str]] = {language: [] for language in languages}
    for side, language in enumerate(languages):
        own = [pair[side] for pair in pairs]
        tags[language] = [
            f"<url>http://x/{language}</url>",
            "<keywords>talks</keywords>",
            "<talkid>1</talkid>",
            f"<title>{good[0][side]}</title>",
            *own[:40],
            "" if side else "lonely",  # an empty side
            "mal " * (3 if side else 2),  # a ratio of 1.5: stays
            "mal " * (4 if side else 2),  # a ratio of 2
            "mal " * 176,  # too long
            *own[40:],
        ]
    good[41:41] = [("mal mal", "mal mal mal")]
    test: List[Pair] = []
    members = {f"{direction}/train.tags.{direction}.{language}": text(tags[language]) for language in languages}
    for number, part in enumerate(("TED.dev2010", f"TEDX.{tedx}", "TED.tst2010", "TED.tst2011", "TED.tst2012")):
        if part == without:
            continue
        found = [*sentence_pairs(*languages, 6 + number, seed=10 + number), (f"R&D <{part}> it’s", f"'s & {part}")]
        for side, language in enumerate(languages):
            name = f"{direction}/IWSLT14.{part}.{direction}.{language}.xml"
            members[name] = evaluation_xml(pair[side] for pair in found)
        test += [tuple(side.replace("’", "'") for side in pair) for pair in found]
    members[f"{direction}/README"] = b"made up\n"
    write_tar(folder / f"{direction}.tgz", members)
    # every 23rd of the good pairs validates
    valid = [pair for number, pair in enumerate(good, 1) if number % 23 == 0]
    return {"train": [pair for pair in good if pair not in valid], "valid": valid, "test": test}


def wmt14(folder, other: str) -> Dict[str, List[Pair]]:
    """The archives of English and the other language; of train, pairs that must go are not among what is returned."""
    pairs = {
        name: sentence_pairs("en", other, 30, seed)
        for seed, name in enumerate(("europarl", "crawl", "un", "news", "giga"))
    }
    lines = {name: tuple([pair[side] for pair in found] for side in (0, 1)) for name, found in pairs.items()}
    for side, extra in ((0, "mal"), (1, "")):  # an empty side, a carriage return inside a line, a ratio of 6
        lines["europarl"][side].append(extra)
        lines["crawl"][side].append("bal\rbas")
        lines["news"][side].append("Mal " * (1 if side else 6))
    pairs["crawl"].append(("bal bas", "bal bas"))

    def both(form: str, name: str, pack=lambda content: content) -> Dict[str, bytes]:
        return {form.format(language): pack(text(lines[name][side])) for side, language in enumerate(("en", other))}

    decoy = {"training/europarl-v7.cs-en.en": text(["not this"]), "training/europarl-v7.cs-en.cs": text(["to ne"])}
    europarl = both(f"training/europarl-v7.{other}-en.{{}}", "europarl")
    write_tar(folder / "training-parallel-europarl-v7.tgz", {**decoy, **europarl})
    write_tar(folder / "training-parallel-commoncrawl.tgz", both(f"commoncrawl.{other}-en.{{}}", "crawl"))
    write_tar(folder / "training-parallel-nc-v9.tgz", both(f"training/news-commentary-v9.{other}-en.{{}}", "news"))
    order = ["europarl", "crawl", "news"]
    if other == "fr":
        order = ["europarl", "crawl", "un", "news", "giga"]
        write_tar(folder / "training-parallel-un.tgz", both("un/undoc.2000.fr-en.{}", "un"))
        giga = both("giga-fren.release2.fixed.{}.gz", "giga", gzip.compress)
        write_tar(folder / "training-giga-fren.tar", giga, "w")
    valid: List[Pair] = []
    dev = {}
    for seed, year in enumerate(("2012", "2013"), 20):
        found = sentence_pairs("en", other, 5, seed)
        for side, language in enumerate(("en", other)):
            dev[f"dev/newstest{year}.{language}"] = text(pair[side] for pair in found)
        valid += found if year == "2013" or other == "fr" else []
    write_tar(folder / "dev.tgz", dev)
    test = [*sentence_pairs("en", other, 6, 30), ("it’s AT&T", "AT&T")]
    kinds = {"src.en": 0, f"ref.{other}": 1, "src.cs": 1}
    sgm = {
        f"test-full/newstest2014-{other}en-{kind}.sgm": evaluation_xml(pair[side] for pair in test)
        for kind, side in kinds.items()
    }
    write_tar(folder / "test-full.tgz", sgm)
    test[-1] = ("it's AT&T", "AT&T")
    return {"train": [pair for name in order for pair in pairs[name]], "valid": valid, "test": test}


def wikitext(folder, number: str) -> Dict[str, List[str]]:
    """wikitext-NUMBER-v1.zip, with its empty lines and <unk>."""
    found = {
        split: ["", f" = {split} = ", *(f" {line} <unk> " for line in sentences("en", count, seed))]
        for seed, (split, count) in enumerate((("train", 60), ("valid", 9), ("test", 8)))
    }
    with zipfile.ZipFile(folder / f"wikitext-{number}-v1.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"wikitext-{number}/", b"")
        for split, lines in found.items():
            archive.writestr(f"wikitext-{number}/wiki.{split}.tokens", text(lines))
    return found


def wikitext2_texts(folder) -> Dict[str, List[str]]:
    """WikiText-2 as text files, one of them packed."""
    found = {split: [f" = {split} = ", "", *sentences("en", 20, 3)] for split in ("train", "valid", "test")}
    for split, lines in found.items():
        (folder / f"{split}.txt").write_bytes(text(lines))
    (folder / "train.txt.gz").write_bytes(gzip.compress((folder / "train.txt").read_bytes()))
    (folder / "train.txt").unlink()
    return found


def multi30k(folder) -> Dict[str, List[Pair]]:
    """The six files, packed by gzip."""
    found = {}
    for seed, (split, name, count) in enumerate(
        (("train", "train", 80), ("valid", "val", 9), ("test", "test_2016_flickr", 7))
    ):
        found[split] = sentence_pairs("de", "en", count, seed)
        for side, language in enumerate(("de", "en")):
            (folder / f"{name}.{language}.gz").write_bytes(gzip.compress(text(pair[side] for pair in found[split])))
    return found


def cnn_dailymail(folder) -> Dict[str, List[Pair]]:
    """Two archives of stories and three lists of addresses; a training story has no text, another is in no list."""
    found: Dict[str, List[Pair]] = {"train": [], "valid": [], "test": []}
    addresses: Dict[str, List[str]] = {split: [] for split in found}
    for seed, outlet in enumerate(("cnn", "dailymail")):
        stories = {f"{outlet}/stories/{sha1(b'unlisted').hexdigest()}.story": b"Not listed.\n"}
        for number, line in enumerate(sentences("en", 40, seed)):
            split = "valid" if number % 10 == 3 else "test" if number % 10 == 7 else "train"
            address = f"http://web.archive.org/{outlet}/{number}.html"
            addresses[split].insert(0, address)  # the lists are in another order than the archives
            caption, summary = line.rstrip("."), line.split()[0]
            story = f"{line}\n\n{caption}\n\n@highlight\n\n{summary}\n\n@highlight\n\nWell, {number}!\n"
            if outlet == "cnn" and number == 0:
                story = "\n@highlight\n\nNo text\n"
            else:
                found[split].append((f"{line} {caption}.", f"{summary}. Well, {number}!"))
            stories[f"{outlet}/stories/{sha1(address.encode()).hexdigest()}.story"] = story.encode()
        write_tar(folder / f"{outlet}_stories.tgz", stories)
    for split, name in (("train", "train"), ("valid", "val"), ("test", "test")):
        (folder / f"all_{name}.txt").write_bytes(text(addresses[split]))
    return found


def scitldr(folder, packed: bool = True) -> Dict[str, List[Tuple[str, List[str]]]]:
    """Documents in JSON lines: abstract and summaries."""
    found: Dict[str, List[Tuple[str, List[str]]]] = {}
    for seed, (split, name, count) in enumerate((("train", "train", 40), ("valid", "dev", 6), ("test", "test", 5))):
        lines = sentences("en", 4 * count, seed)
        records = []
        found[split] = []
        for number in range(count):
            source, target = lines[4 * number : 4 * number + 2], lines[4 * number + 2 : 4 * number + 3 + number % 2]
            records.append(json.dumps({"source": source, "target": target, "paper_id": f"p{number}"}))
            found[split].append((" ".join(source), target))
        content = text(records)
        path = folder / f"{name}.jsonl"
        if packed:
            path = folder / f"{name}.jsonl.xz"
            content = lzma.compress(content)
        path.write_bytes(content)
    return found


def sigmorphon2020(folder, language: str) -> Dict[str, List[Pair]]:
    """Three tables of words and phonemes; some words have a space inside, which is to be lost."""
    expected: Dict[str, List[Pair]] = {}
    for seed, (split, name, count) in enumerate((("train", "train", 90), ("valid", "dev", 12), ("test", "test", 11))):
        rng = random.Random(f"{language} {seed}")
        lines = []
        expected[split] = []
        for number in range(count):
            letters = [rng.choice("aeobdmđ") for _ in range(rng.randrange(2, 7))]
            phonemes = [f"{letter}ː" if letter in "aeo" else letter for letter in letters]
            word = "".join([*letters[:1], " " if number % 5 == 3 else "", *letters[1:]])
            lines.append(f"{word}\t{' '.join(phonemes)}")
            expected[split].append((" ".join(letters), " ".join(phonemes)))
        (folder / f"{language}_{name}.tsv").write_bytes(text(lines))
    return expected
