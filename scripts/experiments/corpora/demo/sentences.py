"""Random sentence pairs of the grammar, and the parallel corpus made of them."""

import random
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import AbstractSet, Any, Dict, Iterator, Mapping, Sequence, Set

from experiments.corpora.catalogue import Corpus
from experiments.corpora.demo import grammar
from experiments.corpora.demo.grammar import Clause, Nominal, finished, prepositional, pronoun_for, question, statement
from experiments.corpora.demo.lexicon import MODALS, NOTHING, NOUNS, VERBS, WORDS, Pair, Row
from experiments.corpora.text_files import write_splits

SIZES = {"valid": 500, "test": 500, "train": 7_000}  # in this order: the held-out sets do not depend on train's size

# How often, relative to each other.
_CONSTRUCTIONS = {"statement": 33, "question": 18, "cause": 28, "report": 12, "relative": 9}
_TENSES = {"present": 40, "past": 38, "modal": 17, "modal past": 5}
_DETERMINERS = {
    "mass": {"def": 40, "bare": 50, "poss": 10},
    "plural": {"def": 28, "num": 24, "poss": 14, "this": 10, "some": 6, "many": 6, "bare": 12},
    "singular": {"def": 42, "indef": 30, "poss": 18, "this": 8, "every": 2},
}
_WEATHER = [verb for verb in VERBS if "weather" in verb.subject]
_REPORTS = [verb for verb in VERBS if verb.clause.de]
_STATES = [verb for verb in VERBS if not verb.auxiliary and "person" in verb.subject]
_ACTIONS = [verb for verb in VERBS if verb not in _WEATHER + _REPORTS + _STATES]
_TO_PEOPLE = [verb for verb in _ACTIONS if "A" in verb.roles and "person" in verb.roles["A"].classes]
_TO_THINGS = [verb for verb in _ACTIONS if "A" in verb.roles and not verb.roles["A"].classes & {"person", "animal"}]


