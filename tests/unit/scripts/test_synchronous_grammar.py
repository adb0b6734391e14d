"""The bundled corpus generator, against hand-written German and English."""

import hashlib
import re
from dataclasses import replace
from itertools import islice

import circumstance_lexicon as circumstances
import constructions
import make_corpus
import morphology
import pytest
import synchronous_grammar as grammar
from lexicon import ADJECTIVES, NOUNS
from nominals import (
    PERSONAL,
    Modifier,
    Name,
    NounPhrase,
    PrepositionalPhrase,
    relative_pronoun,
)
from verb_lexicon import HINDERS, MODALS, VERBS

ICH, DU, ER, SIE, WIR, IHR, SIE_PL = PERSONAL
TIMES = {time.de: time for time in circumstances.TIMES}
# sha256 of the first 100 pairs of seed 1, as "German\tEnglish\n" lines
FIRST_100 = "ad3fc2ab4669b011103bc3ae435a3d4da287a9ea4e04161c656b920930001016"


def phrase(noun, det="def", adjectives="", plural=False, **more):
    """A noun phrase from German words."""
    modifiers = tuple(Modifier(ADJECTIVES[word]) for word in adjectives.split())
    return NounPhrase(NOUNS[noun], det, plural, modifiers, **more)


def verb(infinitive, english=""):
    """The verb with this infinitive."""
    return next(v for v in VERBS if v.infinitive == infinitive and english in ("", v.en))


def clause(subject, infinitive, english="", **more):
    """A clause; upper-case keywords are objects."""
    objects = {key: more.pop(key) for key in list(more) if key.isupper()}
    return grammar.Clause(subject, verb(infinitive, english), objects, **more)


def both(item):
    """A statement in both languages."""
    return grammar.statement(item)


@pytest.fixture(scope="module")
def sample():
    """3,000 pairs of another seed than the pinned one."""
    return list(islice(constructions.pairs(7), 3000))


@pytest.mark.parametrize("det, noun, adjective, plural, expected", [
    ("def", "Mann", "alt", False, "der alte Mann|den alten Mann|dem alten Mann|des alten Mannes"),
    ("def", "Frau", "alt", False, "die alte Frau|die alte Frau|der alten Frau|der alten Frau"),
    ("def", "Kind", "klein", False,
     "das kleine Kind|das kleine Kind|dem kleinen Kind|des kleinen Kindes"),
    ("def", "Kind", "klein", True,
     "die kleinen Kinder|die kleinen Kinder|den kleinen Kindern|der kleinen Kinder"),
    ("indef", "Tisch", "neu", False,
     "ein neuer Tisch|einen neuen Tisch|einem neuen Tisch|eines neuen Tisches"),
    ("indef", "Lampe", "neu", False,
     "eine neue Lampe|eine neue Lampe|einer neuen Lampe|einer neuen Lampe"),
    ("indef", "Auto", "neu", False,
     "ein neues Auto|ein neues Auto|einem neuen Auto|eines neuen Autos"),
    ("kein", "Koffer", "schwer", False,
     "kein schwerer Koffer|keinen schweren Koffer|keinem schweren Koffer|keines schweren Koffers"),
    ("kein", "Auto", "rot", True,
     "keine roten Autos|keine roten Autos|keinen roten Autos|keiner roten Autos"),
    ("bare", "Kaffee", "heiß", False, "heißer Kaffee|heißen Kaffee|heißem Kaffee|heißen Kaffees"),
    ("bare", "Milch", "kalt", False, "kalte Milch|kalte Milch|kalter Milch|kalter Milch"),
    ("bare", "Wasser", "kalt", False,
     "kaltes Wasser|kaltes Wasser|kaltem Wasser|kalten Wassers"),
    ("bare", "Apfel", "rot", True, "rote Äpfel|rote Äpfel|roten Äpfeln|roter Äpfel"),
    ("num", "Hund", "schwarz", True,
     "zwei schwarze Hunde|zwei schwarze Hunde|zwei schwarzen Hunden|zwei schwarzer Hunde"),
    ("defnum", "Frau", "alt", True,
     "die zwei alten Frauen|die zwei alten Frauen|den zwei alten Frauen|der zwei alten Frauen"),
    ("many", "Buch", "neu", True,
     "viele neue Bücher|viele neue Bücher|vielen neuen Büchern|vieler neuer Bücher"),
    ("this", "Stuhl", "alt", False,
     "dieser alte Stuhl|diesen alten Stuhl|diesem alten Stuhl|dieses alten Stuhles"),
    ("every", "Lehrerin", "streng", False,
     "jede strenge Lehrerin|jede strenge Lehrerin|jeder strengen Lehrerin|jeder strengen Lehrerin"),
    ("def", "Junge", "klein", False,
     "der kleine Junge|den kleinen Jungen|dem kleinen Jungen|des kleinen Jungen"),
    ("indef", "Uhr", "teuer", False,
     "eine teure Uhr|eine teure Uhr|einer teuren Uhr|einer teuren Uhr"),
])
def test_declension(det, noun, adjective, plural, expected):
    item = phrase(noun, det, adjective, plural)
    assert [item.german(case) for case in morphology.CASES] == expected.split("|")


