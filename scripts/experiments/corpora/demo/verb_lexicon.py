"""Bilingual verb table with valency, selection restrictions and modal verbs."""

from typing import Dict, FrozenSet, List, NamedTuple, Tuple


class Argument(NamedTuple):
    """One argument slot: German case, optional preposition, fitting noun classes."""

    case: str
    preposition: str
    classes: FrozenSet[str]


class Verb(NamedTuple):
    """A verb with its German principal parts, English forms and argument frame.

    ``pattern`` orders the English words: V verb, A accusative, D dative, P prepositional object,
    L location, G goal, M manner; anything else stands for itself.
    """

    prefix: str
    base: str
    changed: str  # stem of the 2nd and 3rd person singular where the vowel changes
    participle: str
    auxiliary: str
    en: str
    en_past: str
    pattern: Tuple[str, ...]
    subject: FrozenSet[str]
    arguments: Dict[str, Argument]
    places: FrozenSet[str]
    manners: Tuple[str, ...]
    flags: FrozenSet[str]
    complement: str = ""  # German predicate complement of states (müde, keine Zeit)

    @property
    def infinitive(self) -> str:
        """The infinitive with a separable prefix joined."""
        return self.prefix + self.base


class Modal(NamedTuple):
    """A modal verb: German present (six forms), preterite stem, English renderings.

    An English rendering is a finite word (can, should, would, be, want, have) and the words
    between it and the bare infinitive; ``past_stem`` is empty where no preterite is used.
    """

    present: Tuple[str, ...]
    past_stem: str
    english: Tuple[str, ...]
    english_past: Tuple[str, ...]


