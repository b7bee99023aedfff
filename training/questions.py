"""Questions about little facts: each kind has a table, ways to ask that training shows, and one that it never shows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from training import facts, words
from training.grammar import Split, Voice, capitalised


class Turn(NamedTuple):
    question: str
    answer: str


@dataclass(frozen=True)
class FactKind:
    """A table of facts with the ways to ask; ``unseen`` is the phrasing that training never shows."""

    shown: tuple[str, ...]
    unseen: str
    answer: str
    table: Mapping[str, str]

    def turn(self, voice: Voice, short: bool = False) -> Turn:
        key = voice.choice(sorted(self.table))
        slots = {"key": key, "value": self.table[key]}
        question = self.unseen if voice.split is Split.PATTERNS else voice.choice(self.shown)
        answer = self.table[key] if short else capitalised(voice.fill(self.answer, slots))
        return Turn(capitalised(voice.fill(question, slots)), answer)


def _next(items: list[str], step: int = 1) -> dict[str, str]:
    return {item: items[(index + step) % len(items)] for index, item in enumerate(items)}


FACTS = {
    "sound": FactKind(
        (
            "What does a {key} say?",
            "What sound does a {key} make?",
            "Which sound does a {key} make?",
            "How does a {key} sound?",
        ),
        "Tell me the sound of a {key}.",
        "A {key} says {value}.",
        facts.SOUNDS,
    ),
    "young": FactKind(
        ("What is a young {key} called?", "What do you call a young {key}?", "What is the name for a young {key}?"),
        "How do you call a young {key}?",
        "A young {key} is called a {value}.",
        facts.YOUNG,
    ),
    "legs": FactKind(
        ("How many legs does a {key} have?", "How many legs has a {key}?", "What is the number of legs of a {key}?"),
        "Do you know how many legs a {key} has?",
        "A {key} has {value} legs.",
        facts.LEGS,
    ),
    "home": FactKind(
        ("Where does a {key} live?", "What is the home of a {key}?", "Where is the home of a {key}?"),
        "Tell me where a {key} lives.",
        "A {key} lives in {value}.",
        facts.HOMES,
    ),
    "colour": FactKind(
        (
            "What colour is {key}?",
            "What is the colour of {key}?",
            "Which colour does {key} have?",
            "Which colour is {key}?",
        ),
        "Do you know what colour {key} is?",
        "{Key} is {value}.",
        facts.COLOURS_OF,
    ),
    "opposite": FactKind(
        ("What is the opposite of {key}?", "Tell me the opposite of {key}.", "Which word is the opposite of {key}?"),
        "Do you know the opposite of {key}?",
        "The opposite of {key} is {value}.",
        facts.OPPOSITES,
    ),
    "capital": FactKind(
        ("What is the capital of {key}?", "Tell me the capital of {key}.", "Which city is the capital of {key}?"),
        "Do you know the capital of {key}?",
        "The capital of {key} is {value}.",
        facts.CAPITALS,
    ),
    "country": FactKind(
        ("Which country is {key} the capital of?", "{key} is the capital of which country?"),
        "Tell me which country {key} is the capital of.",
        "{key} is the capital of {value}.",
        {city: country for country, city in facts.CAPITALS.items()},
    ),
    "plural": FactKind(
        ('What is the plural of "{key}"?', 'Tell me the plural of "{key}".', 'What do you call more than one "{key}"?'),
        'Do you know the plural of "{key}"?',
        'The plural of "{key}" is "{value}".',
        facts.PLURALS,
    ),
    "past": FactKind(
        ('What is the past tense of "{key}"?', 'Tell me the past tense of "{key}".', 'Put "{key}" in the past tense.'),
        'Do you know the past tense of "{key}"?',
        'The past tense of "{key}" is "{value}".',
        facts.PASTS,
    ),
    "job": FactKind(
        ("What does a {key} do?", "What is the job of a {key}?", "What does a {key} do all day?"),
        "Tell me what a {key} does.",
        "A {key} {value}.",
        facts.JOBS_DO,
    ),
    "day after": FactKind(
        ("Which day comes after {key}?", "What day comes after {key}?", "What is the day after {key}?"),
        "Tell me the day after {key}.",
        "{value} comes after {key}.",
        _next(words.DAYS),
    ),
    "day before": FactKind(
        ("Which day comes before {key}?", "What day comes before {key}?", "What is the day before {key}?"),
        "Tell me the day before {key}.",
        "{value} comes before {key}.",
        _next(words.DAYS, -1),
    ),
    "month after": FactKind(
        ("Which month comes after {key}?", "What month comes after {key}?", "What is the month after {key}?"),
        "Tell me the month after {key}.",
        "{value} comes after {key}.",
        _next(words.MONTHS),
    ),
    "season after": FactKind(
        ("Which season comes after {key}?", "What season comes after {key}?", "What is the season after {key}?"),
        "Tell me the season after {key}.",
        "{value} comes after {key}.",
        _next(words.SEASONS),
    ),
    "letter after": FactKind(
        ('Which letter comes after "{key}"?', 'What letter comes after "{key}"?', 'What is the letter after "{key}"?'),
        'Tell me the letter after "{key}".',
        'The letter after "{key}" is "{value}".',
        dict(zip("abcdefghijklmnopqrstuvwxy", "bcdefghijklmnopqrstuvwxyz", strict=True)),
    ),
    "first letter": FactKind(
        ('What is the first letter of "{key}"?', 'Which letter does "{key}" begin with?'),
        'Tell me the first letter of "{key}".',
        'The first letter of "{key}" is "{value}".',
        {word: word[0] for word in facts.SPELLED},
    ),
    "spelling": FactKind(
        ('How do you spell "{key}"?', 'Spell the word "{key}".', 'Please spell "{key}".'),
        'Can you spell "{key}"?',
        '"{key}" is spelled {value}.',
        {word: "-".join(word) for word in facts.SPELLED},
    ),
}


def fact(voice: Voice) -> Turn:
    return FACTS[voice.choice(sorted(FACTS))].turn(voice)