@pytest.mark.parametrize("owner, expected", [
    (ICH, "mein neues Haus|meinem neuen Haus|meine neuen Häuser"),
    (ER, "sein neues Haus|seinem neuen Haus|seine neuen Häuser"),
    (SIE, "ihr neues Haus|ihrem neuen Haus|ihre neuen Häuser"),
    (WIR, "unser neues Haus|unserem neuen Haus|unsere neuen Häuser"),
    (IHR, "euer neues Haus|eurem neuen Haus|eure neuen Häuser"),
])
def test_possessives(owner, expected):
    stems = morphology.possessive(owner.person, owner.plural, owner.gender)
    one = phrase("Haus", "poss", "neu", owner=stems)
    many = replace(one, plural=True)
    assert [one.german("nom"), one.german("dat"), many.german("acc")] == expected.split("|")


@pytest.mark.parametrize("next_word, article", [
    ("old", "an"), ("apple", "an"), ("honest", "an"), ("hour", "an"), ("umbrella", "an"),
    ("university", "a"), ("useful", "a"), ("European", "a"), ("new", "a"), ("yellow", "a"),
])
def test_indefinite_article_follows_the_sound(next_word, article):
    assert morphology.indefinite_article(next_word) == article


def test_english_phrases():
    assert phrase("Universität", "indef").english("nom") == "a university"
    assert phrase("Arzt", "indef", "ehrlich").english("nom") == "an honest doctor"
    assert phrase("Messer", "num", plural=True, number=10).english("acc") == "twelve knives"
    assert phrase("Messer", "num", plural=True, number=10).german("dat") == "zwölf Messern"
    owned = phrase("Auto", "def", "rot", genitive=phrase("Bruder", "poss", owner=("mein", "my")))
    assert owned.german("acc") == "das rote Auto meines Bruders"
    assert owned.english("acc") == "my brother's red car"


@pytest.mark.parametrize("infinitive, forms", [
    ("lesen", "lese liest liest lesen lest lesen"),
    ("einladen", "lade lädst lädt laden ladet laden"),
    ("arbeiten", "arbeite arbeitest arbeitet arbeiten arbeitet arbeiten"),
    ("tanzen", "tanze tanzt tanzt tanzen tanzt tanzen"),
    ("mitnehmen", "nehme nimmst nimmt nehmen nehmt nehmen"),
    ("füttern", "füttere fütterst füttert füttern füttert füttern"),
    ("waschen", "wasche wäschst wäscht waschen wascht waschen"),
    ("abschließen", "schließe schließt schließt schließen schließt schließen"),
])
def test_german_present(infinitive, forms):
    made = [morphology.present(verb(infinitive), p.person, p.plural)
            for p in (ICH, DU, ER, WIR, IHR, SIE_PL)]
    assert made == forms.split()


CALL = clause(ER, "anrufen", A=phrase("Freund", "def", "alt"))


