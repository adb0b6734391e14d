"""Synchronous phrases and clauses: one abstract clause that is put into words in German and in English.

Noun phrases are spelled out in every case. The order of German clauses is derived, not listed: the finite verb stands
second in statements, first in yes/no questions and last in subordinate clauses; prefix, participle and infinitive close
the clause. English order follows from the verb's pattern, with do in questions and negation.
"""

from dataclasses import dataclass, field, replace
from typing import Dict, FrozenSet, List, Optional, Tuple

from experiments.corpora.demo.lexicon import CASES, ENDINGS, FORMS, MODALS, NOTHING, PRONOUNS, Pair, Row

# Stem, its endings, those of an adjective after it, and English; stem and English of poss and num are given.
DETERMINERS = {
    "def": ("", "article", "weak", "the"),
    "this": ("dies", "der", "weak", "this"),
    "every": ("jed", "der", "weak", "every"),
    "some": ("einig", "der", "strong", "some"),
    "many": ("viel", "der", "strong", "many"),
    "indef": ("ein", "ein", "mixed", "a"),
    "kein": ("kein", "ein", "mixed", "no"),
    "poss": ("", "ein", "mixed", ""),
    "num": ("", "", "strong", ""),
    "bare": ("", "", "strong", ""),
}
DEFINITE = ("def", "this", "poss")
_PAST = {"have": "had", "want": "wanted"}
_CONTRACTIONS = {"in dem": "im", "in das": "ins", "an dem": "am", "zu dem": "zum", "zu der": "zur", "von dem": "vom"}


def join(*words: str) -> str:
    """The words that are not empty, with a space between them."""
    return " ".join(word for word in words if word)


@dataclass(frozen=True)
class Nominal:
    """What can be a subject or an object.

    Attributes:
        german: by case; empty where a pronoun would be ambiguous.
        english: by case: nom as the subject, acc elsewhere.
        definite: known, and so before the time in a negated sentence.
        negative: denies the sentence (kein).
        possessive: stem of the possessive that refers to a personal pronoun, and its English.
    """

    german: Dict[str, str]
    english: Dict[str, str]
    person: int = 3
    plural: bool = False
    gender: str = ""
    pronoun: bool = False
    definite: bool = True
    negative: bool = False
    possessive: Pair = NOTHING
    classes: FrozenSet[str] = frozenset(["person", "adult", "child"])


*PERSONAL, IT, WHO = (Nominal(pronoun=True, **vars(row)) for row in PRONOUNS)


def pronoun_for(nominal: Nominal) -> Optional[Nominal]:
    """The pronoun that takes up a person; None for things, and for neuters, where English varies."""
    number = nominal.person, nominal.plural
    fitting = (one for one in PERSONAL if (one.person, one.plural) == number and one.gender in ("", nominal.gender))
    return next(fitting, None) if "person" in nominal.classes else None


def relative_pronoun(head: Nominal) -> Nominal:
    """The relative pronoun, as a subject, that agrees with its head: der, die, das; who."""
    form = ENDINGS["article", "nom"]["p" if head.plural else head.gender]
    return Nominal({"nom": form}, {"nom": "who"}, plural=head.plural, gender=head.gender)


def name(words: Pair, gender: str = "") -> Nominal:
    """A name, which has the same form in all cases."""
    return Nominal(dict.fromkeys(CASES, words.de), dict.fromkeys(CASES, words.en), gender=gender)


def noun_form(noun: Row, case: str, plural: bool) -> str:
    """A German noun in a case and number."""
    if plural:
        return noun.de_plural + ("n" if case == "dat" and noun.de_plural[-1] not in "ns" else "")
    weak = noun.gender == "m" and noun.genitive.endswith("n")  # den Jungen, dem Nachbarn
    return noun.genitive if case == "gen" or (weak and case != "nom") else noun.de


def indefinite_article(word: str) -> str:
    """*a* or *an*, by the sound of the word that follows."""
    vowel = word[0] in "aeiou" and not word.startswith(("uni", "use"))
    return "an" if vowel or word.startswith(("honest", "hour")) else "a"


