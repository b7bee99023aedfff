"""One question and its answer: small talk, sums, reading, lists, records, functions, stories."""

import json
from collections.abc import Callable

from training import facts, words
from training.functions import OPERATIONS, operation
from training.grammar import Voice, article, capitalised
from training.questions import Turn, fact
from training.stories import new_scene, tell
from training.sums import random_sum

SMALL_TALK = (
    (
        ("Hello!", "Hello", "Hi!", "Hi", "Hi there!", "Good morning!", "Hey!"),
        ("Hello! How can I help you?", "Hi! What can I do for you?"),
    ),
    (
        (
            "Who are you?",
            "What are you?",
            "What is your name?",
            "Tell me about yourself.",
            "Are you a robot?",
            "Who am I talking to?",
        ),
        ("I am the small model that comes with ensue.",),
    ),
    (
        ("How are you?", "How do you do?", "How are you today?"),
        ("I am well, thank you. How are you?", "I am fine. What about you?"),
    ),
    (
        ("Thank you!", "Thanks!", "Thank you very much.", "Thanks a lot!"),
        ("You are welcome!", "I am glad that I could help."),
    ),
    (
        ("Goodbye!", "Bye!", "See you later!", "Good night!"),
        ("Goodbye! Have a nice day.", "Goodbye! See you soon."),
    ),
    (
        ("What can you do?", "How can you help me?", "What do you know?", "Can you help me?"),
        (
            "I can tell short stories, answer simple questions, add small numbers, "
            "and write JSON and simple Python functions.",
        ),
    ),
    (
        ("Are you clever?", "Do you know everything?", "Are you a big model?"),
        ("No, I am a very small model. I know only a few things.",),
    ),
    (
        ("Who made you?", "Where do you come from?", "How were you made?"),
        ("I was trained from scratch on texts that a small grammar wrote. I come with ensue.",),
    ),
    (
        ("What is ensue?", "Tell me about ensue."),
        ("ensue is a server for language models. I am the small model that comes with it.",),
    ),
    (
        (
            "What is the weather like today?",
            "What time is it?",
            "Who won the match?",
            "How tall is that mountain?",
            "What is the news?",
            "Who is the president?",
            "How much money is in my bank?",
            "What will happen tomorrow?",
            "What is quantum physics?",
        ),
        ("I do not know that. I am only a small model.",),
    ),
)


def small_talk(voice: Voice) -> Turn:
    asked, answers = voice.choice(SMALL_TALK)
    return Turn(voice.choice(asked), voice.choice(answers))


def arithmetic(voice: Voice) -> Turn:
    item = random_sum(voice)
    question = voice.choice(
        ("What is {sum}?", "How much is {sum}?", "{sum} = ?", "Calculate {sum}.", "Tell me what {sum} is.", "{sum}")
    )
    return Turn(question.format(sum=item.question), f"{item.question} = {item.result}")


def larger(voice: Voice) -> Turn:
    left, right = voice.sample(range(1, 100), 2)
    larger_one = max(left, right)
    return Turn(f"Which number is larger, {left} or {right}?", f"{larger_one} is larger than {min(left, right)}.")


def counting(voice: Voice) -> Turn:
    low = voice.number(1, 40)
    high = low + voice.number(2, 10)
    asked = voice.choice(
        ("Count from {low} to {high}.", "Please count from {low} to {high}.", "Can you count from {low} to {high}?")
    )
    return Turn(asked.format(low=low, high=high), ", ".join(str(number) for number in range(low, high + 1)))


def naming(voice: Voice) -> Turn:
    kind = voice.choice(sorted(facts.KINDS))
    count = voice.number(2, 5)
    items = voice.sample(facts.KINDS[kind], count)
    asked = voice.choice(("Name {count} {kind}.", "Tell me {count} {kind}.", "Give me a list of {count} {kind}."))
    return Turn(
        asked.format(count=words.NUMBERS[count], kind=kind), f"{capitalised(', '.join(items[:-1]))} and {items[-1]}."
    )


def repeating(voice: Voice) -> Turn:
    word = voice.choice((voice.choice(words.THINGS), voice.choice(words.ANIMALS), voice.name(True), voice.name(False)))
    if voice.chance(0.5):
        phrase = f"{voice.choice(words.COLOURS)} {word}"
        return Turn(voice.choice(("Say: {0}", "Repeat after me: {0}", "Repeat: {0}")).format(phrase), phrase)
    count = voice.number(2, 5)
    return Turn(f'Write the word "{word}" {words.NUMBERS[count]} times.', " ".join([word] * count))