@pytest.mark.parametrize("pair, german, english", [
    (both(CALL), "Er ruft den alten Freund an.", "He calls the old friend."),
    (both(replace(CALL, past=True)), "Er hat den alten Freund angerufen.",
     "He called the old friend."),
    (both(replace(CALL, modal=MODALS["müssen"])), "Er muss den alten Freund anrufen.",
     "He has to call the old friend."),
    (both(replace(CALL, negated=True)), "Er ruft den alten Freund nicht an.",
     "He does not call the old friend."),
    (both(replace(CALL, negated=True, modal=MODALS["können"])),
     "Er kann den alten Freund nicht anrufen.", "He cannot call the old friend."),
    (grammar.statement(replace(CALL, time=TIMES["jeden Abend"]), "time"),
     "Jeden Abend ruft er den alten Freund an.", "Every evening he calls the old friend."),
    (grammar.statement(replace(CALL, past=True, time=TIMES["gestern"]), "time"),
     "Gestern hat er den alten Freund angerufen.", "Yesterday he called the old friend."),
    (grammar.with_subordinate(clause(SIE, "lachen"), "weil", CALL),
     "Sie lacht, weil er den alten Freund anruft.",
     "She laughs because he calls the old friend."),
    (grammar.with_subordinate(clause(SIE, "lachen"), "wenn", CALL, first=True),
     "Wenn er den alten Freund anruft, lacht sie.",
     "When he calls the old friend, she laughs."),
    (grammar.with_subordinate(clause(SIE, "lachen", past=True), "obwohl",
                              grammar.Clause(SIE, HINDERS[0], past=True)),
     "Sie hat gelacht, obwohl sie müde war.", "She laughed, although she was tired."),
    (grammar.yes_no_question(replace(CALL, past=True)), "Hat er den alten Freund angerufen?",
     "Did he call the old friend?"),
    (grammar.wh_question(clause(DU, "kaufen", past=True), "was", "what"), "Was hast du gekauft?",
     "What did you buy?"),
    (grammar.yes_no_question(replace(CALL, modal=MODALS["dürfen"])),
     "Darf er den alten Freund anrufen?", "Is he allowed to call the old friend?"),
    (both(clause(ICH, "abholen", A=ER)), "Ich hole ihn ab.", "I pick him up."),
    (both(clause(ICH, "abholen", A=phrase("Gast"))), "Ich hole den Gast ab.",
     "I pick up the guest."),
    (both(clause(WIR, "einschlafen", past=True)), "Wir sind eingeschlafen.", "We fell asleep."),
    (both(clause(Name("Anna", "Anna", "f"), "essen", A=phrase("Apfel", "kein", "rot"))),
     "Anna isst keinen roten Apfel.", "Anna does not eat a red apple."),
    (both(clause(DU, "kaufen", A=phrase("Ei", "kein", "", True), past=True)),
     "Du hast keine Eier gekauft.", "You did not buy any eggs."),
    (both(clause(SIE_PL, "geben", D=phrase("Kind", "indef", "klein"), A=phrase("Ball"))),
     "Sie geben einem kleinen Kind den Ball.", "They give a small child the ball."),
    (both(clause(ER, "legen", A=phrase("Schlüssel"),
                 G=PrepositionalPhrase("auf", "acc", "on", phrase("Tisch")))),
     "Er legt den Schlüssel auf den Tisch.", "He puts the key on the table."),
    (both(clause(phrase("Schlüssel"), "liegen",
                 L=PrepositionalPhrase("auf", "dat", "on", phrase("Tisch")))),
     "Der Schlüssel liegt auf dem Tisch.", "The key lies on the table."),
    (both(clause(IHR, "gehen", G=PrepositionalPhrase("in", "acc", "to", phrase("Café")))),
     "Ihr geht ins Café.", "You go to the café."),
    (both(clause(IHR, "gehen", G=PrepositionalPhrase("zu", "dat", "to", phrase("Universität")))),
     "Ihr geht zur Universität.", "You go to the university."),
    (both(clause(ER, "sitzen", L=PrepositionalPhrase("in", "dat", "in",
                                                     phrase("Garten", "def", "klein")))),
     "Er sitzt im kleinen Garten.", "He sits in the small garden."),
])
def test_hand_written_sentences(pair, german, english):
    assert pair == (german, english)


def test_relative_clause_has_its_verb_last_and_two_commas():
    head = phrase("Frau", "def", "jung")
    relative = clause(relative_pronoun(head), "anrufen", A=ICH)
    pair = both(clause(replace(head, relative=relative), "schlafen", past=True))
    assert pair == ("Die junge Frau, die mich anruft, hat geschlafen.",
                    "The young woman who calls me slept.")
    pair = both(clause(WIR, "besuchen", A=replace(head, relative=relative)))
    assert pair[0] == "Wir besuchen die junge Frau, die mich anruft."


def test_same_seed_same_pairs():
    first, again = (list(islice(constructions.pairs(1), 100)) for _ in range(2))
    assert first == again
    text = "".join(f"{de}\t{en}\n" for de, en in first)
    assert hashlib.sha256(text.encode("utf-8")).hexdigest() == FIRST_100
    assert list(islice(constructions.pairs(2), 100)) != first


def test_every_construction_occurs(sample):
    text = "\n".join(de for de, _ in sample)
    for needle in (", weil ", ", dass ", ", ob ", ", obwohl ", ", aber ", "\nWenn ", "\nWer ",
                   "\nWas ", "\nWo ", "\nWann ", "\nWarum ", " nicht", " kein", "\nJeden "):
        assert needle in text


def test_sentences_are_well_formed(sample):
    names = {noun.de for noun in NOUNS.values()} | {n.plural for n in NOUNS.values() if n.plural}
    lowered = {name.lower() for name in names} - {"junge", "jungen"}  # also adjective forms
    for de, en in sample:
        for text in (de, en):
            assert re.fullmatch(r"[A-ZÄÖÜ][A-Za-zÄÖÜäöüßé' ,-]*[.?]", text), text
            assert "  " not in text and " ," not in text and ",," not in text
        assert de[-1] == en[-1]
        words = re.findall(r"\w+", de)
        assert not [word for word in words if word in lowered], de
        assert not re.search(r"\ban? (any|the|my|two)\b", en), en
        assert not re.search(r"\ba [aio]|\ba e(?!u)|\ban [bcdfgjklmnpqrstvwxyz]", en), en


