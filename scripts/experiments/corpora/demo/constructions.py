"""Sentence types (statements, questions, subordination) and the stream of distinct pairs."""

from dataclasses import replace
from typing import Any, Iterator, Set, Tuple

from circumstance_lexicon import OUTDOORS
from lexicon import NOUNS
from nominals import IT, WHO, Nominal, NounPhrase, Pronoun, pronoun_for, relative_pronoun
from sentence_sampler import Draw, Sampler
from synchronous_grammar import (
    Clause,
    contrast,
    statement,
    wh_question,
    who_question,
    with_subordinate,
    yes_no_question,
)
from verb_lexicon import (
    BAD_WEATHER,
    CHEERS,
    FINE_WEATHER,
    HELPS,
    HINDERS,
    MODAL_KEYS,
    OCCASIONS,
    RAIN,
    SNOW,
    THAT_VERBS,
    VERBS,
    WHETHER_VERBS,
    Verb,
    state,
)

Pair = Tuple[str, str]

_TRIPS = tuple(verb for verb in VERBS if "trip" in verb.flags)
_STAYS = tuple(verb for verb in VERBS if "trip" not in verb.flags)
_ERRANDS = tuple(verb for verb in VERBS if "errand" in verb.flags)
_PERSON_VERBS = tuple(  # verbs whose object may carry a relative clause at the end
    verb
    for verb in VERBS
    if not verb.prefix
    and len(verb.arguments) == 1
    and any("person" in slot.classes for slot in verb.arguments.values())
    and verb.base not in ("hören", "suchen")
)
_NOT_PEOPLE = frozenset(["person", "animal", "sight", "ride"])
_JUDGEMENTS = (
    state("sein", "gut", "be", "good"),
    state("sein", "schön", "be", "nice"),
    state("sein", "schade", "be", "a pity"),
)
_PAST_MODALS = ("können", "müssen", "wollen", "dürfen")


def is_plain_subject(head: NounPhrase, relative: Clause) -> bool:
    """Whether the relative pronoun can only be the subject.

    In *die Frau, die die Lehrerin fragt* either could be the one who asks.
    """
    item = relative.objects.get("A")
    if item is None or (head.gender == "m" and not head.plural) or item.pronoun:
        return True
    if isinstance(item, NounPhrase):
        beings = item.noun.classes & {"person", "animal"}
        return not beings or (item.gender == "m" and not item.plural)
    return False


