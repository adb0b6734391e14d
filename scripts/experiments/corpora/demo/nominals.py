"""Synchronous noun phrases: one object that spells itself in German and in English.

Each nominal offers ``person``, ``plural`` and ``gender`` for agreement, ``definite`` and
``pronoun`` for word order, and ``german(case)`` / ``english(case)`` for spelling.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional, Tuple

from circumstance_lexicon import NUMBERS
from lexicon import Adjective, Noun
from morphology import (
    adjective_form,
    definite_article,
    der_word,
    ein_word,
    indefinite_article,
    noun_form,
)

if TYPE_CHECKING:
    from synchronous_grammar import Clause


@dataclass(frozen=True)
class Pronoun:
    """A personal, interrogative or relative pronoun with its forms in both languages."""

    person: int
    plural: bool
    gender: str
    nominative: str
    accusative: str  # empty where the form would be ambiguous (sie: her or them)
    dative: str
    subject: str
    object: str
    definite: bool = True
    pronoun: bool = True

    def german(self, case: str) -> str:
        """The German form in the given case."""
        return {"nom": self.nominative, "acc": self.accusative, "dat": self.dative}[case]

    def english(self, case: str) -> str:
        """The English subject or object form."""
        return self.subject if case == "nom" else self.object


PERSONAL: Tuple[Pronoun, ...] = (
    Pronoun(1, False, "", "ich", "mich", "mir", "I", "me"),
    Pronoun(2, False, "", "du", "dich", "dir", "you", "you"),
    Pronoun(3, False, "m", "er", "ihn", "ihm", "he", "him"),
    Pronoun(3, False, "f", "sie", "", "ihr", "she", "her"),
    Pronoun(1, True, "", "wir", "uns", "uns", "we", "us"),
    Pronoun(2, True, "", "ihr", "euch", "euch", "you", "you"),
    Pronoun(3, True, "", "sie", "", "ihnen", "they", "them"),
)
IT = Pronoun(3, False, "n", "es", "", "", "it", "it")
WHO = Pronoun(3, False, "m", "wer", "wen", "wem", "who", "who")


def pronoun_for(nominal: "Nominal") -> Optional[Pronoun]:
    """The personal pronoun that refers to a person; None for neuters, where English varies."""
    for candidate in PERSONAL:
        if (candidate.person, candidate.plural) == (nominal.person, nominal.plural) and (
            nominal.plural or nominal.person != 3 or candidate.gender == nominal.gender
        ):
            return candidate
    return None


def relative_pronoun(antecedent: "Nominal") -> Pronoun:
    """The subject relative pronoun (der, die, das; who) that agrees with its antecedent."""
    form = definite_article("nom", antecedent.gender, antecedent.plural)
    return Pronoun(3, antecedent.plural, antecedent.gender, form, "", "", "who", "who")


@dataclass(frozen=True)
class Name:
    """A first name or a city: the same form in every case."""

    de: str
    en: str
    gender: str = ""
    person: int = 3
    plural: bool = False
    definite: bool = True
    pronoun: bool = False

    def german(self, case: str) -> str:
        """The German name; the case does not show."""
        return self.de

    def english(self, case: str) -> str:
        """The English name."""
        return self.en


@dataclass(frozen=True)
class Modifier:
    """An attributive adjective, perhaps strengthened with *sehr* / *very*."""

    adjective: Adjective
    very: bool = False


_DETERMINED = ("def", "poss", "this", "defnum")
_STRONG = ("bare", "num", "many", "some")


@dataclass(frozen=True)
class NounPhrase:
    """A noun with determiner, number, adjectives, genitive owner and relative clause.

    ``det`` is one of def, indef, kein, poss, this, every, num (two books), defnum (the two
    books), bare, many, some. ``owner`` holds the two possessive stems when ``det`` is poss.
    """

    noun: Noun
    det: str = "def"
    plural: bool = False
    modifiers: Tuple[Modifier, ...] = ()
    number: int = 0  # index into NUMBERS
    owner: Tuple[str, str] = ("", "")
    genitive: Optional["NounPhrase"] = None
    relative: Optional["Clause"] = None
    person: int = 3
    pronoun: bool = False

    @property
    def gender(self) -> str:
        """The grammatical gender of the noun."""
        return self.noun.gender

    @property
    def definite(self) -> bool:
        """Whether the phrase is definite, which decides word order around *nicht*."""
        return self.det in _DETERMINED

    def german(self, case: str) -> str:
        """The German phrase in the given case."""
        gender, plural = self.gender, self.plural
        article = definite_article(case, gender, plural)
        determiner = {
            "def": article,
            "defnum": article,
            "this": der_word("dies", case, gender, plural),
            "every": der_word("jed", case, gender, plural),
            "many": der_word("viel", case, gender, plural),
            "some": der_word("einig", case, gender, plural),
            "indef": ein_word("ein", case, gender, plural),
            "kein": ein_word("kein", case, gender, plural),
            "poss": ein_word(self.owner[0], case, gender, plural),
        }.get(self.det, "")
        words = [determiner] if determiner else []
        if self.det in ("num", "defnum"):
            words.append(NUMBERS[self.number][0])
        if self.det in _STRONG:
            declension = "strong"
        else:
            declension = "mixed" if self.det in ("indef", "kein", "poss") else "weak"
        for modifier in self.modifiers:
            if modifier.very:
                words.append("sehr")
            words.append(adjective_form(modifier.adjective, declension, case, gender, plural))
        words.append(noun_form(self.noun, case, plural))
        if self.genitive:
            words.append(self.genitive.german("gen"))
        text = " ".join(words)
        return text + ", " + self.relative.german_subordinate() + "," if self.relative else text

    def english(self, case: str) -> str:
        """The English phrase; a negated object reads "a" or "any" beside the negated verb."""
        words = []
        for modifier in self.modifiers:
            words += ["very"] if modifier.very else []
            words.append(modifier.adjective.en)
        words.append(self.noun.en_plural if self.plural else self.noun.en)
        countable_one = not self.plural and bool(self.noun.plural)
        if self.genitive:
            words.insert(0, self.genitive.english("nom") + "'s")
        elif self.det == "indef" or (self.det == "kein" and case != "nom" and countable_one):
            words.insert(0, indefinite_article(words[0]))
        else:
            determiner = {
                "def": "the",
                "defnum": "the " + NUMBERS[self.number][1],
                "this": "these" if self.plural else "this",
                "every": "every",
                "many": "many",
                "some": "some",
                "kein": "no" if case == "nom" else "any",
                "poss": self.owner[1],
                "num": NUMBERS[self.number][1],
                "bare": "",
            }[self.det]
            words = ([determiner] if determiner else []) + words
        text = " ".join(words)
        return text + " " + self.relative.english_statement() if self.relative else text


Nominal = object  # any of Pronoun, Name, NounPhrase: they share the attributes named above


@dataclass(frozen=True)
class PrepositionalPhrase:
    """A preposition with its nominal: a place, a goal or a prepositional object."""

    preposition: str
    case: str
    english_preposition: str
    nominal: "Nominal"
    contracts: bool = True  # im, am, ins, zum, zur, vom where the article is unstressed

    def german(self) -> str:
        """The German phrase, with the article contracted into the preposition."""
        phrase = self.preposition + " " + self.nominal.german(self.case)
        if self.contracts and getattr(self.nominal, "det", "") == "def":
            for full, short in _CONTRACTIONS:
                if phrase.startswith(full + " "):
                    return short + phrase[len(full) :]
        return phrase

    def english(self) -> str:
        """The English phrase."""
        return (self.english_preposition + " " + self.nominal.english("acc")).strip()


_CONTRACTIONS = (
    ("in dem", "im"),
    ("an dem", "am"),
    ("zu dem", "zum"),
    ("zu der", "zur"),
    ("in das", "ins"),
    ("an das", "ans"),
    ("von dem", "vom"),
)