# German (prefix.base, changed stem) | participle, h(aben)/s(ein) | English base, past | pattern |
# subject classes | A:classes D:classes P:preposition:case:classes L:places G:places, @:optional
# places, M:manners.
_VERBS = """
schlafen schläf | geschlafen h | sleep slept | V M | person,animal | @:home,outdoor M:lange
lachen | gelacht h | laugh laughed | V M | person | M:laut,leise,lange
weinen | geweint h | cry cried | V M | child | M:laut,leise,lange
arbeiten | gearbeitet h | work worked | V M | adult | @:work M:lange,allein
tanzen | getanzt h | dance danced | V | person | @:outdoor,home
singen | gesungen h | sing sang | V M | person | @:outdoor,home M:laut,leise
schwimmen | geschwommen s | swim swam | V M | person | M:schnell,langsam,allein
spielen | gespielt h | play played | V | child | @:outdoor,home
frühstücken | gefrühstückt h | have had | V breakfast | person | @:home,eat
sitzen | gesessen h | sit sat | V M L | person | L:sit M:allein
wohnen | gewohnt h | live lived | V L | adult | L:live
liegen | gelegen h | lie lay | V L | flat | L:spot
stehen | gestanden h | stand stood | V L | upright | L:spot
auf.stehen | aufgestanden s | get got | V up M | person | M:früh,spät,langsam
auf.wachen | aufgewacht s | wake woke | V up M | person,animal | M:früh,spät
ein.schlafen schläf | eingeschlafen s | fall fell | V asleep M | person,animal | M:früh,spät
ein.kaufen | eingekauft h | go went | V shopping | adult | @:shop
fern.sehen sieh | ferngesehen h | watch watched | V television | person | @:indoor
aus.gehen | ausgegangen s | go went | V out M | adult | M:allein
an.kommen | angekommen s | arrive arrived | V M L | person | L:arrive M:früh,spät,pünktlich
weg.laufen läuf | weggelaufen s | run ran | V away M | animal,child | M:schnell
zurück.kommen | zurückgekommen s | come came | V back M | person | M:früh,spät,allein
gehen | gegangen s | go went | V G M | person | G:any M:allein
fahren fähr | gefahren s | drive drove | V G M | adult | G:town,shop,arrive,far M:allein
laufen läuf | gelaufen s | run ran | V M G | person,animal | G:outdoor M:schnell,langsam
reisen | gereist s | travel traveled | V G M | adult | G:city M:mit_dem_Zug,mit_dem_Bus,allein
fliegen | geflogen s | fly flew | V G M | adult | G:city M:allein
zurück.gehen | zurückgegangen s | go went | V back G M | person | G:home,town,arrive
zurück.fahren fähr | zurückgefahren s | drive drove | V back G M | adult | G:town,city M:allein
lesen lies | gelesen h | read read | V A | person | A:readable @:home,outdoor,study
schreiben | geschrieben h | write wrote | V A | adult | A:written @:study,home
kaufen | gekauft h | buy bought | V A | person | A:thing,clothes,food,gift @:shop
verkaufen | verkauft h | sell sold | V A | adult | A:thing,clothes,food @:shop
essen iss | gegessen h | eat ate | V A | person | A:food,dish @:home,eat
trinken | getrunken h | drink drank | V A | adult | A:drink @:home,eat
fressen friss | gefressen h | eat ate | V A | pet | A:fodder @:home
sehen sieh | gesehen h | see saw | V A | person | A:person,animal,ride @:outdoor,meet
hören | gehört h | hear heard | V A | person | A:animal,person @:outdoor
suchen | gesucht h | look looked | V for A | person | A:person,pet,portable,clothes @:home,outdoor
finden | gefunden h | find found | V A | person | A:portable,clothes,toy @:home,outdoor
vergessen vergiss | vergessen h | forget forgot | V A | person | A:portable,worn
verlieren | verloren h | lose lost | V A | person | A:portable,worn @:outdoor
brauchen | gebraucht h | need needed | V A | person | A:thing,worn,portable
reparieren | repariert h | repair repaired | V A | adult | A:broken @:home
malen | gemalt h | paint painted | V A | person | A:sketch,painted @:outdoor
kochen | gekocht h | cook cooked | V A | adult | A:cooked @:cook
backen | gebacken h | bake baked | V A | adult | A:baked @:cook
besuchen | besucht h | visit visited | V A | person | A:person,sight
treffen triff | getroffen h | meet met | V A | person | A:person @:meet
fragen | gefragt h | ask asked | V A | person | A:person
kennen | gekannt h | know knew | V A | person | A:person,sight
verstehen | verstanden h | understand understood | V A | person | A:person,tale
füttern | gefüttert h | feed fed | V A | person | A:animal
waschen wäsch | gewaschen h | wash washed | V A | adult | A:garment,washable
tragen träg | getragen h | wear wore | V A | person | A:worn
tragen träg | getragen h | carry carried | V A G | person | A:heavy G:home,town,arrive
bezahlen | bezahlt h | pay paid | V for A | adult | A:thing,clothes,food @:shop
legen | gelegt h | put put | V A G | person | A:flat G:spot
stellen | gestellt h | put put | V A G | person | A:upright G:spot
an.rufen | angerufen h | call called | V A | person | A:person
ein.laden läd | eingeladen h | invite invited | V A | person | A:person
ab.holen | abgeholt h | pick picked | V up A | adult | A:person @:arrive
auf.machen | aufgemacht h | open opened | V A | person | A:box
zu.machen | zugemacht h | close closed | V A | person | A:box
auf.räumen | aufgeräumt h | clean cleaned | V up A | person | A:room
mit.nehmen nimm | mitgenommen h | take took | V A along | person | A:portable,pet
mit.bringen | mitgebracht h | bring brought | V A along | person | A:gift,food
an.ziehen | angezogen h | put put | V on A | person | A:garment
auf.setzen | aufgesetzt h | put put | V on A | person | A:headgear
auf.essen iss | aufgegessen h | eat ate | V up A | person,pet | A:food
weg.werfen wirf | weggeworfen h | throw threw | V away A | person | A:portable,thing
ein.packen | eingepackt h | pack packed | V A | person | A:portable,clothes
aus.leihen | ausgeliehen h | borrow borrowed | V A | person | A:loan
an.schauen | angeschaut h | look looked | V at A | person | A:animal,painted,thing
auf.hängen | aufgehängt h | hang hung | V up A | person | A:wall @:indoor
aus.schalten | ausgeschaltet h | turn turned | V off A | person | A:device
ein.schalten | eingeschaltet h | turn turned | V on A | person | A:device
ab.schließen | abgeschlossen h | lock locked | V A | adult | A:lock
auf.schreiben | aufgeschrieben h | write wrote | V down A | person | A:tale
helfen hilf | geholfen h | help helped | V D | person | D:person @:home
danken | gedankt h | thank thanked | V D | person | D:person
antworten | geantwortet h | answer answered | V D | person | D:person
folgen | gefolgt s | follow followed | V D | person | D:person
zu.hören | zugehört h | listen listened | V to D | person | D:person
geben gib | gegeben h | give gave | V D A | person | D:person A:loan,portable,gift
zeigen | gezeigt h | show showed | V D A | person | D:person A:readable,thing,clothes,sight
schicken | geschickt h | send sent | V D A | person | D:person A:mail
bringen | gebracht h | bring brought | V D A | person | D:person A:food,portable
leihen | geliehen h | lend lent | V D A | adult | D:person A:loan,lend
zurück.geben gib | zurückgegeben h | give gave | V A back to D | person | D:person A:loan,lend
vor.lesen lies | vorgelesen h | read read | V A to D | person | D:person A:tale,written
warten | gewartet h | wait waited | V for P M | person | P:auf:acc:person,ride @:meet M:lange
sprechen sprich | gesprochen h | talk talked | V with P M | person | P:mit:dat:person @:meet M:lange
denken | gedacht h | think thought | V of P | person | P:an:acc:person
träumen | geträumt h | dream dreamed | V of P | person | P:von:dat:dream
spielen | gespielt h | play played | V with P | child,pet | P:mit:dat:pet,toy @:home
auf.passen | aufgepasst h | look looked | V after P | adult | P:auf:acc:animal,child
"""