class Writer:
    """Draws sentences from one random stream, of which only `random()` is the same in every version of Python."""

    def __init__(self, seed: int):
        self._random = random.Random(seed).random
        self._used: Set[str] = set()  # nouns of the sentence: none stands twice in it

    def _chance(self, probability: float) -> bool:
        return self._random() < probability

    def _pick(self, items: Sequence[Any]) -> Any:
        return items[int(self._random() * len(items))]

    def _weighted(self, weights: Mapping[str, int]) -> str:
        return self._pick([key for key, weight in weights.items() for _ in range(weight)])

    def _word(self, kind: str, classes: AbstractSet[str]) -> Pair:
        return self._pick([row.words for row in WORDS[kind] if row.classes & classes] or [NOTHING])

    def _noun(self, classes: AbstractSet[str], without: str = "") -> Row:
        fitting = [noun for noun in NOUNS if noun.classes & classes and without not in noun.classes]
        noun = self._pick([noun for noun in fitting if noun.de not in self._used] or fitting)
        self._used.add(noun.de)
        return noun

    def _phrase(self, noun: Row, weights: Mapping[str, int], subject=None, plural=False) -> Nominal:
        """The noun with a determiner of these weights; what is possessed is the subject's, or a speaker's."""
        determiner = "poss" if "kin" in noun.classes else self._weighted(weights)
        adjective = self._word("adjective", noun.classes) if self._chance(0.4) else NOTHING
        stem, owner = NOTHING, None
        if determiner == "poss":
            person = pronoun_for(subject) if subject and self._chance(0.6) else None
            stem = (person or self._pick(grammar.PERSONAL[:2])).possessive
        elif determiner == "num":
            stem = self._pick(WORDS["number"]).words
        elif determiner == "def" and noun.classes & {"thing", "clothes", "animal"} and self._chance(0.25):
            owner = self._phrase(self._noun({"person"}), {"def": 1})
        return grammar.noun_phrase(noun, determiner, plural, adjective, stem, owner)

    def _nominal(self, classes: AbstractSet[str], subject=None, case="nom", negated=False) -> Nominal:
        """A subject, or an object of a given one; in a negated clause it is definite or has kein."""
        if "person" in classes or ("adult" in classes and not subject):
            pronoun = self._pick(grammar.PERSONAL)
            itself = subject and pronoun.person == subject.person != 3
            kind = self._weighted({"phrase": 60, "name": 15, "pronoun": 25})
            if kind == "name":
                row = self._pick(WORDS["name"])
                return grammar.name(row.words, *row.classes)
            if kind == "pronoun" and pronoun.german[case] and not itself:
                return pronoun
        noun = self._noun(classes)
        plural = bool(noun.de_plural) and "one" not in noun.classes and self._chance(0.33)
        weights = _DETERMINERS["plural" if plural else "singular" if noun.de_plural else "mass"]
        if negated:
            weights = {**{key: weights.get(key, 0) for key in grammar.DEFINITE}, "kein": 30 if case == "acc" else 0}
        return self._phrase(noun, weights, subject, plural)

    def _location(self, classes: AbstractSet[str], goal: bool, subject: Nominal) -> Pair:
        """A location or a goal: beside furniture, in a city, or at a place."""
        case = "acc" if goal else "dat"
        if "spot" in classes:
            return prepositional(self._word("spot", classes), case, self._phrase(self._noun({"furniture"}), {"def": 1}))
        if "city" in classes:
            city = grammar.name(self._word("city", classes))
            return prepositional(Pair("nach", "to") if goal else Pair("in", "in"), case, city)
        place = self._noun(classes)
        preposition = place.to if goal else place.at
        phrase = self._phrase(place, {"def": 70, "indef": 15, "poss": 40 * ("home" in place.classes)}, subject)
        return prepositional(preposition, "dat" if preposition.de == "zu" else case, phrase)

    def _clause(self, subject=None, verbs=_ACTIONS, tense="", negatable=False, timed=True) -> Clause:
        """A clause of one of the verbs, with a fitting subject unless one is given, objects and adverbials."""
        verb = self._pick([verb for verb in verbs if not subject or verb.subject & subject.classes])
        subject = subject or (grammar.IT if verb.subject & grammar.IT.classes else self._nominal(verb.subject))
        tense = tense or self._weighted(_TENSES)
        modal, tense = tense.startswith("modal"), "past" if tense.endswith("past") else "present"
        modals = [german for german, when in MODALS if modal and when == tense]
        negated = negatable and verb.base != "haben" and self._chance(0.2)
        objects, phrase = {}, NOTHING
        for role, argument in verb.roles.items():
            if role in ("L", "G"):
                phrase = self._location(argument.classes, role == "G", subject)
                continue
            nominal = self._nominal(argument.classes, subject, argument.case, negated)
            if role in ("A", "D"):
                objects[role] = nominal
            else:
                phrase = prepositional(Pair(role), argument.case, nominal)
        clause = Clause(subject, verb, objects, phrase, tense, self._pick(modals or [""]), negated)
        if timed and self._chance(0.55):
            once = tense == "present" and (modal or negated)
            clause = replace(clause, time=self._word("time", {"modal" if once else tense}))
        elif timed and not negated and self._chance(0.3):
            clause = replace(clause, frequency=self._word("frequency", {tense}))
        if not negated and self._chance(0.35):
            clause = replace(clause, manner=self._word("manner", verb.manners))
        if verb.places and self._chance(0.4):
            clause = replace(clause, place=self._location(verb.places, False, subject))
        return clause

    def pair(self) -> Pair:
        """One German and English sentence."""
        self._used = set()
        return getattr(self, f"_{self._weighted(_CONSTRUCTIONS)}")()

    def _statement(self) -> Pair:
        clause = self._clause(verbs=_ACTIONS + _STATES, negatable=True)
        return statement(clause, self._pick(("", "", "time", "time", "place")))

    def _question(self) -> Pair:
        """One to be answered by yes or no, or for a part of the clause, which is left out."""
        if self._chance(0.45):
            return question(self._clause(verbs=_ACTIONS + _STATES))
        row = self._pick(WORDS["question"])
        (asked,) = row.classes
        if asked == "subject":
            clause = self._clause(grammar.WHO)
            return finished(clause.german(), clause.english(), "?")
        placed = [verb for verb in _ACTIONS if verb.places]
        verbs = {"thing": _TO_THINGS, "person": _TO_PEOPLE, "place": placed}.get(asked, _ACTIONS)
        clause = self._clause(verbs=verbs, timed=asked != "time")
        if asked in ("thing", "person"):
            del clause.objects["A"]
        return question(replace(clause, place=NOTHING), row.words)

    def _cause(self) -> Pair:
        """A clause of cause, concession or condition: a state or an action of the subject, or the weather."""
        conjunction, first = self._pick(WORDS["cause"]).words, self._chance(0.4)
        condition = conjunction.de == "wenn"
        main = self._clause(tense="present" if condition else "", negatable=not condition)
        verbs = self._pick((_STATES, _STATES, _ACTIONS, _WEATHER))
        again = pronoun_for(main.subject) if verbs is not _WEATHER else None
        sub = self._clause(main.subject if again and first else again, verbs, main.tense, timed=False)
        return grammar.with_subordinate(
            replace(main, subject=again) if again and first else main, conjunction, sub, first
        )

    def _report(self) -> Pair:
        """What is said, known or asked; in the past both lie in the past, in both languages."""
        main = self._clause(verbs=_REPORTS, tense=self._pick(("present", "present", "past")), timed=False)
        sub = self._clause(tense="past" if main.tense == "past" else "", negatable=True)
        return grammar.with_subordinate(main, main.verb.clause, sub)

    def _relative(self) -> Pair:
        """A relative clause to the subject."""
        head = self._phrase(self._noun({"adult"}, without="kin"), {"def": 1}, plural=self._chance(0.3))
        # Of two people, die Frau, die die Lehrerin ruft, either could be the one who calls.
        relative = self._clause(grammar.relative_pronoun(head), [verb for verb in _ACTIONS if verb not in _TO_PEOPLE])
        german = {case: f"{text}, {relative.german('last')}," for case, text in head.german.items()}
        english = {case: f"{text} {relative.english()}" for case, text in head.english.items()}
        return statement(self._clause(replace(head, german=german, english=english)))


def pairs(seed: int) -> Iterator[Pair]:
    """Distinct pairs without end: no sentence of either language occurs twice."""
    writer, seen = Writer(seed), set()
    while True:
        pair = writer.pair()
        if seen.isdisjoint(pair):
            seen.update(pair)
            yield pair


def build(corpus: Corpus, files: Mapping[str, Path], raw: Path, words: object) -> Dict[str, int]:
    """Writes the three splits; returns pairs per split."""
    stream = pairs(seed=1)
    rows = ((split, pair) for split, size in SIZES.items() for pair in islice(stream, size))
    return write_splits(raw, corpus.suffixes, rows)
