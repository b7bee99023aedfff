"""Short notes that say things twice: lists written again and tables looked up. They teach copying and binding."""

from collections.abc import Callable

from training import words
from training.grammar import Voice, article, capitalised


def note(voice: Voice) -> str:
    return voice.choice((list_again, table, table, owners, owners))(voice)


def list_again(voice: Voice) -> str:
    """The same list twice, in the same order."""
    maker = voice.choice((_name, _thing, _number))
    items = _distinct(voice, maker, voice.number(3, 10))
    first, again = voice.choice((("List", "Again"), ("Read", "Write"), ("Remember", "Repeat")))
    joined = ", ".join(items)
    return f"{first}: {joined}.\n{again}: {joined}."


def table(voice: Voice) -> str:
    """Names with a value each, then the same names asked for in any order."""
    count = voice.number(2, 7)
    maker = voice.choice((_thing, _number, _colour, _city))
    rows = list(zip(_distinct(voice, _name, count), [maker(voice) for _ in range(count)], strict=True))
    listed = "\n".join(f"{name}: {value}" for name, value in rows)
    asked = "\n".join(f"{name}? {value}" for name, value in voice.sample(rows, count))
    return f"{listed}\n\n{asked}"


def owners(voice: Voice) -> str:
    """Who has what, in sentences, and then once more from the side of the things."""
    count = voice.number(2, 5)
    rows = list(zip(_distinct(voice, _name, count), _distinct(voice, _thing, count), strict=True))
    verb = voice.choice(("has", "wants", "sells", "paints"))
    told = " ".join(f"{name} {verb} a {thing}." for name, thing in rows)
    asked = " ".join(f"Who {verb} the {thing}? {name} {verb} the {thing}." for name, thing in voice.sample(rows, count))
    return article(f"{told} {asked}")


def _distinct(voice: Voice, maker: Callable[[Voice], str], count: int) -> list[str]:
    items: list[str] = []
    while len(items) < count:
        item = maker(voice)
        items += [] if item in items else [item]
    return items


def _name(voice: Voice) -> str:
    return voice.name(voice.chance(0.5))


def _thing(voice: Voice) -> str:
    return f"{voice.choice(words.COLOURS)} {voice.choice(words.THINGS)}"


def _number(voice: Voice) -> str:
    return str(voice.number(0, 99))


def _colour(voice: Voice) -> str:
    return capitalised(voice.choice(words.COLOURS))


def _city(voice: Voice) -> str:
    return voice.choice(words.CITIES)
