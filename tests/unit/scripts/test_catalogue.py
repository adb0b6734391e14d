"""The table of corpora against the figures that the paper and fairseq give."""

import pytest
from experiments.corpora import catalogue
from experiments.corpora.catalogue import CORPORA, check_count, own_corpus
from experiments.corpora.text_files import CorpusError


def test_sizes_of_the_subwords_and_the_dictionaries():
    table = {name: (corpus.vocab, corpus.joined_dictionary) for name, corpus in CORPORA.items()}
    assert table == {
        **{f"iwslt14.{pair}": (10_000, False) for pair in ("de-en", "en-de", "it-en", "en-it", "en-fr")},
        "wmt14.en-de": (40_000, True),
        "wmt14.en-fr": (43_000, True),
        "wikitext-103": (None, False),
        "wikitext-2": (None, False),
        "multi30k.de-en": (6_000, True),
        "cnn-dailymail": (50_000, True),
        "scitldr": (4_000, True),
        **{f"sigmorphon2020.{language}": (None, False) for language in catalogue.SIGMORPHON2020},
        "demo.de-en": (1_000, True),
        "demo-lm": (2_000, False),
    }


def test_iwslt14_has_6750_test_sentences():
    assert sum(catalogue.LINES["iwslt14.de-en"].values()) == 6_750


def test_sigmorphon_2020_has_15_languages_each_of_4500_words_in_three_folders():
    corpora = [corpus for corpus in CORPORA.values() if corpus.family == "sigmorphon2020"]
    assert len(corpora) == 15
    for corpus in corpora:
        assert sum(catalogue.LINES[corpus.name].values()) == 4_500
        ((_, dev, _),) = corpus.alternatives
        ((name, address),) = dev.addresses.items()
        assert name == f"{corpus.name[-3:]}_dev.tsv" and address.endswith("/task1/data/dev/")


def test_what_is_known_is_of_files_there_are():
    assert set(catalogue.LINES) | set(catalogue.SHA256) <= set(CORPORA)
    for name, sums in catalogue.SHA256.items():
        names = {one for files in CORPORA[name].alternatives for file in files for one in file.addresses}
        assert set(sums) <= names and all(len(value) == 64 for value in sums.values())


def test_addresses_are_folders_of_the_web():
    for corpus in CORPORA.values():
        for files in corpus.alternatives:
            for file in files:
                assert all(a.startswith("http") and a.endswith("/") for a in file.addresses.values())


def test_own_text_of_one_language_is_modelled_and_of_two_translated():
    assert own_corpus(["en"], 5).task == "language_modeling" and not own_corpus(["en"], 5).joined_dictionary
    two = own_corpus(["de", "en"], 5)
    assert two.task == "translation" and two.joined_dictionary and two.vocab == 5
    assert [file.name for file in two.alternatives[0]][:2] == ["train.de", "train.en"]


def test_counts_are_compared_where_they_are_known():
    check_count("wikitext-2", "train", 36_718, "x")
    check_count("iwslt14.en-fr", "IWSLT14.TED.dev2010", 1, "x")
    with pytest.raises(CorpusError, match="here: 36,717 lines found, expected 36,718"):
        check_count("wikitext-2", "train", 36_717, "here")
