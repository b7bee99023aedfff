"""JSON records: people, animals, shops, books, weather; flat and nested, in one line or indented."""

import json

from training import words
from training.grammar import Voice

Record = dict[str, object]


def record(voice: Voice) -> str:
    """One record, or a short list of records of one kind."""
    maker = voice.choice((person, pet, product, book, weather, order, place))
    value: object = maker(voice)
    if voice.chance(0.15):
        value = [maker(voice) for _ in range(voice.number(2, 4))]
    return dumped(value, voice)


def dumped(value: object, voice: Voice) -> str:
    return json.dumps(value, indent=2 if voice.chance(0.4) else None)


def person(voice: Voice) -> Record:
    girl = voice.chance(0.5)
    fields: Record = {"name": voice.name(girl), "age": voice.number(5, 80)}
    extra: Record = {
        "city": voice.choice(words.CITIES),
        "job": voice.choice(words.JOBS),
        "likes": voice.sample(words.COLOURS, 2),
        "married": voice.chance(0.5),
        "pet": pet(voice) if voice.chance(0.4) else None,
        "address": {"city": voice.choice(words.CITIES), "number": voice.number(1, 99)},
    }
    return _some(voice, fields, extra)


def pet(voice: Voice) -> Record:
    fields: Record = {"animal": voice.choice(words.ANIMALS), "name": voice.name(voice.chance(0.5))}
    extra: Record = {
        "colour": voice.choice(words.COLOURS),
        "age": voice.number(1, 15),
        "owner": voice.name(voice.chance(0.5)),
        "friendly": voice.chance(0.7),
    }
    return _some(voice, fields, extra)


def product(voice: Voice) -> Record:
    thing = f"{voice.choice(words.COLOURS)} {voice.choice(words.THINGS)}"
    fields: Record = {"id": voice.number(1, 99), "name": thing, "price": voice.number(1, 60) + voice.choice((0, 0.5))}
    return _some(voice, fields, {"in_stock": voice.chance(0.6), "count": voice.number(0, 40), "tags": _tags(voice)})


def book(voice: Voice) -> Record:
    title = f"The {voice.choice(words.COLOURS)} {voice.choice(words.THINGS)}".title()
    fields: Record = {"title": title, "author": voice.name(voice.chance(0.5))}
    return _some(
        voice, fields, {"pages": voice.number(20, 99), "year": voice.number(1950, 2020), "read": voice.chance(0.5)}
    )


def weather(voice: Voice) -> Record:
    fields: Record = {"city": voice.choice(words.CITIES), "temperature": voice.number(-9, 35)}
    extra: Record = {
        "day": voice.choice(words.DAYS),
        "month": voice.choice(words.MONTHS),
        "sky": voice.choice(("sunny", "cloudy", "rainy", "snowy", "windy")),
        "wind": voice.number(0, 60),
    }
    return _some(voice, fields, extra)


def order(voice: Voice) -> Record:
    """Items whose total is the sum of the prices."""
    items = [{"item": voice.choice(words.FOODS)[0], "price": voice.number(1, 20)} for _ in range(voice.number(1, 3))]
    total = sum(int(str(item["price"])) for item in items)
    return {"customer": voice.name(voice.chance(0.5)), "items": items, "total": total}


def place(voice: Voice) -> Record:
    fields: Record = {"city": voice.choice(words.CITIES), "visited": voice.chance(0.5)}
    return _some(voice, fields, {"with": [voice.name(True), voice.name(False)], "month": voice.choice(words.MONTHS)})


def _tags(voice: Voice) -> list[str]:
    return voice.sample(words.SIZES, voice.number(1, 3))


def _some(voice: Voice, fields: Record, extra: Record) -> Record:
    """The fixed fields, then some of the others in any order."""
    keys = voice.sample(sorted(extra), voice.number(1, len(extra)))
    return fields | {key: extra[key] for key in keys}
