"""Stories: a scene (who, where, with what) told through the beats of one or more schemas."""

from training import words
from training.grammar import Voice
from training.schemas import ANIMAL_OPENINGS, ANIMAL_SCHEMAS, BRIDGES, ENDINGS, OPENINGS, SCHEMAS

Scene = dict[str, str]


def story(voice: Voice, chapters: int = 1) -> str:
    """A story about a child, or one time in four about an animal."""
    animal = voice.chance(0.25)
    return tell(voice, new_scene(voice, animal), animal=animal, chapters=chapters)


def tell(voice: Voice, scene: Scene, animal: bool = False, chapters: int = 1, schema: str | None = None) -> str:
    """The scene told through ``chapters`` schemas, in paragraphs."""
    parts = [voice.say(ANIMAL_OPENINGS if animal else OPENINGS, scene)]
    names = [schema] if schema else voice.sample(ANIMAL_SCHEMAS if animal else tuple(SCHEMAS), chapters)
    for number, name in enumerate(names):
        if number:
            scene = scene | _new_things(voice)
            parts.append("\n\n" + voice.say(BRIDGES, scene))
        parts.extend(_chapter(voice, name, scene))
    if voice.chance(0.6):
        parts.append(voice.say(ENDINGS, scene))
    return _joined(parts)


def _chapter(voice: Voice, name: str, scene: Scene) -> list[str]:
    """The beats of one schema; some stories start a paragraph in the middle."""
    beats = [voice.say(beat, scene) for beat in SCHEMAS[name]]
    if voice.chance(0.4):
        middle = voice.number(1, len(beats) - 1)
        beats[middle] = "\n\n" + beats[middle]
    return beats


def _joined(parts: list[str]) -> str:
    return " ".join(parts).replace(" \n\n", "\n\n")


def new_scene(voice: Voice, animal: bool = False) -> Scene:
    """Every slot that a story pattern may name."""
    hero_is_girl, friend_is_girl = voice.chance(0.5), voice.chance(0.5)
    hero = voice.name(hero_is_girl)
    kind, other_kind, pet = voice.sample(words.ANIMALS, 3)
    place, at = voice.choice(words.PLACES)
    elder, elder2 = voice.sample([name for name, _ in words.ELDERS], 2)
    scene = {"hero": hero, "friend": _other_name(voice, friend_is_girl, {hero}), "place": place, "at": at}
    scene |= {"animal": kind, "animal2": other_kind, "pet": pet, "elder": elder, "elder2": elder2}
    scene |= _pronouns("", hero_is_girl) | _pronouns("f", friend_is_girl)
    scene |= {"child": "girl" if hero_is_girl else "boy", "job": voice.choice(words.JOBS)}
    scene |= {"petname": _other_name(voice, voice.chance(0.5), {hero, scene["friend"]})}
    scene |= {"newgirl": _other_name(voice, True, {hero, scene["friend"], scene["petname"]})}
    if animal:
        scene |= {"elder": voice.choice(("mother", "father", "grandmother", "grandfather"))}
    return scene | _new_things(voice)


def _other_name(voice: Voice, girl: bool, taken: set[str]) -> str:
    name = voice.name(girl)
    return _other_name(voice, girl, taken) if name in taken else name


def _pronouns(prefix: str, girl: bool) -> Scene:
    he, him, his = ("she", "her", "her") if girl else ("he", "him", "his")
    return {f"{prefix}he": he, f"{prefix}him": him, f"{prefix}his": his, f"{prefix}himself": f"{him}self"}


def _new_things(voice: Voice) -> Scene:
    """The things of one chapter: they are its own, the people stay."""
    colour, colour2 = voice.sample(words.COLOURS, 2)
    thing, thing2 = voice.sample(words.THINGS, 2)
    hide, hide2 = voice.sample(words.HIDING, 2)
    food, foods = voice.choice(words.FOODS)
    scene = {"colour": colour, "colour2": colour2, "thing": thing, "thing2": thing2, "hide": hide, "hide2": hide2}
    scene |= {"food": food, "foods": foods, "a_food": f"a {food}", "size": voice.choice(words.SIZES)}
    scene |= {"number": _count(voice, 3, 12), "number2": _count(voice, 2, 9), "number3": _count(voice, 2, 9)}
    scene |= {"age": _count(voice, 5, 11), "box": voice.choice(("box", "bag", "basket", "bowl"))}
    scene |= {"trait": voice.choice(words.TRAITS), "day": voice.choice(words.DAYS), "skill": voice.choice(words.SKILLS)}
    scene |= {"fear": voice.choice(words.FEARS), "plant": voice.choice(words.PLANTS)}
    scene |= {"season": voice.choice(words.SEASONS), "drink": voice.choice(("milk", "tea", "soup", "cocoa"))}
    scene |= {"bird": voice.choice(("crow", "owl", "blackbird", "sparrow", "robin"))}
    scene |= {"daytime": voice.choice(("morning", "afternoon", "evening", "day"))}
    scene |= {"weather": voice.choice(("sunny", "windy", "warm", "cold", "bright", "grey"))}
    scene |= {"sky": voice.choice(("blue", "grey", "clear", "full of clouds"))}
    return scene | {"stuck": voice.choice(("in a tree", "in a fence", "in the mud", "between two rocks"))}


def _count(voice: Voice, low: int, high: int) -> str:
    return words.NUMBERS[voice.number(low, high)]
