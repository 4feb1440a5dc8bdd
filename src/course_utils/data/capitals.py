"""A hundred sentences with a gap: 60 ask for a capital, 40 for a continent.

The facts are common knowledge and stand in the CIA World Factbook; the sentences are the course's
own and do not stand there. Every answer is one piece of BERT's uncased vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

CAPITALS = """
Afghanistan Kabul, Albania Tirana, Slovakia Bratislava, Armenia Yerevan, Australia Canberra,
Austria Vienna, Azerbaijan Baku, Bangladesh Dhaka, Belarus Minsk, Belgium Brussels,
Bulgaria Sofia, Canada Ottawa, Chile Santiago, China Beijing, Colombia Bogota, Croatia Zagreb,
Cuba Havana, Denmark Copenhagen, Egypt Cairo, Estonia Tallinn, Finland Helsinki, France Paris,
Georgia Tbilisi, Germany Berlin, Greece Athens, Hungary Budapest, Iceland Reykjavik,
Indonesia Jakarta, Iran Tehran, Iraq Baghdad, Ireland Dublin, Italy Rome, Jamaica Kingston,
Japan Tokyo, Jordan Amman, Kenya Nairobi, Latvia Riga, Lebanon Beirut, Libya Tripoli,
Lithuania Vilnius, Nepal Kathmandu, Norway Oslo, Pakistan Islamabad, Peru Lima,
Philippines Manila, Poland Warsaw, Portugal Lisbon, Qatar Doha, Romania Bucharest,
Russia Moscow, Serbia Belgrade, Slovenia Ljubljana, Spain Madrid, Sweden Stockholm,
Syria Damascus, Thailand Bangkok, Turkey Ankara, Venezuela Caracas, Vietnam Hanoi,
Uruguay Montevideo
"""
CONTINENTS = {
    "Europe": "Austria Belgium Bulgaria Denmark Finland France Germany Greece Hungary Italy Norway "
    "Poland Portugal Sweden",
    "Asia": "Afghanistan Bangladesh Cambodia China India Iraq Japan Jordan Mongolia Nepal Pakistan "
    "Thailand Vietnam",
    "Africa": "Algeria Angola Egypt Ethiopia Ghana Kenya Libya Mali Morocco Nigeria Senegal "
    "Tunisia Uganda",
}
QUESTIONS = {
    "capital": (
        "The capital city of {} is called [MASK].",
        "The city of [MASK] is the capital of {}.",
        "Flights to the capital of {} land in [MASK].",
    ),
    "continent": (
        "On a map of the world, {} is a part of [MASK].",
        "{} is one of the countries of [MASK].",
    ),
}
NOWHERE = "this country"  # in place of a name: what is then right, was not known but guessed


@dataclass(frozen=True)
class Cloze:
    """A sentence with one [MASK], the same without the country's name, the answer, its kind."""

    text: str
    without_name: str
    answer: str
    kind: str


def clozes() -> list[Cloze]:
    """All hundred, always in the same order; the phrasings take turns."""
    capitals = [tuple(pair.split()) for pair in CAPITALS.split(",")]
    continents = [(name, where) for where, names in CONTINENTS.items() for name in names.split()]
    facts = [("capital", *pair) for pair in capitals]
    facts += [("continent", *pair) for pair in continents]
    return [_cloze(number, *fact) for number, fact in enumerate(facts)]


def _cloze(number: int, kind: str, country: str, answer: str) -> Cloze:
    frames = QUESTIONS[kind]
    frame = frames[number % len(frames)]
    nameless = frame.format(NOWHERE)
    return Cloze(frame.format(country), nameless[0].upper() + nameless[1:], answer, kind)
