"""Inflection: German declension and conjugation, English articles, plurals and verb forms."""

from typing import Dict, Tuple

from lexicon import Adjective, Noun
from verb_lexicon import Modal, Verb

CASES = ("nom", "acc", "dat", "gen")

# One ending per gender column m, f, n and plural p, for each case.
_DER_WORDS = {"nom": "er e es e", "acc": "en e es e", "dat": "em er em en", "gen": "es er es er"}
_EIN_WORDS = {"nom": "- e - e", "acc": "en e - e", "dat": "em er em en", "gen": "es er es er"}
_ARTICLES = {
    "nom": "der die das die",
    "acc": "den die das die",
    "dat": "dem der dem den",
    "gen": "des der des der",
}
_ADJECTIVE_ENDINGS = {
    "weak": {"nom": "e e e en", "acc": "en e e en", "dat": "en en en en", "gen": "en en en en"},
    "mixed": {"nom": "er e es en", "acc": "en e es en", "dat": "en en en en", "gen": "en en en en"},
    "strong": {"nom": "er e es e", "acc": "en e es e", "dat": "em er em en", "gen": "en er en er"},
}
_COLUMNS = {"m": 0, "f": 1, "n": 2, "p": 3}


def _cell(table: Dict[str, str], case: str, gender: str, plural: bool) -> str:
    ending = table[case].split()[_COLUMNS["p" if plural else gender]]
    return "" if ending == "-" else ending


def definite_article(case: str, gender: str, plural: bool) -> str:
    """The German definite article, which is also the relative pronoun in the nominative."""
    return _cell(_ARTICLES, case, gender, plural)


def der_word(stem: str, case: str, gender: str, plural: bool) -> str:
    """A determiner inflected like *dieser* (dieser, jeder, viele, einige)."""
    return stem + _cell(_DER_WORDS, case, gender, plural)


def ein_word(stem: str, case: str, gender: str, plural: bool) -> str:
    """A determiner inflected like *ein* (ein, kein, possessives); *euer* drops an e."""
    ending = _cell(_EIN_WORDS, case, gender, plural)
    return ("eur" if stem == "euer" and ending else stem) + ending


def adjective_form(adjective: Adjective, declension: str, case: str, gender: str, plural: bool) -> str:
    """An attributive adjective with its weak, mixed or strong ending."""
    return adjective.stem + _cell(_ADJECTIVE_ENDINGS[declension], case, gender, plural)


def noun_form(noun: Noun, case: str, plural: bool) -> str:
    """A German noun in the given case and number."""
    if plural:
        adds_n = case == "dat" and not noun.plural.endswith(("n", "s"))
        return noun.plural + ("n" if adds_n else "")
    if noun.oblique and case != "nom":
        return noun.oblique
    if case == "gen" and noun.de == "Koch":
        return "Kochs"
    if case == "gen" and noun.gender != "f":
        short = noun.de.endswith(("el", "er", "en", "chen", "e", "o", "a", "é"))
        return noun.de + ("s" if short else "es")
    return noun.de


_PRESENT = {
    "sein": "bin bist ist sind seid sind",
    "haben": "habe hast hat haben habt haben",
    "wissen": "weiß weißt weiß wissen wisst wissen",
}
_PRETERITE = {
    "sein": "war warst war waren wart waren",
    "haben": "hatte hattest hatte hatten hattet hatten",
}


def _slot(person: int, plural: bool) -> int:
    return person - 1 + (3 if plural else 0)


def auxiliary_present(name: str, person: int, plural: bool) -> str:
    """The present of haben or sein."""
    return _PRESENT[name].split()[_slot(person, plural)]


def preterite(name: str, person: int, plural: bool) -> str:
    """The preterite of haben or sein."""
    return _PRETERITE[name].split()[_slot(person, plural)]


def present(verb: Verb, person: int, plural: bool) -> str:
    """The German present tense, without a separable prefix."""
    if verb.base in _PRESENT:
        return auxiliary_present(verb.base, person, plural)
    if plural and person != 2:
        return verb.base
    stem = verb.base[:-2] if verb.base.endswith("en") else verb.base[:-1]
    if person == 1:
        return stem + "e"
    dental = stem.endswith(("d", "t"))
    cluster = stem[-1] in "mn" and stem[-2] not in "aeiouäöülrhmn"
    link = "e" if dental or cluster else ""
    if plural:
        return stem + link + "t"
    if verb.changed:
        stem, link = verb.changed, ""
    if person == 2:
        return stem + link + ("t" if not link and stem[-1] in "sßzx" else "st")
    return stem + link + "t"


def modal_form(modal: Modal, past: bool, person: int, plural: bool) -> str:
    """The present or preterite of a German modal verb."""
    slot = _slot(person, plural)
    if not past:
        return modal.present[slot]
    return modal.past_stem + ("e", "est", "e", "en", "et", "en")[slot]


def perfect_auxiliary(verb: Verb, person: int, plural: bool) -> str:
    """The finite haben or sein that goes with the participle."""
    return auxiliary_present(verb.auxiliary, person, plural)


# Vowel letters that sound like a consonant ("a university", "a useful book") and the reverse.
_CONSONANT_SOUND = ("uni", "use", "eu", "one")
_VOWEL_SOUND = ("honest", "hour", "heir")


def indefinite_article(next_word: str) -> str:
    """*a* or *an*, by the sound of the word that follows."""
    word = next_word.lower()
    if word.startswith(_VOWEL_SOUND):
        return "an"
    if word.startswith(_CONSONANT_SOUND) or word[0] not in "aeiou":
        return "a"
    return "an"


def third_person(base: str) -> str:
    """The English third person singular of the simple present."""
    if base == "have":
        return "has"
    if base == "be":
        return "is"
    if base.endswith(("s", "sh", "ch", "x", "z", "o")):
        return base + "es"
    if base.endswith("y") and base[-2] not in "aeiou":
        return base[:-1] + "ies"
    return base + "s"


def be_form(past: bool, person: int, plural: bool) -> str:
    """A form of *be*; English *you* takes the plural form."""
    slot = _slot(person, plural)
    if past:
        return ("was", "were", "was", "were", "were", "were")[slot]
    return ("am", "are", "is", "are", "are", "are")[slot]


def english_finite(base: str, past_form: str, past: bool, person: int, plural: bool) -> str:
    """An English finite verb form in the simple present or simple past."""
    if base == "be":
        return be_form(past, person, plural)
    if past:
        return past_form
    return third_person(base) if person == 3 and not plural else base


# German possessive and English possessive, by person, number and (third singular) gender.
_POSSESSIVES: Dict[Tuple[int, bool, str], Tuple[str, str]] = {
    (1, False, ""): ("mein", "my"),
    (2, False, ""): ("dein", "your"),
    (3, False, "m"): ("sein", "his"),
    (3, False, "f"): ("ihr", "her"),
    (1, True, ""): ("unser", "our"),
    (2, True, ""): ("euer", "your"),
    (3, True, ""): ("ihr", "their"),
}


def possessive(person: int, plural: bool, gender: str) -> Tuple[str, str]:
    """The possessive stems of both languages; a neuter owner has none (his, her or its)."""
    return _POSSESSIVES[(person, plural, gender if person == 3 and not plural else "")]
