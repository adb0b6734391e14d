"""Random sentences: draws words and constructions that make sense together.

Only ``random.Random.random`` is used, on tuples and lists, so that a seed gives the same sentences
on every Python version and platform.
"""

import random
from dataclasses import replace
from typing import Any, Dict, FrozenSet, List, NamedTuple, Optional, Sequence, Tuple

from circumstance_lexicon import (
    CITIES,
    FIRST_NAMES,
    FREQUENCIES,
    MANNERS,
    NUMBERS,
    PLACES,
    SPOTS,
    TIMES,
    Adverbial,
)
from lexicon import ADJECTIVES, COLORS, NOUNS, Noun
from morphology import possessive
from nominals import PERSONAL, WHO, Modifier, Name, Nominal, NounPhrase, PrepositionalPhrase
from synchronous_grammar import Clause
from verb_lexicon import MODALS, VERBS, Verb

_NEUTRAL = Name("", "", "n")  # a subject that no possessive refers to
_SPEAKERS = (possessive(1, False, ""), possessive(1, True, ""), possessive(2, False, ""))


class Draw(NamedTuple):
    """What a clause is to be like: its tense and whether it is deliberate, short, affirmative."""

    past: bool = False
    modals: Tuple[str, ...] = ()  # keys of the modal verbs to choose from
    deliberate: bool = False
    timed: bool = True
    negatable: bool = True