def finite_forms():
    """Every German finite form, with and without its separable prefix."""
    forms = set()
    persons = [(p.person, p.plural) for p in PERSONAL]
    for person, plural in persons:
        for name in ("haben", "sein"):
            forms.add(morphology.auxiliary_present(name, person, plural))
            forms.add(morphology.preterite(name, person, plural))
        for item in VERBS:
            forms.add(item.prefix + morphology.present(item, person, plural))
        for modal in MODALS.values():
            for past in (False, True)[:2 if modal.past_stem else 1]:
                forms.add(morphology.modal_form(modal, past, person, plural))
    return forms


def test_the_finite_verb_ends_subordinate_clauses(sample):
    forms = finite_forms() | {"regnet", "schneit"}
    checked = 0
    for de, _ in sample:
        for last in re.findall(r"(?:^|, )(?i:weil|obwohl|wenn|dass|ob) [^,.?]* (\w+)(?=[,.])", de):
            assert last in forms, de
            checked += 1
    assert checked > 800


def test_the_finite_verb_follows_a_fronted_time(sample):
    starts = [time.de[0].upper() + time.de[1:] for time in circumstances.TIMES]
    finite = finite_forms() | {morphology.present(v, p.person, p.plural)
                               for v in VERBS for p in PERSONAL}
    checked = 0
    for de, _ in sample:
        start = max((s for s in starts if de.startswith(s + " ")), key=len, default="")
        if start:
            assert de[len(start):].split()[0] in finite, de
            checked += 1
    assert checked > 100


def test_an_ambiguous_relative_clause_is_recognised():
    woman = phrase("Frau")
    asks = clause(relative_pronoun(woman), "fragen", A=phrase("Lehrerin"))
    assert not constructions.is_plain_subject(woman, asks)  # die Frau, die die Lehrerin fragt
    asks_him = replace(asks, objects={"A": phrase("Lehrer")})
    assert constructions.is_plain_subject(woman, asks_him)
    assert constructions.is_plain_subject(phrase("Mann"), asks)


def test_no_sentence_occurs_twice(sample):
    assert len({de for de, _ in sample}) == len({en for _, en in sample}) == len(sample)


def run(folder, *arguments):
    """Run the command; return the lines of its six files."""
    assert make_corpus.main([str(folder), *arguments]) == 0
    return {path.name: path.read_text(encoding="utf-8").splitlines()
            for path in sorted(folder.iterdir())}


def test_command_writes_disjoint_files_of_the_sizes_asked_for(tmp_path, capsys):
    sizes = {"train": 600, "valid": 50, "test": 40}
    files = run(tmp_path / "a", *(f"--{split}={size}" for split, size in sizes.items()))
    assert sorted(files) == sorted(f"{s}.{lang}" for s in sizes for lang in ("de", "en"))
    for split, size in sizes.items():
        assert len(files[split + ".de"]) == len(files[split + ".en"]) == size
    for language in ("de", "en"):
        lines = [line for split in sizes for line in files[f"{split}.{language}"]]
        assert len(set(lines)) == len(lines)
    printed = capsys.readouterr().out
    assert printed.startswith("690 pairs (train 600, valid 50, test 40)")
    assert printed.count("\n") == 1


def test_command_is_deterministic_and_held_out_sets_do_not_depend_on_train(tmp_path):
    small = ("--valid=30", "--test=30")
    first = run(tmp_path / "a", "--train=100", *small)
    assert first == run(tmp_path / "b", "--train=100", *small)
    other = run(tmp_path / "c", "--train=200", *small)
    assert other["test.de"] == first["test.de"] and other["train.de"][:100] == first["train.de"]
    assert run(tmp_path / "d", "--train=100", "--seed=2", *small) != first
    raw = (tmp_path / "a" / "train.de").read_bytes()
    assert raw.endswith(b".\n") or raw.endswith(b"?\n")
    assert b"\r" not in raw


@pytest.mark.parametrize("flag, value", [
    ("--train", "0"), ("--valid", "-1"), ("--test", "0"),
    ("--train", str(constructions.MAXIMUM_PAIRS)), ("--valid", "99999999"),
])
def test_bad_sizes_are_refused_before_anything_is_written(tmp_path, capsys, flag, value):
    with pytest.raises(SystemExit) as failure:
        make_corpus.main([str(tmp_path / "out"), f"{flag}={value}"])
    assert failure.value.code == 2
    message = capsys.readouterr().err
    assert f"argument {flag}: {value} is not allowed: choose from 1 to" in message
    assert not (tmp_path / "out").exists()
