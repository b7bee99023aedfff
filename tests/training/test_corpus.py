"""The corpus is the same on every run, keeps held-out things out, and survives cutting and coding."""

from itertools import islice
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from training import sums, words
from training.chat import Chat
from training.corpus import FIM_MIDDLE, FIM_PREFIX, FIM_SUFFIX, KINDS, cut, documents, excerpt, training_documents
from training.grammar import Split, Voice, held_out
from training.questions import FACTS, Turn
from training.schemas import SCHEMAS
from training.stories import new_scene
from training.tokenizer import SPECIAL

TINY = Path(__file__).parents[2] / "ensue" / "tiny"


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(TINY / "tokenizer.json"))


def test_documents_same_seed_are_the_same() -> None:
    first, second = (list(islice(training_documents("seed"), 50)) for _ in range(2))
    assert first == second


def test_documents_other_seed_differ() -> None:
    assert list(islice(documents("one"), 5)) != list(islice(documents("two"), 5))


def test_training_documents_show_no_held_out_name() -> None:
    text = " ".join(document.text for document in islice(training_documents("names"), 500))
    assert not [name for name in words.HELD_OUT_GIRLS + words.HELD_OUT_BOYS if name in text]


def test_names_split_uses_only_held_out_names() -> None:
    names = {Voice(number, Split.NAMES).name(girl=True) for number in range(30)}
    assert names <= set(words.HELD_OUT_GIRLS)


def test_pattern_splits_are_disjoint() -> None:
    patterns = [pattern for schema in SCHEMAS.values() for beat in schema for pattern in beat]
    kept = {pattern for pattern in patterns if held_out(pattern)}
    assert 0.03 < len(kept) / len(patterns) < 0.2
    for beat in (beat for schema in SCHEMAS.values() for beat in schema):
        shown = {Voice(number).pattern(beat) for number in range(40)}
        assert not shown & kept


def test_held_out_phrasings_are_not_among_the_shown() -> None:
    assert not [kind for kind in FACTS.values() if kind.unseen in kind.shown]


def test_sums_of_the_splits_are_disjoint_and_right() -> None:
    shown = {sums.random_sum(Voice(number)) for number in range(500)}
    kept = {sums.random_sum(Voice(number, Split.PATTERNS)) for number in range(500)}
    assert not shown & kept
    assert all(0 <= item.result <= 198 for item in shown | kept)


@pytest.mark.parametrize("split", Split)
def test_every_story_pattern_can_be_told(split: Split) -> None:
    voice = Voice("told", split)
    for pattern in (pattern for schema in SCHEMAS.values() for beat in schema for pattern in beat):
        text = voice.fill(pattern, new_scene(voice))
        assert not set("{}[]|") & set(text)
        assert text[-1] in '.!?"'


def test_cut_parts_make_the_document() -> None:
    for number, document in enumerate(islice(documents("cut"), 200)):
        parts = cut(document.text, Voice(number))
        assert parts.prefix + parts.middle + parts.suffix == document.text
        assert parts.text() == f"{FIM_PREFIX}{parts.prefix}{FIM_SUFFIX}{parts.suffix}{FIM_MIDDLE}{parts.middle}"


def test_a_good_third_of_the_training_text_is_cut() -> None:
    sizes = [(document.kind == "fim", len(document.text)) for document in islice(training_documents("share"), 3000)]
    assert 0.3 < sum(size for is_cut, size in sizes if is_cut) / sum(size for _, size in sizes) < 0.45


def test_excerpt_is_part_of_the_document() -> None:
    for number, document in enumerate(islice(documents("excerpt"), 100)):
        assert excerpt(document.text, Voice(number)) in document.text


@pytest.mark.parametrize("kind", [*KINDS, "fim"])
def test_every_kind_of_document_appears(kind: str) -> None:
    assert kind in {document.kind for document in islice(training_documents("kinds"), 300)}


def test_documents_decode_to_what_was_encoded(tokenizer: Tokenizer) -> None:
    for document in islice(training_documents("coded"), 200):
        ids = tokenizer.encode(document.text).ids
        assert tokenizer.decode(ids[1:], skip_special_tokens=False) == document.text


def test_chat_prompt_ends_where_the_answer_begins() -> None:
    chat = Chat((Turn("Hello", "Hi"), Turn("Who?", "Me")), system="Be short.")
    assert chat.text() == chat.prompt() + "Me<|im_end|>\n"
    assert chat.prompt().endswith("<|im_start|>assistant\n")


def test_special_tokens_do_not_occur_in_plain_kinds() -> None:
    plain = (
        document.text for kind in KINDS if kind != "chat" for document in islice(documents("plain", kind=kind), 50)
    )
    assert not [text for text in plain if any(token in text for token in SPECIAL)]
