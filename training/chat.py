"""Chats: turns put together, with or without a system message, and what must be remembered from one to the next."""

from collections.abc import Callable
from dataclasses import dataclass

from training import words
from training.grammar import Voice, article
from training.questions import FACTS, Turn, fact
from training.turns import TURNS, reading

IM_START, IM_END = "<|im_start|>", "<|im_end|>"
SYSTEMS = (
    "You are a helpful assistant.",
    "You are a friendly assistant.",
    "Be short and friendly.",
    "Answer in full sentences.",
)
SHORT_SYSTEMS = ("Answer in one word.", "Answer with one word only.", "Give short answers.")
SHORT_KINDS = (
    "sound",
    "young",
    "legs",
    "colour",
    "opposite",
    "capital",
    "country",
    "day after",
    "day before",
    "month after",
)


MEMORIES = (
    ("My name is {name}.", "Hello, {name}! How can I help you?", "What is my name?", "Your name is {name}."),
    ("Hi, I am {name}.", "Hello, {name}! How can I help you?", "Who am I?", "You are {name}."),
    (
        "I like the colour {colour}.",
        "{Colour} is a nice colour.",
        "Which colour do I like?",
        "You like the colour {colour}.",
    ),
    (
        "I have a {colour} {animal} called {name}.",
        "{name} is a nice name for a {animal}.",
        "What is my {animal} called?",
        "Your {animal} is called {name}.",
    ),
    ("I live in {city}.", "{city} is a nice city.", "Where do I live?", "You live in {city}."),
    (
        "I do not like {other}, but I like {colour}.",
        "So you like {colour}.",
        "What colour do I like?",
        "You like the colour {colour}.",
    ),
)


@dataclass(frozen=True)
class Chat:
    """A system message or none, then turns of user and assistant."""

    turns: tuple[Turn, ...]
    system: str | None = None

    def text(self) -> str:
        """The chat as the template of the tokenizer writes it, without the beginning of text."""
        messages = [("system", self.system)] if self.system else []
        for turn in self.turns:
            messages += [("user", turn.question), ("assistant", turn.answer)]
        return "".join(f"{IM_START}{role}\n{content}{IM_END}\n" for role, content in messages)

    def prompt(self) -> str:
        """The chat up to where its last answer begins."""
        return self.text().removesuffix(f"{self.turns[-1].answer}{IM_END}\n")


def chat(voice: Voice) -> Chat:
    """One chat, mostly short, one time in eight long."""
    return voice.choice(CHATS)(voice)


def questions(voice: Voice) -> Chat:
    """Independent questions, with or without a system message."""
    count = voice.choice((1, 1, 1, 1, 2, 2, 3, 10))
    turns = tuple(voice.choice(TURNS)(voice) for _ in range(count))
    return Chat(turns, voice.choice(SYSTEMS) if voice.chance(0.3) else None)


def short_questions(voice: Voice) -> Chat:
    turns = tuple(FACTS[voice.choice(SHORT_KINDS)].turn(voice, short=True) for _ in range(voice.number(1, 4)))
    return Chat(turns, voice.choice(SHORT_SYSTEMS))


def named_assistant(voice: Voice) -> Chat:
    """The system message gives a name, and the assistant keeps it."""
    name = voice.name(voice.chance(0.5))
    job = voice.choice(("a helpful assistant", "a friendly robot", "a wise owl", "a little helper"))
    asked = Turn(
        voice.choice(("What is your name?", "Who are you?", "Tell me your name.")), f"My name is {name}. I am {job}."
    )
    return Chat((fact(voice), asked) if voice.chance(0.4) else (asked,), article(f"You are {name}, {job}."))


def question_sheet(voice: Voice) -> str:
    """Questions and answers as plain text."""
    turns = (voice.choice((fact, fact, reading))(voice) for _ in range(voice.number(1, 5)))
    return "\n".join(f"Question: {turn.question}\nAnswer: {turn.answer}" for turn in turns)


def memory(voice: Voice) -> Chat:
    """The user says something about themselves and asks for it later, with other turns between."""
    name, (colour, other) = voice.name(voice.chance(0.5)), voice.sample(words.COLOURS, 2)
    animal, city = voice.choice(words.ANIMALS), voice.choice(words.CITIES)
    told, hello, asked, answer = voice.choice(MEMORIES)
    slots = {"name": name, "colour": colour, "other": other, "animal": animal, "city": city}
    between = tuple(voice.choice(TURNS)(voice) for _ in range(voice.choice((0, 1, 1, 2, 4))))
    first, last = (Turn(*(voice.fill(text, slots) for text in pair)) for pair in ((told, hello), (asked, answer)))
    return Chat((first, *between, last))


CHATS: tuple[Callable[[Voice], Chat], ...] = (
    questions, questions, questions, questions, questions, questions, short_questions, named_assistant, memory, memory,
)  # fmt: skip