class SentenceWriter(Sampler):
    """Draws whole sentences, one construction at a time."""

    WEIGHTS = {
        "plain": 33,
        "ask": 8,
        "ask_part": 9,
        "reason": 13,
        "errand": 7,
        "occasion": 9,
        "report": 12,
        "relative": 8,
        "hindrance": 5,
    }

    def pair(self) -> Pair:
        """One German and English sentence."""
        self.start_sentence()
        return getattr(self, "_" + self.weighted(self.WEIGHTS))()

    def _draw(self, **changes: Any) -> Draw:
        """A random tense: present, perfect, or a modal verb in the present or preterite."""
        tense = self.weighted({"present": 40, "past": 38, "modal": 17, "modal past": 5})
        modals = tuple(MODAL_KEYS) if tense == "modal" else ()
        if tense == "modal past":
            modals = _PAST_MODALS
        return Draw(past=tense.endswith("past"), modals=modals)._replace(**changes)

    def _front(self, clause: Clause) -> str:
        if clause.time and self.chance(0.42):
            return "time"
        known = clause.place and clause.place.nominal.definite
        return "place" if known and self.chance(0.15) else ""

    def _bindable(self, draw: Draw, among: Tuple[Verb, ...] = VERBS) -> Tuple[Clause, Pronoun]:
        """A clause and the pronoun that takes up its subject, which must be a person."""
        while True:
            self.start_sentence()
            clause = self.clause(draw, among=among)
            subject = clause.subject
            person = not isinstance(subject, NounPhrase) or (
                "person" in subject.noun.classes and subject.det != "every"
            )
            pronoun = pronoun_for(subject) if person else None
            if pronoun is not None:
                return replace(clause, frequency=None), pronoun

    def _plain(self) -> Pair:
        clause = self.clause(self._draw())
        return statement(clause, self._front(clause))

    def _ask(self) -> Pair:
        return yes_no_question(self._asked(self._draw(negatable=False)))

    def _asked(self, draw: Draw, among: Tuple[Verb, ...] = VERBS) -> Clause:
        """A clause to ask about: about ourselves we only ask what we can or should do."""
        while True:
            self.start_sentence()
            clause = self.clause(draw, among=among)
            if clause.modal or clause.subject.person != 1:
                return clause

    def _ask_part(self) -> Pair:
        kind = self.weighted({"wer": 20, "was": 30, "wo": 15, "wann": 15, "warum": 20})
        if kind == "wer":
            return who_question(self.clause(self._draw(negatable=False), WHO))
        if kind == "was":
            return self._ask_object()
        if kind == "warum":
            draw = self._draw(deliberate=True)
            clause = self._asked(draw._replace(negatable=not draw.modals))
            return wh_question(clause, "warum", "why")
        draw = self._draw(negatable=False, timed=kind == "wo")
        if kind == "wann":
            verbs = tuple(v for v in VERBS if not v.flags & {"loose", "time"})
            clause = self._asked(draw, verbs)
            return wh_question(replace(clause, frequency=None), "wann", "when")
        verbs = tuple(v for v in VERBS if v.places or ("L" in v.arguments and "spot" not in v.arguments["L"].classes))
        clause = self._asked(draw, verbs)
        objects = {role: item for role, item in clause.objects.items() if role != "L"}
        clause = replace(clause, objects=objects, place=None)
        return wh_question(clause, "wo", "where")

    def _ask_object(self) -> Pair:
        """A question for the accusative object: *was* for things, *wen* for people."""
        things = tuple(v for v in VERBS if "A" in v.arguments and not v.arguments["A"].classes & _NOT_PEOPLE)
        people = tuple(v for v in VERBS if "A" in v.arguments and v.arguments["A"].classes == {"person"})
        asks_thing = self.chance(0.75)
        clause = self._asked(self._draw(negatable=False), things if asks_thing else people)
        objects = {role: item for role, item in clause.objects.items() if role != "A"}
        clause = replace(clause, objects=objects)
        words = ("was", "what") if asks_thing else ("wen", "who")
        return wh_question(clause, *words)

    def _state(self, subject: Nominal, main: Clause, good: bool) -> Clause:
        """A state of the subject or the weather that helps or hinders the main clause."""
        action = main.verb
        outside = main.place and main.place.nominal.noun.de in OUTDOORS
        if (outside or "trip" in action.flags or action.base == "schwimmen") and self.chance(0.5):
            weather = NounPhrase(NOUNS["Wetter"])
            return Clause(weather, self.pick(FINE_WEATHER if good else BAD_WEATHER), past=main.past)
        helps = HELPS + CHEERS if "joy" in action.flags else HELPS
        return Clause(subject, self.pick(helps if good else HINDERS), past=main.past)

    def _reason(self) -> Pair:
        """weil / obwohl with a state; the state fits whether the action happens."""
        past = self.chance(0.55)
        modals = ("können",) if self.chance(0.2) else ()
        draw = Draw(past, modals, deliberate=True, timed=self.chance(0.4))
        main, pronoun = self._bindable(draw)
        conjunction = "weil" if self.chance(0.6) else "obwohl"
        good = (conjunction == "weil") != main.denied
        first = self.chance(0.3)
        sub = self._state(main.subject if first else pronoun, main, good)
        if first and sub.subject is main.subject:
            main = replace(main, subject=pronoun)
        return with_subordinate(main, conjunction, sub, first)

    def _errand(self) -> Pair:
        """A trip, and what the traveller wants to or has to do there."""
        past = self.chance(0.5)
        draw = Draw(past, timed=self.chance(0.4), negatable=False)
        main, pronoun = self._bindable(draw, _TRIPS)
        errand = Draw(past, ("wollen", "müssen"), timed=False, negatable=False)
        sub = replace(self.clause(errand, pronoun, _ERRANDS), place=None)
        return with_subordinate(main, "weil", sub)

    def _occasion(self) -> Pair:
        """wenn: a habit and its occasion, often with the subordinate clause first."""
        modals = ("können", "wollen") if self.chance(0.2) else ()
        draw = Draw(False, modals, deliberate=True, timed=False, negatable=False)
        kind = self.weighted({"state": 55, "rain": 15, "weather": 15, "event": 15})
        main, pronoun = self._bindable(draw, VERBS if kind == "weather" else _STAYS)
        first = self.chance(0.6)
        if kind in ("rain", "weather"):
            main = replace(main, place=None)  # no picnics in the rain
        if kind == "rain":
            sub = Clause(IT, self.pick((RAIN, SNOW)))
        elif kind == "weather":
            weather = NounPhrase(NOUNS["Wetter"])
            sub = Clause(weather, self.pick(FINE_WEATHER + BAD_WEATHER))
        elif kind == "event":
            still = tuple(v for v in VERBS if "while" in v.flags and not v.arguments)
            sub = self.clause(Draw(timed=False, negatable=False), among=still, third=True)
            sub = replace(sub, frequency=None)
        else:
            sub = Clause(main.subject if first else pronoun, self.pick(OCCASIONS))
            main = replace(main, subject=pronoun) if first else main
        return with_subordinate(main, "wenn", sub, first)

    def _report(self) -> Pair:
        """dass / ob after verbs of saying, believing and asking, or after *es ist gut*."""
        kind = self.weighted({"dass": 62, "ob": 24, "es": 14})
        past = kind != "es" and self.chance(0.3)
        if kind == "es":
            main = Clause(IT, self.pick(_JUDGEMENTS))
        else:
            verbs = [
                verb
                for verb in (THAT_VERBS if kind == "dass" else WHETHER_VERBS)
                if ("now" if past else "heard") not in verb.flags
            ]
            verb = self.pick(verbs)
            speaker = self.subject(verb.subject)
            main = Clause(speaker, verb, past=past, negated="not" in verb.flags)
        draw = self._draw(negatable=kind != "ob")
        if past:  # what was said lies in the past in both languages
            draw = draw._replace(past=True, modals=())
        conjunction = "ob" if kind == "ob" else "dass"
        return with_subordinate(main, conjunction, self.clause(draw))

    def _relative(self) -> Pair:
        """A relative clause on the subject, or on an object at the end of the sentence."""
        noun = self.phrase(frozenset(["adult"]), "subject")
        plural = noun.plural and noun.det != "num"
        head = replace(noun, det="def", plural=plural, owner=("", ""))
        if "kin" in noun.noun.classes or "close" in noun.noun.classes:
            return self._plain()
        draw = self._draw(negatable=False, timed=self.chance(0.5))
        relative = self.clause(draw, relative_pronoun(head))
        if not is_plain_subject(head, relative):
            return self._plain()
        head = replace(head, relative=relative)
        if self.chance(0.55):
            draw = self._draw(timed=self.chance(0.3), negatable=False)
            return statement(self.clause(draw, head))
        main = self.clause(Draw(timed=False, negatable=False), among=_PERSON_VERBS, third=False)
        role = next(iter(main.verb.arguments))
        target: Any = head
        if role == "P":
            target = replace(main.objects["P"], nominal=head)
        return statement(replace(main, objects={role: target}, place=None, manner=None))

    def _hindrance(self) -> Pair:
        """A wish that something stands against: *will ..., aber ...*."""
        past = self.chance(0.4)
        modals = ("wollen",) if past else ("wollen", "möchten")
        draw = Draw(past, modals, True, timed=self.chance(0.4), negatable=False)
        main, pronoun = self._bindable(draw)
        return contrast(main, Clause(pronoun, self.pick(HINDERS), past=past))


MAXIMUM_PAIRS = 200_000  # far below what the grammar yields; checked when the bound was set
_PATIENCE = 10_000


def pairs(seed: int) -> Iterator[Pair]:
    """Distinct (German, English) pairs: no sentence of either language occurs twice."""
    writer = SentenceWriter(seed)
    seen_de: Set[str] = set()
    seen_en: Set[str] = set()
    rejected = 0
    while rejected < _PATIENCE:
        de, en = writer.pair()
        if de in seen_de or en in seen_en:
            rejected += 1
            continue
        rejected = 0
        seen_de.add(de)
        seen_en.add(en)
        yield de, en