def kind_of(voice: Voice) -> Turn:
    kind, other = voice.sample([kind for kind in sorted(facts.KINDS) if kind != "colours"], 2)
    item = voice.choice(facts.KINDS[kind])
    right = voice.chance(0.5)
    asked = f"Does the word {item} belong to the {kind if right else other}?"
    return Turn(asked, f"Yes, {item} belongs to the {kind}." if right else f"No, {item} belongs to the {kind}.")


def reading(voice: Voice) -> Turn:
    """Two or three people, each with a coloured thing; the question asks for one of them."""
    count = voice.number(2, 3)
    names = _names(voice, count)
    things, colours = voice.sample(words.THINGS, count), voice.sample(words.COLOURS, count)
    places = voice.sample([at for _, at in words.PLACES], count)
    verb = voice.choice(("has", "holds", "found", "lost"))
    lines = [f"{n} is {p}. {n} {verb} a {c} {t}." for n, p, c, t in zip(names, places, colours, things, strict=True)]
    index = voice.number(0, count - 1)
    name, thing, colour, place = names[index], things[index], colours[index], places[index]
    asked, answer = voice.choice(
        (
            (f"What colour is the {thing}?", f"The {thing} is {colour}."),
            (f"Who {verb} the {thing}?", f"{name} {verb} the {thing}."),
            (f"Who {verb} the {colour} {thing}?", f"{name} {verb} the {colour} {thing}."),
            (f"Where is {name}?", f"{name} is {place}."),
            (f"Who is {place}?", f"{name} is {place}."),
        )
    )
    passage = article(" ".join(lines))
    order = voice.choice(("{passage} {asked}", "{passage} {asked}", "{passage}\n\n{asked}"))
    return Turn(order.format(passage=passage, asked=asked), answer)


def _names(voice: Voice, count: int) -> list[str]:
    names: list[str] = []
    while len(names) < count:
        name = voice.name(voice.chance(0.5))
        names += [] if name in names else [name]
    return names


def extraction(voice: Voice) -> Turn:
    """A sentence about a person turned into a record."""
    name, age, city, job = (
        voice.name(voice.chance(0.5)),
        voice.number(5, 80),
        voice.choice(words.CITIES),
        voice.choice(words.JOBS),
    )
    sentence, value = voice.choice(
        (
            (f"{name} is {age} years old and lives in {city}.", {"name": name, "age": age, "city": city}),
            (f"{name} is {age} years old.", {"name": name, "age": age}),
            (f"{name} is a {job} and lives in {city}.", {"name": name, "job": job, "city": city}),
            (f"{name}, a {job}, is {age} years old.", {"name": name, "job": job, "age": age}),
        )
    )
    asked = voice.choice(
        ("Write this as JSON: {0}", "Turn this into JSON: {0}", "{0} Write it as JSON.", "Give me JSON for this: {0}")
    )
    return Turn(asked.format(sentence), json.dumps(value))


def code(voice: Voice) -> Turn:
    verb = voice.choice(sorted(OPERATIONS))
    asked = voice.choice(
        ("Write a Python function that {verb}s two numbers.", "Write a function to {verb} two numbers.",
         "Show me a Python function that can {verb} two numbers.")
    ).replace("{verb}s", "multiplies" if verb == "multiply" else f"{verb}s")  # fmt: skip
    return Turn(asked.format(verb=verb), operation(voice, verb))


def story_request(voice: Voice) -> Turn:
    """A wish for a story, and a story that keeps to it."""
    animal = voice.chance(0.3)
    scene = new_scene(voice, animal)
    wishes = ["about a {animal} named {hero}", "about a {animal} called {hero}"] if animal else [
        "about a {child} named {hero}", "about a {child} called {hero}", "about {hero} and {friend}", "about {hero}",
    ]  # fmt: skip
    wish = voice.choice(wishes)
    schema = None
    if not animal and voice.chance(0.4):
        wish, schema = wish + " and a {colour} {thing}", voice.choice(("lost", "broken", "birthday", "quarrel"))
    asked = voice.choice(
        ("Tell me a story {0}.", "Tell me a short story {0}.", "Write a story {0}.", "Please write a short story {0}.")
    )
    return Turn(voice.fill(asked.format(wish), scene), tell(voice, scene, animal, schema=schema))


def any_story(voice: Voice) -> Turn:
    animal = voice.chance(0.3)
    asked = voice.choice(
        ("Tell me a story.", "Please tell me a story.", "Write a short story.", "Can you tell me a story?")
    )
    return Turn(asked, tell(voice, new_scene(voice, animal), animal))


TURNS: tuple[Callable[[Voice], Turn], ...] = (
    fact, fact, fact, fact, small_talk, small_talk, arithmetic, arithmetic, arithmetic, larger, counting, naming,
    repeating, kind_of, reading, reading, reading, extraction, code, story_request, any_story,
)  # fmt: skip