# Traits of verbs, by infinitive (=English where two verbs share it). Tags of adverbials (early,
# late, meal, every, daily, recent, day, time for all) exclude such times; seasonal admits seasons.
# loose: not done on purpose; slight: needs no reason; once: a new object each time; def, one,
# match, others: the object is definite, singular, in the number of the subject, not its own;
# now: no perfect; done: only perfect; joy: goes with a good mood; trip, errand: a journey, its
# purpose; while: an occasion for something else.
_TRAITS = """
early: schlafen tanzen einschlafen ausgehen reisen fliegen brauchen träumen
loose: schlafen lachen weinen sitzen wohnen liegen stehen aufwachen einschlafen ankommen
  weglaufen zurückgehen sehen hören finden vergessen verlieren brauchen kennen verstehen denken
  träumen
meal: schlafen frühstücken liegen stehen aufstehen aufwachen reisen fliegen
every: wegwerfen lachen wohnen liegen stehen zurückkommen finden vergessen verlieren brauchen fragen
  danken antworten folgen
seasonal: arbeiten schwimmen wohnen reisen fliegen lesen schreiben kaufen verkaufen malen
  besuchen tragen=wear ausleihen
joy: tanzen singen schwimmen ausgehen kochen backen einladen mitbringen helfen geben
late: frühstücken aufstehen aufwachen reisen fliegen brauchen
day: wohnen
trip: gehen fahren reisen fliegen
daily: reisen fliegen
recent: reisen fliegen
once: schreiben kaufen verkaufen essen trinken fressen malen kochen backen bezahlen mitbringen
  aufessen wegwerfen ausleihen geben zeigen schicken bringen leihen
now: kennen
time: kennen verstehen
one: legen stellen aufräumen
others: ausleihen zurückgeben
done: finden vergessen verlieren
match: tragen=wear anziehen aufsetzen
slight: legen stellen ausschalten einschalten aufmachen zumachen danken antworten folgen fragen
  anziehen aufsetzen tragen=wear essen trinken aufessen wegwerfen aufhängen geben
  zurückkommen frühstücken aufstehen abschließen einpacken
while: schlafen arbeiten spielen fernsehen singen zurückkommen aufwachen
def: bezahlen aufessen einpacken ausschalten einschalten zurückgeben
errand: kaufen verkaufen besuchen treffen abholen suchen reparieren malen ausleihen helfen
  sprechen fragen zurückgeben zeigen bringen aufpassen anschauen einladen
"""


def _traits() -> Dict[str, List[str]]:
    table: Dict[str, List[str]] = {}
    trait = ""
    for word in _TRAITS.split():
        if word.endswith(":"):
            trait = word[:-1]
        else:
            table.setdefault(word, []).append(trait)
    return table


_TRAITS_OF = _traits()


def _parse(line: str) -> Verb:
    fields = [field.split() for field in line.split("|")]
    german, parts, english, pattern, subject = fields[:5]
    prefix, _, base = german[0].rpartition(".")
    traits = _TRAITS_OF.get(prefix + base, []) + _TRAITS_OF.get(f"{prefix}{base}={english[0]}", [])
    arguments: Dict[str, Argument] = {}
    places: FrozenSet[str] = frozenset()
    flags = frozenset(traits)
    manners: Tuple[str, ...] = ()
    for item in fields[5] if len(fields) > 5 else []:
        key, _, value = item.partition(":")
        if key in ("A", "D"):
            classes = frozenset(value.split(","))
            arguments[key] = Argument("acc" if key == "A" else "dat", "", classes)
        elif key == "P":
            preposition, case, names = value.split(":")
            arguments[key] = Argument(case, preposition, frozenset(names.split(",")))
        elif key in ("L", "G"):
            arguments[key] = Argument("dat" if key == "L" else "acc", "",
                                      frozenset(value.split(",")))
        elif key == "@":
            places = frozenset(value.split(","))
        elif key == "M":
            manners = tuple(value.replace("_", " ").split(","))
        else:
            flags = frozenset(value.split(","))  # the clause-taking verbs name theirs in place
    return Verb(prefix, base, german[1] if len(german) > 1 else "", parts[0],
                "sein" if parts[1] == "s" else "haben", english[0], english[1], tuple(pattern),
                frozenset(subject[0].split(",")), arguments, places, manners, flags)


