"""The words of the grammar, read from the tables beside this file; the columns of a row are its attributes.

classes (person, food, ...) say which nouns fit a verb, an adjective or a preposition. nouns.tsv: the plural of a mass
is empty; `at` and `to` are the prepositions of a place. verbs.tsv: `prefix` is separable, or the words of a state (müde
sein), which has no `auxiliary` and so a preterite instead of a perfect; `stem` is that of du and er where the vowel
changes; `pattern` orders the English (V verb, A and D objects, P phrase, M manner; others stand for themselves);
`roles` are the arguments with their case (A and D objects, L location, G goal, else a preposition).
"""

import csv
from pathlib import Path
from types import SimpleNamespace as Row
from typing import Dict, List, NamedTuple

CASES = ("nom", "acc", "dat", "gen")


class Pair(NamedTuple):
    """The same words in both languages; empty where there are none."""

    de: str = ""
    en: str = ""


NOTHING = Pair()


def _roles(cell: str) -> Dict[str, Row]:
    items = (item.split(":") for item in cell.split())
    return {role: Row(case=case, classes=frozenset(classes.split(","))) for role, case, classes in items}


def _parts(cell: str) -> List[str]:
    """The forms in a cell; - stands for none."""
    return [form.strip("-") for form in cell.split()]


_CELLS = {  # how the cells of a column are read, if they are not plain text
    **dict.fromkeys(("classes", "subject", "places", "manners"), lambda cell: frozenset(cell.split(",")) - {""}),
    **dict.fromkeys(("at", "to", "clause", "possessive"), lambda cell: Pair(*cell.split())),
    **dict.fromkeys(("german", "english"), lambda cell: dict(zip(CASES, _parts(cell)))),
    "pattern": str.split,
    "roles": _roles,
    "person": int,
    "plural": bool,
}


def _table(name: str) -> List[Dict[str, str]]:
    with open(Path(__file__).with_name(f"{name}.tsv"), encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def _rows(name: str) -> List[Row]:
    return [Row(**{key: _CELLS.get(key, str)(cell) for key, cell in row.items()}) for row in _table(name)]


def _words(kind: str) -> List[Row]:
    """Adverbials or adjectives, one by one: in words.tsv those that fit the same share a row."""
    return [
        Row(words=Pair(de, en), classes=row.classes)
        for row in _rows("words")
        if row.kind == kind
        for de, en in zip(row.de.split(", "), row.en.split(", "))
    ]


def _with_feminine(noun: Row) -> List[Row]:
    """The noun, and its feminine if it is of the class pair: Lehrer, Lehrerin."""
    de, plural = f"{noun.de.rstrip('e')}in", f"{noun.de.rstrip('e')}innen"
    feminine = Row(**{**vars(noun), "de": de, "gender": "f", "genitive": de, "de_plural": plural})
    return [noun, feminine] if "pair" in noun.classes else [noun]


NOUNS = [noun for row in _rows("nouns") for noun in _with_feminine(row)]
VERBS, PRONOUNS = _rows("verbs"), _rows("pronouns")
WORDS = {kind: _words(kind) for kind in dict.fromkeys(row["kind"] for row in _table("words"))}
# By paradigm, case and gender (p: plural).
ENDINGS = {(row["paradigm"], case): dict(zip("mfnp", _parts(row[case]))) for row in _table("endings") for case in CASES}
# By verb and tense: the six forms of irregular verbs, and the English words of modal verbs.
FORMS = {(row["verb"], row["tense"]): list(row.values())[3:] for row in _table("forms")}
MODALS = {(row["verb"], row["tense"]): row["en"].split() for row in _table("forms") if row["en"]}