def noun_phrase(
    noun: Row,
    determiner: str = "def",
    plural: bool = False,
    adjective: Pair = NOTHING,
    stem: Pair = NOTHING,
    owner: Optional[Nominal] = None,
) -> Nominal:
    """A noun with its determiner, an adjective and an owner.

    Args:
        noun: the noun.
        determiner: key of DETERMINERS.
        plural: the number.
        adjective: stem of an adjective, and its English.
        stem: stem of the possessive (poss) or number (num), and its English.
        owner: in the genitive, before which the English determiner goes: das Auto des Arztes, the doctor's car.

    Returns:
        All its forms. An English object beside a negated verb has *any* where a subject has *no*.
    """
    gender = "p" if plural else noun.gender
    german, endings, weakness, english = DETERMINERS[determiner]
    german, english = german or stem.de, english or stem.en
    described = join(adjective.en, noun.en_plural if plural else noun.en)
    de, en = {}, {}
    for case in CASES:
        ending = ENDINGS[endings, case][gender] if endings else ""
        article = ("eur" if german == "euer" and ending else german) + ending
        adjectival = adjective.de and adjective.de + ENDINGS[weakness, case][gender]
        de[case] = join(article, adjectival, noun_form(noun, case, plural), owner.german["gen"] if owner else "")
        article = "these" if determiner == "this" and plural else english
        article = "any" if determiner == "kein" and case != "nom" else article
        article = indefinite_article(described) if article == "a" else article
        en[case] = join(owner.english["nom"] + "'s" if owner else article, described)
    definite, negative = determiner in DEFINITE, determiner == "kein"
    return Nominal(de, en, 3, plural, noun.gender, False, definite, negative, classes=noun.classes)


def prepositional(preposition: Pair, case: str, nominal: Nominal) -> Pair:
    """A phrase of a preposition, its article contracted: im, zur."""
    german = f"{preposition.de} {nominal.german[case]}"
    for full, short in _CONTRACTIONS.items():
        if german.startswith(f"{full} "):
            german = short + german[len(full) :]
    return Pair(german, join(preposition.en, nominal.english["acc"]))


def _agreeing(subject: Nominal) -> int:
    """The index of the form that agrees with a subject."""
    return subject.person - 1 + 3 * subject.plural


def prefixed(verb: Row, form: str) -> str:
    """A form after its prefix: joined, unless that is the words of a state."""
    return verb.prefix + form if verb.auxiliary else f"{verb.prefix} {form}"


def german_present(verb: Row, subject: Nominal) -> str:
    """The present of a German verb, without its prefix."""
    slot = _agreeing(subject)
    if (verb.base, "present") in FORMS:
        return FORMS[verb.base, "present"][slot]
    stem = verb.base[:-2] if verb.base.endswith("en") else verb.base[:-1]
    link = "e" if stem[-1] in "dt" or (stem[-1] in "mn" and stem[-2] not in "aeiouäöülrhmn") else ""
    if slot in (1, 2) and verb.stem:
        stem, link = verb.stem, ""
    ends = link + ("t" if not link and stem[-1] in "sßzx" else "st")
    return (f"{stem}e", stem + ends, f"{stem}{link}t", verb.base, f"{stem}{link}t", verb.base)[slot]


def english_finite(base: str, past_form: str, tense: str, subject: Nominal) -> str:
    """A form of an English verb in the simple present or past."""
    if base == "be":
        return FORMS["be", tense][_agreeing(subject)]
    if tense == "past":
        return past_form
    if subject.person != 3 or subject.plural:
        return base
    if base[-1] == "y" and base[-2] not in "aeiou":
        return base[:-1] + "ies"
    return "has" if base == "have" else base + ("es" if base.endswith(("s", "sh", "ch", "x", "z", "o")) else "s")


