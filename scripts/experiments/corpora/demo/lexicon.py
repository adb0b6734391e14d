"""Bilingual word lists: nouns and adjectives.

Every table is plain text, one entry per line, so that it can be read and corrected by a linguist.
Semantic classes (``person``, ``readable``, ...) say which verbs and adjectives fit a noun.
"""

from typing import Dict, FrozenSet, List, NamedTuple


class Noun(NamedTuple):
    """A German noun with its English counterpart; ``plural`` is empty for mass nouns."""

    de: str
    gender: str
    plural: str
    en: str
    en_plural: str
    classes: FrozenSet[str]
    oblique: str  # singular outside the nominative of weak nouns (den Jungen), else empty


class Adjective(NamedTuple):
    """An adjective: predicative form, stem before endings, English form, fitting noun classes."""

    de: str
    stem: str
    en: str
    classes: FrozenSet[str]


def classes_of(text: str) -> FrozenSet[str]:
    """The classes named in a comma-separated table field; ``-`` stands for none."""
    return frozenset(part for part in text.split(",") if part != "-")


def rows_of(table: str) -> List[List[str]]:
    """The fields of each line of a table."""
    return [line.split() for line in table.strip().splitlines()]


# German, gender, plural (- none), English, English plural (+ adds s), classes, weak form.
_NOUNS = """
Mann m Männer man men person,adult
Frau f Frauen woman women person,adult
Junge m Jungen boy + person,child Jungen
Mädchen n Mädchen girl + person,child
Kind n Kinder child children person,child,ours
Lehrer m Lehrer teacher + person,adult,ours
Lehrerin f Lehrerinnen teacher + person,adult,ours
Arzt m Ärzte doctor + person,adult,ours
Ärztin f Ärztinnen doctor + person,adult,ours
Nachbar m Nachbarn neighbor + person,adult,ours Nachbarn
Nachbarin f Nachbarinnen neighbor + person,adult,ours
Freund m Freunde friend + person,adult,close
Schüler m Schüler pupil + person,child,ours
Schülerin f Schülerinnen pupil + person,child,ours
Student m Studenten student + person,adult Studenten
Koch m Köche cook + person,adult
Bäcker m Bäcker baker + person,adult
Bauer m Bauern farmer + person,adult Bauern
Verkäuferin f Verkäuferinnen saleswoman saleswomen person,adult
Kollege m Kollegen colleague + person,adult,close Kollegen
Gast m Gäste guest + person,adult,ours
Tourist m Touristen tourist + person,adult Touristen
Musiker m Musiker musician + person,adult
Künstlerin f Künstlerinnen artist + person,adult
Bruder m Brüder brother + person,adult,kin
Schwester f Schwestern sister + person,adult,kin
Onkel m Onkel uncle + person,adult,kin
Tante f Tanten aunt + person,adult,kin
Sohn m Söhne son + person,kin
Tochter f Töchter daughter + person,kin
Großvater m Großväter grandfather + person,adult,kin,one
Großmutter f Großmütter grandmother + person,adult,kin,one
Mutter f Mütter mother + person,adult,kin,one
Vater m Väter father + person,adult,kin,one
Hund m Hunde dog + animal,pet,fur,sketch
Katze f Katzen cat + animal,pet,fur,sketch
Pferd n Pferde horse + animal,fur,sketch,dream
Vogel m Vögel bird + animal,sketch
Kuh f Kühe cow + animal,fur,sketch
Maus f Mäuse mouse mice animal
Ente f Enten duck + animal,fur
Schaf n Schafe sheep sheep animal,sketch
Esel m Esel donkey + animal,sketch
Apfel m Äpfel apple + food,piece,ripe,fodder,gift
Birne f Birnen pear + food,piece,ripe,fodder
Banane f Bananen banana + food,piece,ripe
Tomate f Tomaten tomato tomatoes food,piece,ripe
Kartoffel f Kartoffeln potato potatoes food,piece,cooked
Ei n Eier egg + food,piece,cooked
Kuchen m Kuchen cake + food,piece,baked,gift
Suppe f - soup - dish,cooked
Brot n - bread - food,baked,fodder
Käse m - cheese - food,fodder
Reis m - rice - food,cooked
Fleisch n - meat - food,cooked,fodder
Fisch m - fish - food,cooked,fodder
Kaffee m - coffee - drink,hot
Tee m - tea - drink,hot
Milch f - milk - drink,cool
Wasser n - water - drink,cool
Saft m - juice - drink,cool
Wein m - wine - drink
Buch n Bücher book + readable,loan,portable,flat,gift
Zeitung f Zeitungen newspaper + readable,portable,flat
Brief m Briefe letter + readable,written,mail,flat
Geschichte f Geschichten story stories readable,written,tale
Gedicht n Gedichte poem + readable,written,tale
Roman m Romane novel + readable,written,loan,gift
Schlüssel m Schlüssel key + portable,flat
Tasche f Taschen bag + thing,tool,portable,heavy,box,upright,color
Koffer m Koffer suitcase + thing,tool,portable,heavy,box,upright,color
Lampe f Lampen lamp + thing,device,upright,broken
Uhr f Uhren watch watches thing,portable,broken,flat,gift
Fahrrad n Fahrräder bicycle + thing,loan,broken,color,lend
Auto n Autos car + thing,broken,color,lend,lock,washable,dream
Computer m Computer computer + thing,device,broken
Bild n Bilder picture + thing,wall,painted,gift
Ball m Bälle ball + thing,toy,color
Regenschirm m Regenschirme umbrella + thing,tool,portable,color,lend
Blume f Blumen flower + gift,color,sketch
Messer n Messer knife knives thing,tool,flat
Flasche f Flaschen bottle + portable,box,upright
Kamera f Kameras camera + thing,tool,portable,broken,flat,lend
Geschenk n Geschenke gift + portable,mail,gift
Tür f Türen door + box,lock
Fenster n Fenster window + box,broken
Bus m Busse bus buses ride
Zug m Züge train + ride
Mantel m Mäntel coat + clothes,worn,garment,color,wall
Kleid n Kleider dress dresses clothes,color,washable
Hut m Hüte hat + clothes,worn,headgear,color
Hemd n Hemden shirt + clothes,worn,garment,color,flat
Jacke f Jacken jacket + clothes,worn,garment,color,wall,flat
Pullover m Pullover sweater + clothes,worn,garment,color
Haus n Häuser house + sketch,dream,building
Zimmer n Zimmer room + room
Keller m Keller basement + room
Tisch m Tische table + thing,furniture,broken
Stuhl m Stühle chair + thing,furniture,seat,broken
Bett n Betten bed + furniture,seat
Sofa n Sofas sofa + furniture,seat
Garten m Gärten garden + place,private
Park m Parks park + place
Wald m Wälder forest + place
Stadt f Städte city cities place,aged,sight
Dorf n Dörfer village + place,aged,sight
Markt m Märkte market + place,aged
Supermarkt m Supermärkte supermarket + place
Bibliothek f Bibliotheken library libraries place,aged
Restaurant n Restaurants restaurant + place,aged
Café n Cafés café + place,aged
Museum n Museen museum + place,aged,sight
Bahnhof m Bahnhöfe station + place,aged
See m Seen lake + place
Fluss m Flüsse river + place
Strand m Strände beach beaches place
Hotel n Hotels hotel + place,aged
Krankenhaus n Krankenhäuser hospital + place,aged
Universität f Universitäten university universities place,aged
Küche f Küchen kitchen + place,private,room
Wohnung f Wohnungen apartment + place,private,room
Büro n Büros office + place,private,room
Bauernhof m Bauernhöfe farm + place,aged
Wetter n - weather - sky
"""

