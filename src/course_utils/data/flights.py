"""A small language of flight booking, written by a grammar: intents and slots for a joint model.

Every sentence has one intent and a BIO tag for each word. The test part holds sentences whose
template, whose slot values, or both never occur in training, so that its accuracy says something:
a model that memorises templates or city names fails there. A pure function of the seed.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datasets import DatasetDict

HELD_OUT = 2  # the last templates of each intent, and the last third of each slot's values
NOVELTY = ("none", "template", "values", "both")
OPENERS = ("", "please", "hello", "ok so")

CITIES = """lisbon|oslo|nairobi|quito|hanoi|dublin|lima|accra|boston|cairo|denver|geneva|mumbai|
new york|san jose|buenos aires|cape town|tel aviv|
madrid|seoul|warsaw|havana|kyoto|las vegas|hong kong|rio de janeiro|addis ababa"""
SLOTS = {
    "from_city": CITIES,
    "to_city": CITIES,
    "date": """today|tomorrow|monday|tuesday|wednesday|next week|next monday|march third|
the first of may|december twelfth|sunday|thursday|next friday|the tenth of july|april second""",
    "time": """morning|noon|six pm|eight am|half past nine|ten thirty|early afternoon|
evening|seven am|quarter past four|late afternoon""",
    "airline": """northwind|blue heron|aurora air|condor lines|meridian|polar airways|
silver gull|altair|southern cross""",
    "cabin": "economy|business class|first class|premium|premium economy|coach",
    "flight": "nw 204|bh 17|au 880|cl 3021|me 45|pa 619|sg 77|al 512|sc 9000",
    "people": "one person|two adults|three people|my family|two children|four adults|five people",
}
TEMPLATES = {
    "book": """book a flight from {from_city} to {to_city} on {date}
i need {cabin} seats to {to_city} for {people}
fly {people} from {from_city} to {to_city}
get me to {to_city} from {from_city} by {time}
i would like to travel to {to_city} with {airline} in {cabin}
we want to go to {to_city} {date} starting in {from_city}
arrange a trip for {people} leaving {from_city} {date}""",
    "cancel": """cancel my flight to {to_city} on {date}
cancel flight {flight}
i want to call off the trip from {from_city} {date}
drop my booking with {airline}
please cancel the seats for {people} to {to_city}
i can not fly to {to_city} {date} so take me off
remove {people} from flight {flight} and refund us""",
    "change": """move my flight to {date}
change flight {flight} to {time}
switch my seat to {cabin}
can i leave from {from_city} instead of {to_city}
rebook {people} on {airline}
put me on a later plane on {date} around {time}
i would rather sit in {cabin} on {flight}""",
    "price": """how much is a ticket from {from_city} to {to_city}
what does {cabin} to {to_city} cost on {date}
price of {airline} to {to_city} for {people}
show fares from {from_city} {date}
is {airline} cheaper in {cabin}
what would {people} pay to reach {to_city}
find the lowest fare leaving {from_city} in the {time}""",
    "status": """is flight {flight} on time
has the {airline} plane from {from_city} landed
when does {flight} arrive in {to_city}
is the {time} flight to {to_city} delayed
what is the status of {flight} {date}
did {flight} leave {from_city} yet
tell me whether {airline} runs late {date}""",
    "baggage": """how many bags can i take on {airline}
what is the bag limit in {cabin}
add a suitcase to flight {flight}
can {people} bring skis to {to_city}
is hand luggage free with {airline} in {cabin}
may i carry a guitar on {flight}
how heavy can luggage for {people} be on {airline}""",
    "list": """which airlines fly from {from_city} to {to_city}
show all flights to {to_city} on {date}
list {time} flights from {from_city}
does {airline} go to {to_city}
what leaves {from_city} in the {time} on {date}
are there {cabin} seats to {to_city} with {airline}
give me every connection between {from_city} and {to_city} {date}""",
}
INTENTS = tuple(TEMPLATES)
TAGS = ("O", *(f"{part}-{slot}" for slot in SLOTS for part in "BI"))


def values(slot: str, new: bool) -> list[str]:
    """Return the values of a slot that training sees, or with `new` those it never sees."""
    every = [value.strip() for value in SLOTS[slot].split("|")]
    cut = len(every) - len(every) // 3
    return every[cut:] if new else every[:cut]


def templates(intent: str, new: bool) -> list[str]:
    """Return the templates of an intent that training sees, or with `new` the held-out ones."""
    return TEMPLATES[intent].splitlines()[slice(-HELD_OUT, None) if new else slice(-HELD_OUT)]


def fill(template: str, new: bool, rng: random.Random) -> tuple[list[str], list[str]]:
    """Return words and BIO tags, one tag a word, of a template with random slot values."""
    words = rng.choice(OPENERS).split()
    tags, chosen = ["O"] * len(words), set()
    for word in template.split():
        parts, labels = [word], ["O"]
        if word.startswith("{"):
            slot = word.strip("{}")
            value = rng.choice([v for v in values(slot, new) if v not in chosen])
            chosen.add(value)  # nobody flies from a city to itself
            parts = value.split()
            labels = [f"B-{slot}"] + [f"I-{slot}"] * (len(parts) - 1)
        words += parts
        tags += labels
    return words, tags


def make_flights(seed: int = 0, train: int = 1400, test: int = 420) -> DatasetDict:
    """Return tokens, tags, intent and novelty; no sentence occurs twice or in two parts.

    Training and validation share templates and values; a third of the test has new templates, a
    third new values, a third both. Raises ValueError when more is asked for than there is.
    """
    from datasets import ClassLabel, Dataset, DatasetDict, Features, Sequence, Value

    seen: set[tuple[str, ...]] = set()
    rng = random.Random(seed)  # Mersenne twister: the same on every platform
    plan = {"train": ["none"] * train, "validation": ["none"] * (test // 2)}
    plan["test"] = [NOVELTY[1 + i % 3] for i in range(test)]
    features = Features(
        tokens=Sequence(Value("string")),
        tags=Sequence(ClassLabel(names=list(TAGS))),
        intent=ClassLabel(names=list(INTENTS)),
        novelty=ClassLabel(names=list(NOVELTY)),
    )
    parts = {
        part: [_sentence(i, new, rng, seen) for i, new in enumerate(news)]
        for part, news in plan.items()
    }
    return DatasetDict({k: Dataset.from_list(v, features=features) for k, v in parts.items()})


def _sentence(number: int, novelty: str, rng: random.Random, seen: set) -> dict[str, object]:
    """Return one sentence that was not there before; intents take turns, so they are balanced."""
    intent = INTENTS[number % len(INTENTS)]
    for _ in range(1000):
        template = rng.choice(templates(intent, novelty in ("template", "both")))
        words, tags = fill(template, novelty in ("values", "both"), rng)
        if tuple(words) not in seen:
            seen.add(tuple(words))
            return {"tokens": words, "tags": tags, "intent": intent, "novelty": novelty}
    raise ValueError(f"no new sentence for intent {intent!r}: ask for fewer than {number}")
