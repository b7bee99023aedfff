"""The corpus: an endless seeded stream of documents, a part of them turned into fill-in-the-middle examples.

All text comes from the grammar in this folder; nothing is taken from elsewhere. Knows nothing of tokens.
"""

from collections.abc import Callable, Iterator
from itertools import count
from typing import NamedTuple

from training import chat, functions, notes, records, sums
from training.grammar import Split, Voice
from training.stories import story

FIM_PREFIX, FIM_SUFFIX, FIM_MIDDLE = "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"
FIM_RATE = 0.5  # of all documents but chats; with whole documents and excerpts two fifths of all tokens
EXCERPT = (12, 140)  # characters
EXCERPTS = 5  # in turn, of as many documents, so that none shows the middle of another
LONGEST_MIDDLES = (25, 80, 160)  # characters


class Document(NamedTuple):
    kind: str
    text: str


class Cut(NamedTuple):
    """A document in three parts; together they are the document."""

    prefix: str
    middle: str
    suffix: str

    def text(self) -> str:
        """Prefix, suffix, middle: the order of https://arxiv.org/abs/2207.14255."""
        return f"{FIM_PREFIX}{self.prefix}{FIM_SUFFIX}{self.suffix}{FIM_MIDDLE}{self.middle}"


def _story(voice: Voice) -> str:
    return story(voice, chapters=voice.choice((1, 1, 1, 1, 1, 2, 2, 5)))


KINDS: dict[str, tuple[float, Callable[[Voice], str]]] = {
    "story": (0.22, _story),
    "chat": (0.3, lambda voice: chat.chat(voice).text()),
    "questions": (0.05, chat.question_sheet),
    "notes": (0.1, notes.note),
    "json": (0.12, records.record),
    "arithmetic": (0.12, sums.sheet),
    "python": (0.09, functions.function),
}


def document(voice: Voice, kind: str | None = None) -> Document:
    weights = [weight for weight, _ in KINDS.values()]
    chosen = kind or voice.random.choices(list(KINDS), weights)[0]
    return Document(chosen, KINDS[chosen][1](voice))


def documents(seed: int | str, split: Split = Split.TRAIN, kind: str | None = None) -> Iterator[Document]:
    """Whole documents, endless and the same for the same arguments."""
    for number in count():
        yield document(Voice(f"{seed}/{number}", split), kind)


def training_documents(seed: int | str) -> Iterator[Document]:
    """The documents of the training split, some of them cut whole or as short excerpts."""
    for number, plain in enumerate(documents(seed)):
        voice = Voice(f"cut/{seed}/{number}")
        if plain.kind == "chat" or not voice.chance(FIM_RATE):
            yield plain
            continue
        texts = (
            [plain.text]
            if voice.chance(0.15)
            else [excerpt(document(voice, plain.kind).text, voice) for _ in range(EXCERPTS)]
        )
        yield from (Document("fim", cut(text, voice).text()) for text in texts)


def excerpt(text: str, voice: Voice) -> str:
    """Up to `EXCERPT` characters from the beginning of a word on."""
    starts = [place for place in range(len(text)) if place == 0 or text[place - 1] in " \n"]
    start = voice.choice(starts)
    return text[start : start + voice.number(*EXCERPT)]


def cut(text: str, voice: Voice) -> Cut:
    """Half of the cuts lie between words or lines, the other half anywhere."""
    places = list(range(len(text) + 1))
    if voice.chance(0.5):
        places = [place for place in places if place in (0, len(text)) or text[place] in " \n"]
    start = voice.choice(places[:-1])
    longest = voice.choice(LONGEST_MIDDLES)
    end = voice.choice([place for place in places if start < place <= start + longest] or [start])
    return Cut(text[:start], text[start:end], text[end:])