class Sampler:
    """Draws sentence pairs from one random stream."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._used: List[str] = []  # nouns of the current sentence: no noun occurs twice

    def start_sentence(self) -> None:
        """Forget the nouns of the last sentence."""
        self._used = []

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return self._rng.random() < probability

    def pick(self, items: Sequence[Any]) -> Any:
        """One item of a list or tuple."""
        return items[int(self._rng.random() * len(items))]

    def weighted(self, table: Dict[str, int]) -> str:
        """One key of a table of weights."""
        point = self._rng.random() * sum(table.values())
        for key, weight in table.items():
            point -= weight
            if point < 0:
                return key
        return key

    # Noun phrases

    def _noun(self, classes: FrozenSet[str]) -> Noun:
        noun = self._fresh([noun for noun in NOUNS.values() if noun.classes & classes], "de")
        self._used.append(noun.de)
        return noun

    def _fresh(self, items: Sequence[Any], name: str) -> Any:
        """An item whose noun is not in the sentence yet, as long as there is one."""
        return self.pick([item for item in items if getattr(item, name) not in self._used] or items)

    def _modifiers(self, noun: Noun, probability: float) -> Tuple[Modifier, ...]:
        if not self.chance(probability):
            return ()
        fitting = [a for a in ADJECTIVES.values() if a.classes & noun.classes]
        if not fitting:
            return ()
        first = self.pick(fitting)
        color = first.de in COLORS
        colors = [a for a in fitting if a.de in COLORS]
        if colors and not color and self.chance(0.3):
            return Modifier(first), Modifier(self.pick(colors))
        return (Modifier(first, not color and self.chance(0.12)),)

    def _owner(self, subject: Nominal) -> Optional[Tuple[str, str]]:
        """Possessive stems: the subject's own where that is unambiguous, else a speaker's."""
        if subject.person != 3:
            return possessive(subject.person, subject.plural, subject.gender)
        person = "person" in subject.noun.classes if isinstance(subject, NounPhrase) else True
        unclear = subject.gender == "n" and not subject.plural
        if person and not unclear and subject is not WHO and self.chance(0.6):
            return possessive(3, subject.plural, subject.gender)
        return self.pick(_SPEAKERS)

    def phrase(
        self, classes: FrozenSet[str], role: str, owner: Nominal = _NEUTRAL, flags: FrozenSet[str] = frozenset()
    ) -> NounPhrase:
        """A noun phrase; ``role`` (subject or object) decides which determiners are likely.

        Of the verb's ``flags``, *one* asks for a singular and *def* for a definite object, and
        *match* for an object in the number of its owner.
        """
        noun = self._noun(classes)
        known = noun.classes & {"kin", "close"}
        mass = not noun.plural
        definite = role == "object" and "def" in flags
        plural = not (mass or "one" in flags | noun.classes) and self.chance(0.33)
        if "match" in flags:
            plural = owner.plural
        if mass:
            weights = {"def": 40, "bare": 50, "poss": 10}
        elif plural:
            weights = {
                "def": 28,
                "num": 24,
                "poss": 14,
                "this": 8,
                "defnum": 7,
                "some": 6,
                "many": 6,
                "bare": 0 if role == "subject" else 16,
            }
        else:
            weights = {"def": 42, "indef": 30, "poss": 18, "this": 8, "every": 2 if role == "subject" else 0}
        if "person" in noun.classes and "ours" not in noun.classes:
            weights["poss"] = 0  # nobody owns a tourist
        if "person" in noun.classes and plural:
            weights["bare"] = 0
        if "others" in flags:
            weights["poss"] = 0
        if known:
            weights = {"poss": 85, "num": 15 if plural and "close" in noun.classes else 0}
        elif definite:
            weights = {"def": 70, "poss": 0 if "others" in flags else 30}
        elif "match" in flags:
            weights = {"def": 30, "poss": 50, "bare" if plural else "indef": 20}
        det = self.weighted(weights)
        number = int(self._rng.random() * self._rng.random() * len(NUMBERS))
        stems = self._owner(owner) if det == "poss" else ("", "")
        genitive = None
        if det == "def" and noun.classes & {"thing", "clothes", "animal"} and self.chance(0.25):
            genitive = self._genitive()
        return NounPhrase(noun, det, plural, self._modifiers(noun, 0.2 if known else 0.45), number, stems, genitive)

    def _genitive(self) -> NounPhrase:
        noun = self._noun(frozenset(["person"]))
        if noun.classes & {"kin", "close"}:
            return NounPhrase(noun, "poss", owner=self.pick(_SPEAKERS))
        return NounPhrase(noun)

    def subject(self, classes: FrozenSet[str], third: bool = False) -> Nominal:
        """A subject for a verb; ``third`` leaves out personal pronouns."""
        kinds = {"phrase": 60}
        if "person" in classes or "adult" in classes:
            kinds = {"phrase": 55, "name": 15, "pronoun": 0 if third else 30}
        kind = self.weighted(kinds)
        if kind == "name":
            name, gender = self.pick(FIRST_NAMES)
            return Name(name, name, gender)
        return self.pick(PERSONAL) if kind == "pronoun" else self.phrase(classes, "subject")

    def _person_object(self, subject: Nominal, case: str) -> Optional[Nominal]:
        """A pronoun or name as a personal object, never the subject itself."""
        if self.chance(0.35):
            name, gender = self.pick(FIRST_NAMES)
            return None if name == getattr(subject, "de", "") else Name(name, name, gender)
        pronoun = self.pick(PERSONAL)
        same = pronoun.person != 3 and pronoun.person == subject.person
        return None if same or not pronoun.german(case) else pronoun

    def _object(self, classes: FrozenSet[str], case: str, subject: Nominal, flags: FrozenSet[str]) -> Nominal:
        if "person" in classes and self.chance(0.3):
            special = self._person_object(subject, case)
            if special:
                return special
        return self.phrase(classes, "object", subject, flags)

    def _place(self, classes: FrozenSet[str], goal: bool, subject: Nominal) -> PrepositionalPhrase:
        """A location or goal of a fitting class: a spot, a city or a place."""
        case = "acc" if goal else "dat"
        if "spot" in classes:
            spot = self._fresh(SPOTS, "noun")
            self._used.append(spot.noun)
            noun = NOUNS[spot.noun]
            phrase = NounPhrase(noun, "def", False, self._modifiers(noun, 0.3))
            return PrepositionalPhrase(spot.de, case, spot.en, phrase)
        if "city" in classes or ("live" in classes and self.chance(0.3)):
            de, en = self.pick(CITIES)
            return PrepositionalPhrase("nach" if goal else "in", case, "to" if goal else "in", Name(de, en))
        place = self._fresh([place for place in PLACES if place.classes & classes or "any" in classes], "noun")
        self._used.append(place.noun)
        noun = NOUNS[place.noun]
        det, owner = "def", ("", "")
        if "private" in noun.classes and self.chance(0.4):
            det, owner = "poss", self._owner(subject)
        modifiers = self._modifiers(noun, 0.3)
        if modifiers and "private" not in noun.classes and self.chance(0.4):
            det = "indef"
        phrase = NounPhrase(noun, det, False, modifiers, owner=owner)
        if goal:
            return PrepositionalPhrase(place.to_de, "dat" if place.to_de == "zu" else "acc", place.to_en, phrase)
        return PrepositionalPhrase(place.at_de, "dat", place.at_en, phrase)

    # Clauses

    def _fits(self, verb: Verb, draw: Draw) -> bool:
        if ("now" if draw.past else "done") in verb.flags:
            return False
        if draw.deliberate and "slight" in verb.flags:
            return False
        return not (draw.deliberate or draw.modals) or "loose" not in verb.flags

    def _verb(self, draw: Draw, subject: Optional[Nominal] = None, among: Sequence[Verb] = VERBS) -> Verb:
        """A verb that the subject can be the agent of."""
        verbs = [verb for verb in among if self._fits(verb, draw)]
        if subject is not None:
            classes = subject.noun.classes if isinstance(subject, NounPhrase) else frozenset(["person", "adult"])
            verbs = [verb for verb in verbs if verb.subject & classes]
        return self.pick(verbs)

    def _time(self, verb: Verb, draw: Draw, negated: bool) -> Optional[Adverbial]:
        tense = "modal" if draw.modals else "past" if draw.past else "present"
        blocked = set(verb.flags)
        if negated:
            blocked.add("every")
        if "seasonal" not in verb.flags:
            blocked.add("season")
        if draw.modals and draw.past:
            tense = "past"
        if "time" in verb.flags:
            return None
        return self.pick([t for t in TIMES if tense in t.tags and not t.tags & blocked])

    def clause(
        self, draw: Draw, subject: Optional[Nominal] = None, among: Sequence[Verb] = VERBS, third: bool = False
    ) -> Clause:
        """A clause with a fitting subject (drawn if not given), objects and adverbials."""
        verb = self._verb(draw, subject, among)
        if subject is None:
            subject = self.subject(verb.subject, third)
        animal = isinstance(subject, NounPhrase) and "animal" in subject.noun.classes
        every = isinstance(subject, NounPhrase) and subject.det == "every"
        objects = self._arguments(verb, subject)
        settled = all(getattr(item, "definite", True) for item in self._nominals(objects))
        negated = draw.negatable and not every and settled and self.chance(0.16)
        accusative = objects.get("A")
        if (
            draw.negatable
            and not every
            and not negated
            and isinstance(accusative, NounPhrase)
            and accusative.det in ("indef", "bare")
            and self.chance(0.3)
        ):
            objects["A"] = replace(
                accusative, det="kein", modifiers=tuple(Modifier(m.adjective) for m in accusative.modifiers)
            )
        denied = Clause(subject, verb, objects, negated=negated).denied
        timed = draw.timed and self.chance(0.62)
        time = self._time(verb, draw, denied) if timed else None
        often = None
        if not (time or denied or draw.modals or draw.past or verb.flags & {"every", "time"}):
            often = self.pick(FREQUENCIES) if self.chance(0.25) else None
        manner = None
        if verb.manners and not (often or denied) and self.chance(0.35):
            manner = MANNERS[self.pick(verb.manners)]
            if time and time.tags & {"early", "late"} and manner.en in ("early", "late"):
                manner = None  # not "late before breakfast"
        place = None
        spots = verb.places & {"outdoor"} if animal else verb.places
        if spots and self.chance(0.4):
            place = self._place(spots, False, subject)
            if denied and place.nominal.det == "indef":
                place = None
        if often or (time and "every" in time.tags):
            self._generalise(verb, objects)
        modal = MODALS["können" if animal else self.pick(draw.modals)] if draw.modals else None
        return Clause(subject, verb, objects, draw.past, modal, negated, time, often, manner, place)

    @staticmethod
    def _generalise(verb: Verb, objects: Dict[str, Any]) -> None:
        """A habit concerns a new object each time: he eats an apple every day, not the apple."""
        item = objects.get("A")
        if "once" in verb.flags and isinstance(item, NounPhrase) and item.definite:
            det = "bare" if item.plural or not item.noun.plural else "indef"
            objects["A"] = replace(item, det=det, genitive=None)

    @staticmethod
    def _nominals(objects: Dict[str, Any]) -> List[Any]:
        return [getattr(item, "nominal", item) for item in objects.values()]

    def _arguments(self, verb: Verb, subject: Nominal) -> Dict[str, Any]:
        objects: Dict[str, Any] = {}
        for role, slot in verb.arguments.items():
            if role in ("L", "G"):
                objects[role] = self._place(slot.classes, role == "G", subject)
            elif role == "P":
                nominal = self._object(slot.classes, slot.case, subject, verb.flags)
                objects[role] = PrepositionalPhrase(slot.preposition, slot.case, "", nominal, False)
            else:
                other = objects.get("D")
                flags = verb.flags if role == "A" else frozenset()
                objects[role] = (
                    self.phrase(slot.classes, "object", subject, verb.flags)
                    if other
                    else self._object(slot.classes, slot.case, subject, flags)
                )
        return objects