@dataclass(frozen=True)
class Clause:
    """A verb with its subject, objects and adverbials, in neither language yet.

    Attributes:
        objects: A and D, accusative and dative.
        phrase: prepositional object, location or goal.
        tense: present, or past: perfect in German (preterite of states and modal verbs), simple past in English.
        modal: infinitive of the German modal verb, if there is one.
        negated: by nicht, unless an object is negative.
    """

    subject: Nominal
    verb: Row
    objects: Dict[str, Nominal] = field(default_factory=dict)
    phrase: Pair = NOTHING
    tense: str = "present"
    modal: str = ""
    negated: bool = False
    time: Pair = NOTHING
    frequency: Pair = NOTHING
    manner: Pair = NOTHING
    place: Pair = NOTHING

    def _german_verb(self) -> Tuple[str, str, str]:
        """The finite verb, what closes a main clause, and what closes a subordinate one."""
        verb, slot = self.verb, _agreeing(self.subject)
        if self.modal or (self.tense == "past" and verb.auxiliary):
            finite = FORMS[(self.modal, self.tense) if self.modal else (verb.auxiliary, "present")][slot]
            closing = prefixed(verb, verb.base) if self.modal else verb.participle
            return finite, closing, f"{closing} {finite}"
        finite = FORMS[verb.base, "past"][slot] if self.tense == "past" else german_present(verb, self.subject)
        return finite, verb.prefix, prefixed(verb, finite)

    def _german_middle(self) -> str:
        """The words between the subject and what closes the clause."""
        pronouns, known, new = [], [], []
        for role, case in (("D", "dat"), ("A", "acc")):
            if role in self.objects:
                item = self.objects[role]
                settled = item.definite or role == "D" or "G" in self.verb.roles
                (pronouns if item.pronoun else known if settled else new).append(item.german[case])
        order = [self.time.de, self.frequency.de, *known]
        if self.negated:  # den Brief gestern nicht, but: gestern keinen Brief
            negative = any(item.negative for item in self.objects.values())
            order = [*known, self.time.de, self.frequency.de, "" if negative else "nicht"]
        # What is new follows the place: im Garten ein Buch.
        return join(*pronouns, *order, self.manner.de, self.place.de, *new, self.phrase.de)

    def german(self, verb_at: str = "second", first: str = "") -> str:
        """The German clause after `first`, its finite verb "second" (statement), "first" (question) or "last"."""
        finite, closing, last = self._german_verb()
        subject, middle = self.subject.german["nom"], self._german_middle()
        if verb_at == "last":
            return join(first, subject, middle, last)
        return join(first, *((subject, finite) if verb_at == "second" else (finite, subject)), middle, closing)

    def _english_verb(self, inverted: bool) -> Tuple[str, List[str]]:
        """The auxiliary, if there is one, and the words of the verb that follow it."""
        base, past_form, rest = self.verb.en, self.verb.en_past, []
        if self.modal:
            base, *rest = [*MODALS[self.modal, self.tense], self.verb.en]
            past_form = _PAST.get(base, "")
        adverbs = ["not" if self.negated else "", self.frequency.en]
        if base in ("can", "should", "would"):
            return ("cannot", rest) if base == "can" and self.negated else (base, [*adverbs, *rest])
        if base == "be":
            return english_finite(base, "", self.tense, self.subject), [*adverbs, *rest]
        if inverted or self.negated:
            return english_finite("do", "did", self.tense, self.subject), [*adverbs, base, *rest]
        return "", [self.frequency.en, english_finite(base, past_form, self.tense, self.subject), *rest]

    def english(self, inverted: bool = False, first: str = "") -> str:
        """The English clause after `first`, the auxiliary before the subject if `inverted`."""
        auxiliary, group = self._english_verb(inverted)
        subject = self.subject.english["nom"]
        words = {"A": "", "D": "", "P": self.phrase.en, "M": self.manner.en}
        words.update({role: item.english["acc"] for role, item in self.objects.items()})
        arguments = (words.get(token, token) for token in self.verb.pattern[1:])
        both = (auxiliary, subject) if inverted else (subject, auxiliary)
        return join(first, *both, *group, *arguments, self.place.en, self.time.en)


def finished(de: str, en: str, mark: str = ".") -> Pair:
    """A sentence of both languages with its capital and its mark; commas never double."""
    texts = (f"{text}{mark}".replace(",,", ",").replace(f",{mark}", mark) for text in (de, en))
    return Pair(*(text[0].upper() + text[1:] for text in texts))


def statement(clause: Clause, front: str = "") -> Pair:
    """A statement; `front` names the adverbial that stands before all: time or place."""
    first = getattr(clause, front) if front else NOTHING
    if first == NOTHING:
        return finished(clause.german(), clause.english())
    rest = replace(clause, **{front: NOTHING})
    return finished(rest.german("first", first.de), rest.english(first=first.en))


def question(clause: Clause, word: Pair = NOTHING) -> Pair:
    """A yes/no question, or one for the part that `word` (was, what) stands for."""
    return finished(clause.german("first", word.de), clause.english(True, word.en), "?")


def with_subordinate(main: Clause, conjunction: Pair, sub: Clause, first: bool = False) -> Pair:
    """A statement with a subordinate clause after it, or before it."""
    de, en = sub.german("last", conjunction.de), sub.english(first=conjunction.en)
    if first:
        return finished(f"{de}, {main.german('first')}", f"{en}, {main.english()}")
    comma = "," if conjunction.de == "obwohl" else ""  # English sets off only the concessive clause
    return finished(f"{main.german()}, {de}", f"{main.english()}{comma} {en}")
