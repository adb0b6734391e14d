"""Synchronous clauses: one abstract clause that is put into words in German and in English.

German order is derived, not listed: the finite verb comes second in statements, first in yes/no
questions and last in subordinate clauses; prefix, participle and infinitive close the clause.
English order follows from the verb's pattern, with do-support in questions and negation.
"""

from dataclasses import dataclass, field, replace
from typing import Any, Dict, List, Optional, Tuple

from circumstance_lexicon import Adverbial
from morphology import (
    be_form,
    english_finite,
    modal_form,
    perfect_auxiliary,
    present,
    preterite,
)
from nominals import Nominal, PrepositionalPhrase
from verb_lexicon import Modal, Verb

_PARTICLES = ("up", "down", "away", "on", "off")


def join(words: List[str]) -> str:
    """Join the words that are not empty with single spaces."""
    return " ".join(word for word in words if word)


def finish(text: str, mark: str) -> str:
    """Capitalise a sentence and end it with a mark; clause commas never double."""
    text = (text + mark).replace(",,", ",").replace("," + mark, mark)
    return text[0].upper() + text[1:]


@dataclass(frozen=True)
class Clause:
    """A predicate with its subject, objects and adverbials, in neither language yet.

    ``objects`` maps A and D to nominals, P, L and G to prepositional phrases. ``past`` is the
    perfect in German (preterite for states and modals) and the simple past in English.
    """

    subject: Nominal
    verb: Verb
    objects: Dict[str, Any] = field(default_factory=dict)
    past: bool = False
    modal: Optional[Modal] = None
    negated: bool = False
    time: Optional[Adverbial] = None
    frequency: Optional[Adverbial] = None
    manner: Optional[Adverbial] = None
    place: Optional[PrepositionalPhrase] = None

    @property
    def denied(self) -> bool:
        """Whether the clause is negative, by *nicht* or by an object with *kein*."""
        return self.negated or any(getattr(item, "det", "") == "kein" for item in self.objects.values())

    # German

    def _german_verb(self) -> Tuple[str, List[str]]:
        """The finite verb and what closes the clause, as in a statement."""
        verb, person, plural = self.verb, self.subject.person, self.subject.plural
        if self.modal:
            return modal_form(self.modal, self.past, person, plural), [verb.infinitive]
        if self.past and "preterite" in verb.flags:
            return preterite(verb.base, person, plural), []
        if self.past:
            return perfect_auxiliary(verb, person, plural), [verb.participle]
        return present(verb, person, plural), [verb.prefix]

    def _german_middle(self) -> List[str]:
        """The words between the subject and the closing verb forms."""
        head: List[str] = []
        adverbs = [self.time.de if self.time else "", self.frequency.de if self.frequency else ""]
        before_place: List[str] = []
        after_place: List[str] = []
        for role, case in (("D", "dat"), ("A", "acc")):
            nominal = self.objects.get(role)
            if nominal is None:
                continue
            if nominal.pronoun:
                head.append(nominal.german(case))
            elif nominal.definite or role == "D" or "G" in self.objects:
                before_place.append(nominal.german(case))
            else:  # new information follows the place: im Garten ein Buch
                after_place.append(nominal.german(case))
        if self.negated:  # known objects precede the time: den Brief gestern nicht
            order = head + before_place + adverbs + ["nicht"]
        else:
            order = head + adverbs + before_place
        order += [self.manner.de if self.manner else ""]
        order += [self.place.german() if self.place else ""] + after_place
        order += [self.objects[role].german() for role in ("P", "L", "G") if role in self.objects]
        return order + [self.verb.complement]

    def german_statement(self, front: str = "") -> str:
        """A main clause with the verb second; ``front`` is "", time or place."""
        finite, closing = self._german_verb()
        if not front:
            return join([self.subject.german("nom"), finite] + self._german_middle() + closing)
        rest = replace(self, **{front: None})
        moved = getattr(self, front)
        first = moved.de if front == "time" else moved.german()
        return rest.german_question(first)

    def german_question(self, first: str = "") -> str:
        """A clause whose finite verb precedes the subject, after ``first`` if given."""
        finite, closing = self._german_verb()
        subject = self.subject.german("nom")
        return join([first, finite, subject] + self._german_middle() + closing)

    def german_subordinate(self, conjunction: str = "") -> str:
        """A clause with the finite verb last and a separable prefix joined to it."""
        finite, closing = self._german_verb()
        separable = not self.modal and not self.past and self.verb.prefix
        ending = [self.verb.prefix + finite] if separable else closing + [finite]
        subject = self.subject.german("nom")
        return join([conjunction, subject] + self._german_middle() + ending)

    # English

    def _english_verb(self, inverted: bool) -> Tuple[str, List[str]]:
        """The auxiliary (or nothing) and the words of the verb group after it."""
        person, plural = self.subject.person, self.subject.plural
        negation = "not" if self.denied else ""
        often = self.frequency.en if self.frequency else ""
        base, past_form, rest = self.verb.en, self.verb.en_past, []
        if self.modal:
            rendering = self.modal.english_past if self.past else self.modal.english
            base, rest = rendering[0], list(rendering[1:]) + [self.verb.en]
            past_form = {"have": "had", "want": "wanted"}.get(base, "")
        if base == "can" and negation:
            return "cannot", [often] + rest
        if base in ("can", "should", "would"):
            return base, [negation, often] + rest
        if base == "be":
            return be_form(self.past, person, plural), [negation, often] + rest
        if inverted or negation:
            do = english_finite("do", "did", self.past, person, plural)
            return do, [negation, often, base] + rest
        return "", [often, english_finite(base, past_form, self.past, person, plural)] + rest

    def _english_arguments(self) -> List[str]:
        """The words after the verb: objects, particles, place and time in English order."""
        pattern = list(self.verb.pattern[1:])
        accusative = self.objects.get("A")
        for index, token in enumerate(pattern[:-1]):
            if (
                token in _PARTICLES and pattern[index + 1] == "A" and getattr(accusative, "pronoun", False)
            ):  # pick up the guest, but pick him up
                pattern[index : index + 2] = ["A", token]
        words = []
        for token in pattern:
            if token in ("A", "D"):
                nominal = self.objects.get(token)
                words.append(nominal.english("acc") if nominal else "")
            elif token in ("P", "L", "G"):
                phrase = self.objects.get(token)
                words.append(phrase.english() if phrase else "")
            elif token == "M":
                words.append(self.manner.en if self.manner else "")
            else:
                words.append(token)
        words.append(self.place.english() if self.place else "")
        words.append(self.time.en if self.time else "")
        return words

    def english_statement(self, front: str = "") -> str:
        """A statement; ``front`` moves the time or the place before the subject."""
        if front:
            moved = getattr(self, front)
            first = moved.en if front == "time" else moved.english()
            return first + " " + replace(self, **{front: None}).english_statement()
        auxiliary, group = self._english_verb(inverted=False)
        subject = self.subject.english("nom")
        return join([subject, auxiliary] + group + self._english_arguments())

    def english_question(self, first: str = "") -> str:
        """A question with the auxiliary before the subject, after ``first`` if given."""
        auxiliary, group = self._english_verb(inverted=True)
        subject = self.subject.english("nom")
        return join([first, auxiliary, subject] + group + self._english_arguments())


