"""The corpora that can be prepared: their files, addresses, sizes, and what is known of their content.

LINES and SHA256 say what the published files hold; what is not known for sure is left out and not checked.
"""

from dataclasses import dataclass
from typing import Dict, Mapping, Optional, Sequence, Tuple

from experiments.corpora.parallel_text import Limits
from experiments.corpora.text_files import SPLITS, CorpusError

_STATMT = "https://www.statmt.org/"
_WIT3 = "https://wit3.fbk.eu/archive/2014-01/texts/"
_GITHUB = "https://raw.githubusercontent.com/"
_SIGMORPHON2020 = f"{_GITHUB}sigmorphon/2020/3d9bb3658b6a964ccd127e2a6781665262516bf6/task1/data/"
_STORIES = "https://huggingface.co/datasets/cnn_dailymail/resolve/11343c3752184397d56efc19a8a7cceb68089318/data/"


@dataclass(frozen=True)
class SourceFile:
    """A file that a corpus is made from.

    Attributes:
        addresses: each name that it may have, and the address of the folder it is in. The first name is the one that
            the corpus knows it by, and the first that is looked for.
    """

    addresses: Mapping[str, str]

    @property
    def name(self) -> str:
        """The name that the corpus knows it by."""
        return next(iter(self.addresses))


@dataclass(frozen=True)
class Corpus:
    """One corpus and how it is prepared.

    Attributes:
        name: as the command line has it: family, or family.source-target.
        task: translation, summarization or language_modeling.
        suffixes: ends of its files' names: source and target, or the one language of a language model.
        alternatives: sets of files it can be made from, any one of which will do; none for what is made here.
        vocab: number of subwords (with moses-bpe: of merges); None where text is not cut into any.
        joined_dictionary: both sides share a dictionary.
        lowercase: what the model reads is lower-cased.
        limits: lengths of training pairs.
        counted: what lengths are counted in, words or pieces.
        moses_extra: punctuation is normalised and dashes are split off, as fairseq does for WMT.
        languages: of the suffixes, where they are none themselves.
        sampled: lines that sentencepiece learns from at most: it holds them in memory.
        note: what to know where a download fails.
    """

    name: str
    task: str
    suffixes: Tuple[str, ...]
    alternatives: Tuple[Tuple[SourceFile, ...], ...] = ()
    vocab: Optional[int] = None
    joined_dictionary: bool = False
    lowercase: bool = False
    limits: Optional[Limits] = None
    counted: str = "words"
    moses_extra: bool = False
    languages: Tuple[str, ...] = ()
    sampled: Optional[int] = None
    note: str = ""

    @property
    def family(self) -> str:
        """What is the same for all its language pairs; names the module that builds it."""
        return self.name.partition(".")[0]

    @property
    def text_languages(self) -> Tuple[str, ...]:
        """The language of each of its files."""
        return self.languages or self.suffixes


def _files(address: str, *names: str) -> Tuple[SourceFile, ...]:
    return tuple(SourceFile({name: address}) for name in names)


def _packed(address: str, *names: str, packings: Sequence[str] = (".gz",)) -> Tuple[SourceFile, ...]:
    """Files that may also be there packed."""
    return tuple(SourceFile({f"{name}{end}": address for end in ("", *packings)}) for name in names)


def _iwslt14(source: str, target: str, archives: Mapping[str, str]) -> Corpus:
    return Corpus(
        name=f"iwslt14.{source}-{target}",
        task="translation",
        suffixes=(source, target),
        alternatives=((SourceFile(archives),),),
        vocab=10_000,
        lowercase=True,
        limits=Limits(1, 175, 1.5),
        note="WIT3 (wit3.fbk.eu), where these archives were published, has moved and no longer serves this address",
    )


def _wmt14(target: str, vocab: int, archives: Tuple[SourceFile, ...]) -> Corpus:
    return Corpus(
        name=f"wmt14.en-{target}",
        task="translation",
        suffixes=("en", target),
        alternatives=(archives,),
        vocab=vocab,
        joined_dictionary=True,
        limits=Limits(1, 250, 1.5),
        counted="pieces",
        moses_extra=True,
        sampled=4_000_000,
    )


def _sigmorphon2020(language: str) -> Corpus:
    parts = ("train", "dev", "test")
    return Corpus(
        name=f"sigmorphon2020.{language}",
        task="translation",
        suffixes=("graphemes", "phonemes"),
        alternatives=(tuple(SourceFile({f"{language}_{part}.tsv": f"{_SIGMORPHON2020}{part}/"}) for part in parts),),
    )


