"""Calls in a model's text: every format, every cut, and what is no call."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ensue.tiny
from ensue.text.tokenizer import Tokenizer
from ensue.text.tool_calls import CallArguments, CallBegin, Content, Piece, ToolCallParser
from ensue.text.tool_format import call_format
from ensue.tools import CallFormat, Marker

TOKENIZER = Tokenizer.from_folder(Path(ensue.tiny.__file__).parent)
HERMES, LLAMA, MISTRAL = (call_format(name, TOKENIZER) for name in ("hermes", "llama3", "mistral"))
LATER_MISTRAL = CallFormat("mistral", Marker("[TOOL_CALLS]"), Marker("[ARGS]"))
WITH_IDS = replace(LATER_MISTRAL, call_id=Marker("[CALL_ID]"))
FORMATS = [HERMES, LLAMA, MISTRAL, LATER_MISTRAL]

F = ("f", '{"a": "}\\"]{", "b": [1, {}]}')
G = ("g", "{}")
ONE, BOTH = ("", [F]), ("", [F, G])


def written(form: CallFormat, name: str, arguments: str) -> str:
    if isinstance(form.arguments, Marker):
        return f"{name}{form.arguments.text}{arguments}"
    return f'{{"name": "{name}", "{form.arguments}": {arguments}}}'


def read(form: CallFormat, *parts: str, has_text: bool = True) -> tuple[str, list[tuple[str, str]]]:
    """The content, and the calls."""
    parser = ToolCallParser(form, has_text=has_text)
    return joined([piece for part in parts for piece in parser.feed(part)] + parser.flush())


def joined(pieces: list[Piece]) -> tuple[str, list[tuple[str, str]]]:
    content, calls = "", list[tuple[str, str]]()
    for piece in pieces:
        match piece:
            case Content(text):
                content += text
            case CallBegin(index, name, _):
                assert index == len(calls)
                calls.append((name, ""))
            case CallArguments(index, text):
                assert index == len(calls) - 1
                calls[-1] = (calls[-1][0], calls[-1][1] + text)
    return content, calls


@pytest.mark.parametrize(
    ("form", "text", "expected"),
    [
        (HERMES, f"<tool_call>\n{written(HERMES, *F)}\n</tool_call>", ONE),
        (HERMES, f"<tool_call>{written(HERMES, *F)}</tool_call>\n<tool_call>{written(HERMES, *G)}</tool_call>\n", BOTH),
        (HERMES, f"I look.\n\n<tool_call>\n{written(HERMES, *F)}\n</tool_call>", ("I look.", [F])),
        (HERMES, f'<tool_call>{{"arguments": {F[1]}, "id": 7, "name": "f"}}</tool_call>', ONE),
        (LLAMA, written(LLAMA, *F), ONE),
        (LLAMA, f"<|python_tag|>{written(LLAMA, *F)}; {written(LLAMA, *G)}", BOTH),
        (LLAMA, f'\n{{"type": "function", "name": "f", "parameters": {F[1]}}}', ONE),
        (LLAMA, f"I look.<|python_tag|>{written(LLAMA, *F)}", ("I look.", [F])),
        (MISTRAL, f"[TOOL_CALLS] [{written(MISTRAL, *F)}, {written(MISTRAL, *G)}]", BOTH),
        (MISTRAL, f"I look.[TOOL_CALLS][{written(MISTRAL, *F)}]", ("I look.", [F])),
        (LATER_MISTRAL, f"[TOOL_CALLS]f[ARGS]{F[1]}[TOOL_CALLS]g[ARGS]{{}}", BOTH),
        (LATER_MISTRAL, f"I look.[TOOL_CALLS]f[ARGS]{F[1]}", ("I look.", [F])),
    ],
)
def test_calls_are_read(form: CallFormat, text: str, expected: tuple[str, list[tuple[str, str]]]) -> None:
    assert read(form, text) == expected
    assert read(form, *text) == expected


@pytest.mark.parametrize(
    ("form", "text"),
    [
        (HERMES, ""),
        (HERMES, "\n"),
        (HERMES, "a < b <tool_cal"),
        (HERMES, "<tool_call>no object"),
        (HERMES, '<tool_call>{"name": 7, "arguments": {}}</tool_call>'),
        (HERMES, 'see <tool_call>{"name": "f"} '),
        (LLAMA, "{"),
        (LLAMA, '{"name": '),
        (LLAMA, '{"city": "Rome", "parameters": 7} '),
        (LLAMA, '{"name": "Ann", "age": 7}'),
        (LLAMA, '{"type": "object", "name": "f", "parameters": {}}'),
        (LLAMA, '{"n\\u0061me": "f", "parameters": {}}'),
        (LLAMA, ' and {"name": "f", "parameters": {}}'),
        (MISTRAL, "[TOOL_CALLS]{}"),
        (LATER_MISTRAL, "[TOOL_CALLS][ARGS]{}"),
    ],
)
def test_what_is_no_call_is_text(form: CallFormat, text: str) -> None:
    assert read(form, text) == (text, [])
    assert read(form, *text) == (text, [])


@pytest.mark.parametrize("form", FORMATS, ids=["hermes", "llama3", "mistral", "later"])
def test_a_call_that_is_cut_short_keeps_what_is_certain(form: CallFormat) -> None:
    opening = "" if form.is_bare else form.opening.text + form.before
    whole = opening + written(form, *F)
    for end in range(len(opening) + 11, len(whole)):
        content, calls = read(form, whole[:end])
        assert content == ""
        assert all(name == "f" and F[1].startswith(arguments) for name, arguments in calls)


def test_a_marker_without_a_name_is_never_shown() -> None:
    assert read(HERMES, 'Well.\n<tool_call>\n{"name": "get') == ("Well.", [])


def test_arguments_come_as_soon_as_they_are_there() -> None:
    parser = ToolCallParser(HERMES)
    assert parser.feed('Hm. <tool_call>{"name": "f", "argu') == [Content("Hm.")]
    assert parser.feed('ments": {"a') == [CallBegin(0, "f"), CallArguments(0, '{"a')]
    assert parser.feed('": "x') == [CallArguments(0, '": "x')]
    assert parser.feed('"}}</tool_call>') == [CallArguments(0, '"}')]
    assert (parser.flush(), parser.num_calls) == ([], 1)


def test_a_call_may_bring_its_id() -> None:
    text = "[TOOL_CALLS]f[CALL_ID]abc123XYZ[ARGS]{}[TOOL_CALLS]g[ARGS]{}"
    for parts in ([text], text):
        parser = ToolCallParser(WITH_IDS)
        pieces = [piece for part in parts for piece in parser.feed(part)] + parser.flush()
        begins = [piece for piece in pieces if isinstance(piece, CallBegin)]
        assert begins == [CallBegin(0, "f", "abc123XYZ"), CallBegin(1, "g")]
        assert joined(pieces) == ("", [("f", "{}"), ("g", "{}")])


def test_where_only_calls_may_come_nothing_else_is_shown() -> None:
    assert read(HERMES, "<tool_c", has_text=False) == ("", [])
    assert read(HERMES, f"x <tool_call>{written(HERMES, *G)}</tool_call> y", has_text=False) == ("", [G])


@pytest.mark.parametrize("form", FORMATS, ids=["hermes", "llama3", "mistral", "later"])
def test_where_an_answer_is_either_text_or_calls_a_text_may_hold_anything(form: CallFormat) -> None:
    call = ("" if form.is_bare else form.opening.text + form.before) + written(form, *F) + form.after
    quoted = f'{{"a": "{form.opening.text}", "b": 1}} {form.opening.text}{form.before}{written(form, *F)}'
    for parts in ([quoted], quoted):
        parser = ToolCallParser(form, is_either=True)
        assert joined([piece for part in parts for piece in parser.feed(part)] + parser.flush()) == (quoted, [])
    parser = ToolCallParser(form, is_either=True)
    assert joined([piece for part in call for piece in parser.feed(part)] + parser.flush()) == ONE


ALPHABET = (
    *'{}[]":,;\\ \na',
    "<tool_call>",
    "</tool_call>",
    "<|python_tag|>",
    "[TOOL_CALLS]",
    "[ARGS]",
    "[CALL_ID]",
    "f",
)
CHUNKS = (*ALPHABET, '{"name": "f", "arguments": ', '"parameters"', "{}", '"x"', "<tool", "_call>")


@given(st.sampled_from([*FORMATS, WITH_IDS]), st.lists(st.sampled_from(CHUNKS), max_size=14).map("".join), st.data())
def test_what_comes_out_does_not_depend_on_the_cuts(form: CallFormat, text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=5)))
    parts = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert read(form, *parts) == read(form, text)