NOUNS: Dict[str, Noun] = {
    row[0]: Noun(
        row[0], row[1], "" if row[2] == "-" else row[2], row[3],
        row[3] + "s" if row[4] == "+" else row[4], classes_of(row[5]),
        row[6] if len(row) > 6 else "",
    )
    for row in rows_of(_NOUNS)
}

# German, stem (= same), English, classes.
_ADJECTIVES = """
alt = old adult,animal,thing,readable,aged,room,clothes,building,furniture
jung = young adult,animal
freundlich = friendly adult,child,animal
nett = kind adult,child
klug = clever adult,child,animal
müde müd tired adult,child,animal
fleißig = hard-working adult,child
berühmt = famous adult,written
ehrlich = honest adult
reich = rich adult
arm = poor adult
höflich = polite adult,child
streng = strict adult
geduldig = patient adult
mutig = brave child,adult
klein = small child,animal,thing,place,piece,box,building,room,gift
groß = big animal,thing,place,building,room,piece
hungrig = hungry animal,child
neu = new thing,readable,clothes,furniture,building
teuer teur expensive thing,clothes,furniture
billig = cheap thing,clothes
schön = beautiful animal,place,clothes,gift,wall,building
schwer = heavy heavy
praktisch = practical tool
nützlich = useful tool,device
elegant = elegant clothes
warm = warm worn,baked
interessant = interesting readable
lang = long written
kurz = short written
langweilig = boring readable
spannend = exciting tale
lustig = funny tale
frisch = fresh food,cool
lecker = delicious food,dish
süß = sweet ripe
reif = ripe ripe
kalt = cold drink
heiß = hot hot,dish
stark = strong hot
ruhig = quiet place
modern = modern building,room,furniture
bequem = comfortable seat
sauber = clean worn
rot = red color
blau = blue color
grün = green color
gelb = yellow color
schwarz = black color,fur
weiß = white color,fur
braun = brown fur,furniture
"""

COLORS = ("rot", "blau", "grün", "gelb", "schwarz", "weiß", "braun")

ADJECTIVES: Dict[str, Adjective] = {
    row[0]: Adjective(row[0], row[0] if row[1] == "=" else row[1], row[2],
                      classes_of(row[3]))
    for row in rows_of(_ADJECTIVES)
}
