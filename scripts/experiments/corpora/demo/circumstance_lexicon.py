"""Bilingual word lists: places, names, numbers and adverbials."""

from typing import Dict, FrozenSet, NamedTuple, Sequence, Tuple

from lexicon import classes_of, rows_of


class Adverbial(NamedTuple):
    """An adverbial: the same phrase in both languages, with tags that restrict its use."""

    de: str
    en: str
    tags: FrozenSet[str]


class Place(NamedTuple):
    """How a place noun is used: prepositions for location (dative) and goal, and classes."""

    noun: str
    at_de: str
    at_en: str
    to_de: str
    to_en: str
    classes: FrozenSet[str]


class Spot(NamedTuple):
    """A piece of furniture with a preposition, German and English."""

    noun: str
    de: str
    en: str


# Noun, location (German with dative, English), goal (German, English), classes.
_PLACES = """
Garten in in in into outdoor,home,work,sit
Park in in in to outdoor,meet,sit
Wald in in in into outdoor
Stadt in in in to town,live,shop,meet
Dorf in in in to town,live
Markt auf at auf to shop,meet
Supermarkt in at in to shop
Bibliothek in in in to study,work,sit,meet,far
Restaurant in in in to eat,work,sit,meet,far
Café in in in to eat,study,sit,meet
Museum in at in to work,meet
Bahnhof an at zu to arrive,meet
See an by an to outdoor,sit
Fluss an by an to outdoor,sit
Strand an on an to outdoor,sit,meet
Hotel in at in to arrive,eat,work,live,far
Krankenhaus in at in to work,far
Universität an at zu to work,meet,far
Küche in in in into home,indoor,cook,sit
Wohnung in in in into home,indoor,live
Büro in in in to work,study,far
Bauernhof auf on auf to work,live,far
"""

PLACES: Tuple[Place, ...] = tuple(
    Place(row[0], row[1], row[2], row[3], row[4], classes_of(row[5])) for row in rows_of(_PLACES)
)

OUTDOORS: Tuple[str, ...] = tuple(place.noun for place in PLACES if "outdoor" in place.classes)

# Furniture with the two-way prepositions that fit it.
SPOTS: Tuple[Spot, ...] = tuple(Spot(*row) for row in (
    ("Tisch", "auf", "on"), ("Tisch", "unter", "under"), ("Tisch", "neben", "next to"),
    ("Stuhl", "auf", "on"), ("Stuhl", "unter", "under"), ("Stuhl", "neben", "next to"),
    ("Bett", "auf", "on"), ("Bett", "unter", "under"), ("Bett", "neben", "next to"),
    ("Sofa", "auf", "on"), ("Sofa", "neben", "next to"),
))

FIRST_NAMES: Tuple[Tuple[str, str], ...] = (
    ("Anna", "f"), ("Julia", "f"), ("Maria", "f"), ("Sofia", "f"), ("Laura", "f"),
    ("Peter", "m"), ("Paul", "m"), ("Thomas", "m"), ("Martin", "m"), ("Daniel", "m"),
)

CITIES: Tuple[Tuple[str, str], ...] = (
    ("Berlin", "Berlin"), ("Hamburg", "Hamburg"), ("Wien", "Vienna"), ("München", "Munich"),
    ("Köln", "Cologne"), ("Rom", "Rome"),
)

NUMBERS: Tuple[Tuple[str, str], ...] = (
    ("zwei", "two"), ("drei", "three"), ("vier", "four"), ("fünf", "five"), ("sechs", "six"),
    ("sieben", "seven"), ("acht", "eight"), ("neun", "nine"), ("zehn", "ten"),
    ("elf", "eleven"), ("zwölf", "twelve"),
)


def _adverbials(rows: Sequence[Tuple[str, str, str]]) -> Tuple[Adverbial, ...]:
    return tuple(Adverbial(de, en, classes_of(tags)) for de, en, tags in rows)


# Tags: present, past, modal = tenses it goes with; early, late = time of day; every, daily =
# habits; meal, season, recent, day = kinds that some verbs exclude.
TIMES = _adverbials((
    ("jeden Tag", "every day", "present,every,daily"),
    ("jeden Morgen", "every morning", "present,every,early,daily"),
    ("jeden Abend", "every evening", "present,every,late,daily"),
    ("jeden Sonntag", "every Sunday", "present,every"),
    ("jede Woche", "every week", "present,every"),
    ("am Wochenende", "on the weekend", "present,past,modal,day"),
    ("am Morgen", "in the morning", "present,modal,early,day"),
    ("am Abend", "in the evening", "present,modal,late,day"),
    ("im Sommer", "in the summer", "present,season"),
    ("im Winter", "in the winter", "present,season"),
    ("vor dem Frühstück", "before breakfast", "present,past,modal,early,day"),
    ("nach dem Frühstück", "after breakfast", "present,past,modal,early,meal,day"),
    ("nach dem Abendessen", "after dinner", "present,past,modal,late,meal,day"),
    ("heute", "today", "modal,day"),
    ("morgen", "tomorrow", "modal,day"),
    ("nächste Woche", "next week", "modal"),
    ("am Montag", "on Monday", "past,modal,day"),
    ("am Samstag", "on Saturday", "past,modal,day"),
    ("gestern", "yesterday", "past,day"),
    ("gestern Abend", "yesterday evening", "past,late,day"),
    ("gestern Morgen", "yesterday morning", "past,early,day"),
    ("letzte Woche", "last week", "past"),
    ("letzten Sommer", "last summer", "past,season"),
    ("letztes Jahr", "last year", "past,season"),
    ("vor zwei Tagen", "two days ago", "past,day"),
    ("vor einer Stunde", "an hour ago", "past,recent,day"),
))

FREQUENCIES = _adverbials((
    ("oft", "often", "-"), ("manchmal", "sometimes", "-"), ("immer", "always", "-"),
    ("selten", "rarely", "-"),
))

MANNERS: Dict[str, Adverbial] = {
    row.de: row
    for row in _adverbials((
        ("früh", "early", "-"), ("spät", "late", "-"), ("schnell", "quickly", "-"),
        ("langsam", "slowly", "-"), ("laut", "loudly", "-"), ("leise", "quietly", "-"),
        ("pünktlich", "on time", "-"), ("lange", "for a long time", "-"),
        ("mit dem Zug", "by train", "-"), ("mit dem Bus", "by bus", "-"), ("allein", "alone", "-"),
    ))
}