VERBS: Tuple[Verb, ...] = tuple(_parse(line) for line in _VERBS.strip().splitlines())

RAIN = _parse("regnen | geregnet h | rain rained | V | sky")
SNOW = _parse("schneien | geschneit h | snow snowed | V | sky")

# Verbs that take a clause: with "dass" and with "ob".
THAT_VERBS: Tuple[Verb, ...] = tuple(_parse(line) for line in (
    "sagen | gesagt h | say said | V | person",
    "glauben | geglaubt h | believe believed | V | person",
    "denken | gedacht h | think thought | V | person",
    "wissen | gewusst h | know knew | V | person | !:now",
    "hören | gehört h | hear heard | V | person | !:heard",
))
WHETHER_VERBS: Tuple[Verb, ...] = tuple(_parse(line) for line in (
    "fragen | gefragt h | ask asked | V | person",
    "wissen | gewusst h | know knew | V | person | !:now,not",
))


def state(base: str, complement: str, en: str, pattern: str, subject: str = "person") -> Verb:
    """A state: sein or haben with a complement (müde sein, keine Zeit haben)."""
    participle = "gewesen" if base == "sein" else "gehabt"
    past = "was" if en == "be" else "had"
    return Verb("", base, "", participle, base, en, past, tuple(("V " + pattern).split()),
                frozenset([subject]), {}, frozenset(), (), frozenset(["preterite"]), complement)


# States that help, cheer or hinder, and neutral occasions.
HELPS: Tuple[Verb, ...] = (
    state("haben", "Zeit", "have", "time"), state("haben", "viel Zeit", "have", "a lot of time"),
    state("haben", "frei", "have", "the day off"),
)
CHEERS: Tuple[Verb, ...] = (
    state("haben", "gute Laune", "be", "in a good mood"),
    state("sein", "glücklich", "be", "happy"),
)
HINDERS: Tuple[Verb, ...] = (
    state("sein", "müde", "be", "tired"), state("sein", "krank", "be", "sick"),
    state("sein", "sehr müde", "be", "very tired"), state("sein", "traurig", "be", "sad"),
    state("haben", "keine Zeit", "have", "no time"), state("sein", "in Eile", "be", "in a hurry"),
    state("haben", "viel Arbeit", "have", "a lot of work"),
    state("sein", "erkältet", "have", "a cold"),
    state("haben", "schlechte Laune", "be", "in a bad mood"),
    state("sein", "sehr nervös", "be", "very nervous"),
)
OCCASIONS: Tuple[Verb, ...] = HELPS + (
    state("sein", "allein", "be", "alone"), state("sein", "zu Hause", "be", "at home"),
    state("sein", "traurig", "be", "sad"), state("haben", "Hunger", "be", "hungry"),
    state("sein", "müde", "be", "tired"), state("sein", "glücklich", "be", "happy"),
)
FINE_WEATHER: Tuple[Verb, ...] = (
    state("sein", "schön", "be", "beautiful", "sky"), state("sein", "gut", "be", "good", "sky"),
)
BAD_WEATHER: Tuple[Verb, ...] = (
    state("sein", "schlecht", "be", "bad", "sky"), state("sein", "sehr kalt", "be", "very cold",
                                            "sky"),
)


def _modal(forms: str, past_stem: str, english: str, english_past: str = "") -> Modal:
    return Modal(tuple(forms.split()), past_stem, tuple(english.split()),
                 tuple(english_past.split()))


MODALS: Dict[str, Modal] = {
    "können": _modal("kann kannst kann können könnt können", "konnt", "can", "be able to"),
    "müssen": _modal("muss musst muss müssen müsst müssen", "musst", "have to", "have to"),
    "wollen": _modal("will willst will wollen wollt wollen", "wollt", "want to", "want to"),
    "dürfen": _modal("darf darfst darf dürfen dürft dürfen", "durft", "be allowed to",
                     "be allowed to"),
    "sollen": _modal("soll sollst soll sollen sollt sollen", "", "should"),
    "möchten": _modal("möchte möchtest möchte möchten möchtet möchten", "", "would like to"),
}

MODAL_KEYS: List[str] = list(MODALS)