SIGMORPHON2020 = "ady arm bul dut fre geo gre hin hun ice jpn kor lit rum vie".split()
_DE_EN = {"de-en.tgz": "http://dl.fbaipublicfiles.com/fairseq/data/iwslt14/"}
_IT_EN, _EN_IT = {"it-en.tgz": f"{_WIT3}it/en/"}, {"en-it.tgz": f"{_WIT3}en/it/"}
_WMT13 = _files(f"{_STATMT}wmt13/", "training-parallel-europarl-v7.tgz", "training-parallel-commoncrawl.tgz")
_WMT14 = _files(f"{_STATMT}wmt14/", "training-parallel-nc-v9.tgz", "dev.tgz", "test-full.tgz")

_ALL = (
    _iwslt14("de", "en", _DE_EN),
    _iwslt14("en", "de", _DE_EN),
    _iwslt14("it", "en", {**_IT_EN, **_EN_IT}),
    _iwslt14("en", "it", {**_EN_IT, **_IT_EN}),
    _iwslt14("en", "fr", {"en-fr.tgz": f"{_WIT3}en/fr/", "fr-en.tgz": f"{_WIT3}fr/en/"}),
    _wmt14("de", 40_000, _WMT13 + _WMT14),
    _wmt14(
        "fr",
        43_000,
        _WMT13
        + _files(f"{_STATMT}wmt13/", "training-parallel-un.tgz")
        + _files(f"{_STATMT}wmt10/", "training-giga-fren.tar")
        + _WMT14,
    ),
    Corpus(
        name="wikitext-103",
        task="language_modeling",
        suffixes=("en",),
        alternatives=(_files("https://wikitext.smerity.com/", "wikitext-103-v1.zip"),),
    ),
    Corpus(
        name="wikitext-2",
        task="language_modeling",
        suffixes=("en",),
        alternatives=(
            _packed(
                f"{_GITHUB}pytorch/examples/main/word_language_model/data/wikitext-2/",
                *(f"{split}.txt" for split in SPLITS),
            ),
            _files("https://wikitext.smerity.com/", "wikitext-2-v1.zip"),
        ),
    ),
    Corpus(
        name="multi30k.de-en",
        task="translation",
        suffixes=("de", "en"),
        alternatives=(
            _files(
                f"{_GITHUB}multi30k/dataset/master/data/task1/raw/",
                *(f"{part}.{side}.gz" for part in ("train", "val", "test_2016_flickr") for side in ("de", "en")),
            ),
        ),
        vocab=6_000,
        joined_dictionary=True,
    ),
    Corpus(
        name="cnn-dailymail",
        task="summarization",
        suffixes=("source", "target"),
        alternatives=(
            _files(_STORIES, "cnn_stories.tgz", "dailymail_stories.tgz")
            + _files(
                f"{_GITHUB}abisee/cnn-dailymail/master/url_lists/", "all_train.txt", "all_val.txt", "all_test.txt"
            ),
        ),
        vocab=50_000,
        joined_dictionary=True,
        languages=("en", "en"),
        sampled=100_000,
    ),
    Corpus(
        name="scitldr",
        task="summarization",
        suffixes=("source", "target"),
        alternatives=(
            _packed(
                f"{_GITHUB}allenai/scitldr/master/SciTLDR-Data/SciTLDR-A/",
                *("train.jsonl", "dev.jsonl", "test.jsonl"),
                packings=(".xz", ".gz"),
            ),
        ),
        vocab=4_000,
        joined_dictionary=True,
        languages=("en", "en"),
    ),
    *map(_sigmorphon2020, SIGMORPHON2020),
    Corpus(name="demo.de-en", task="translation", suffixes=("de", "en"), vocab=1_000, joined_dictionary=True),
    Corpus(name="demo-lm", task="language_modeling", suffixes=("en",), vocab=2_000),
)
CORPORA: Dict[str, Corpus] = {corpus.name: corpus for corpus in _ALL}


def own_corpus(languages: Sequence[str], vocab: Optional[int]) -> Corpus:
    """Text of one's own: of two languages to translate, of one for a language model; without vocab, of whole words."""
    return Corpus(
        name="own",
        task="translation" if len(languages) == 2 else "language_modeling",
        suffixes=tuple(languages),
        alternatives=(_files("", *(f"{split}.{language}" for split in SPLITS for language in languages)),),
        vocab=vocab,
        joined_dictionary=len(languages) == 2,
    )