CONJUNCTIONS = {"weil": "because", "obwohl": "although", "wenn": "when", "dass": "that", "ob": "whether"}


def statement(clause: Clause, front: str = "") -> Tuple[str, str]:
    """A German and English statement."""
    return finish(clause.german_statement(front), "."), finish(clause.english_statement(front), ".")


def yes_no_question(clause: Clause) -> Tuple[str, str]:
    """A German and English yes/no question."""
    return finish(clause.german_question(), "?"), finish(clause.english_question(), "?")


def wh_question(clause: Clause, german: str, english: str) -> Tuple[str, str]:
    """A question for a part that ``clause`` leaves out (was, wen, wo, wann, warum)."""
    return (finish(clause.german_question(german), "?"), finish(clause.english_question(english), "?"))


def who_question(clause: Clause) -> Tuple[str, str]:
    """A question for the subject: *wer* / *who* stands in for it, without do-support."""
    return finish(clause.german_statement(), "?"), finish(clause.english_statement(), "?")


def with_subordinate(main: Clause, conjunction: str, sub: Clause, first: bool = False) -> Tuple[str, str]:
    """A main clause with a subordinate one after it, or before it with inversion."""
    de = sub.german_subordinate(conjunction)
    en = CONJUNCTIONS[conjunction] + " " + sub.english_statement()
    if first:
        return (finish(de + ", " + main.german_question(), "."), finish(en + ", " + main.english_statement(), "."))
    # English sets off only the concessive clause
    comma = ", " if conjunction == "obwohl" else " "
    return (finish(main.german_statement() + ", " + de, "."), finish(main.english_statement() + comma + en, "."))


def contrast(first: Clause, second: Clause) -> Tuple[str, str]:
    """Two main clauses joined by *aber* / *but*."""
    return (
        finish(first.german_statement() + ", aber " + second.german_statement(), "."),
        finish(first.english_statement() + ", but " + second.english_statement(), "."),
    )