_IWSLT14_DE_EN = {
    "IWSLT14.TED.dev2010": 887,
    "IWSLT14.TEDX.dev2012": 1_165,
    "IWSLT14.TED.tst2010": 1_565,
    "IWSLT14.TED.tst2011": 1_433,
    "IWSLT14.TED.tst2012": 1_700,
}
_WIKITEXT_HELD_OUT = {"valid": 3_760, "test": 4_358}

# Lines (documents, addresses) of the published files, by corpus and part.
LINES: Dict[str, Dict[str, int]] = {
    "iwslt14.de-en": _IWSLT14_DE_EN,
    "iwslt14.en-de": _IWSLT14_DE_EN,
    "wmt14.en-de": {
        "europarl-v7.de-en": 1_920_209,
        "commoncrawl.de-en": 2_399_123,
        "newstest2013": 3_000,
        "newstest2014": 3_003,
    },
    "wmt14.en-fr": {"newstest2012": 3_003, "newstest2013": 3_000, "newstest2014": 3_003},
    "wikitext-103": {"train": 1_801_350, **_WIKITEXT_HELD_OUT},
    "wikitext-2": {"train": 36_718, **_WIKITEXT_HELD_OUT},
    "multi30k.de-en": {"train": 29_000, "valid": 1_014, "test": 1_000},
    "cnn-dailymail": {"train": 287_227, "valid": 13_368, "test": 11_490},
    "scitldr": {"train": 1_992, "valid": 619, "test": 618},
    **{f"sigmorphon2020.{language}": {"train": 3_600, "valid": 450, "test": 450} for language in SIGMORPHON2020},
}

# By corpus and file name. Of a packed file that is not named here, the unpacked content is checked.
SHA256: Dict[str, Dict[str, str]] = {
    "wikitext-103": {"wikitext-103-v1.zip": "242ba0f20b329cfdf1ccc61e9e9e5b59becf189db7f7a81cd2a0e2fc31539590"},
    "wikitext-2": {
        "train.txt": "9e9fa1ad55b1c2c95b08e37dd8e653f638fac2c6de904b79e813611eefbc985f",
        "valid.txt": "f0737ed31fc1329026e95cb8b98e19c2a182c39c240ab909dc31abf2f8af58e8",
        "test.txt": "d790b833ef8cf03a90db7bf1271b7520b83c45ce07ba3c1a9699df81e239eca0",
        "wikitext-2-v1.zip": "92675f1d63015c1c8b51f1656a52d5bdbc33aafa60cc47a218a66e7ee817488c",
    },
    "multi30k.de-en": {
        "test_2016_flickr.de.gz": "9204244e408ccb38d2a55cfcd344df15005fc42a07a6e55ca6c52b6ababb8cc8",
        "test_2016_flickr.en.gz": "611d361c6334bc7246101d48097c13cf5c4413c5befc793cc629934359d532d9",
        "train.de.gz": "726e39b2fa9eb9ffb6dc763fb35a179f80fae06ffc5d28b6ace5faa883de28a6",
        "train.en.gz": "d79cfa999dd4c51d2cb42499b6796d5a882c3a8a961923c25a898c90f8bbd56f",
        "val.de.gz": "f0cba2f995189cf5770f29a8a9a537a3ad3f51657ad873405082ff6863a5e75a",
        "val.en.gz": "14f7d25ddd868909a9213e361768460edcacdd6ab9d1e77b92560dc10c10dc28",
    },
    "cnn-dailymail": {
        "cnn_stories.tgz": "e8fbc0027e54e0a916abd9c969eb35f708ed1467d7ef4e3b17a56739d65cb200",
        "dailymail_stories.tgz": "ad69010002210b7c406718248ee66e65868b9f6820f163aa966369878d14147e",
        "all_train.txt": "a5cee49f3a6c862c26ce29308236d2a99625ab6c86a43be22d5206b2790d8029",
        "all_val.txt": "81887e982b045083409c6ee838aede8ff4b97291605bcfb21bffc456a16991db",
        "all_test.txt": "c4f5efb5ec2126430a5c156efbd13d0e9c4cb490169e552c38b4a51981a009bd",
    },
}


def check_count(corpus: str, part: str, lines: int, where: str) -> None:
    """Compares the number of lines of a part with what is published, if that is known.

    Args:
        corpus: its name.
        part: key of LINES[corpus].
        lines: how many there are.
        where: what has them, for the error.

    Raises:
        CorpusError: if they are more or fewer.
    """
    expected = LINES.get(corpus, {}).get(part, lines)
    if lines != expected:
        raise CorpusError(f"{where}: {lines:,} lines found, expected {expected:,}")
