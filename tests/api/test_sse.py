"""Events that share their head are those that would be encoded whole."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from ensue.api.protocol import ChoiceObject, CompletionObject, PromptTokensDetails, UsageObject
from ensue.api.sse import EventTemplate, event

USAGE = UsageObject(1, 2, 3, PromptTokensDetails(0))
CHOICE = ChoiceObject(1, 'a "quoted" é\n', None, None, None, UNSET, UNSET, UNSET)


def text_choice(index: int, text: str) -> ChoiceObject:
    return ChoiceObject(index, text, None, None, None, UNSET, UNSET, UNSET)


def whole(choices: list[ChoiceObject], usage: Any = UNSET) -> CompletionObject:
    return CompletionObject(id="cmpl-1", created=7, model="m", system_fingerprint="fp", choices=choices, usage=usage)


@pytest.mark.parametrize("choice", [CHOICE, None])
@pytest.mark.parametrize("usage", [UNSET, None, USAGE])
def test_an_event_made_of_parts_has_the_bytes_of_the_whole(choice: ChoiceObject | None, usage: Any) -> None:
    made = EventTemplate(whole([]), text_choice).event(choice, usage)
    assert made == event(whole([] if choice is None else [choice], usage))


@given(st.lists(st.tuples(st.integers(0, 3), st.text(), st.sampled_from([UNSET, None]))))
def test_an_event_of_a_text_has_the_bytes_of_the_whole(events: list[tuple[int, str, Any]]) -> None:
    template = EventTemplate(whole([]), text_choice)
    for index, text, usage in events:
        assert template.text_event(index, text, usage) == event(whole([text_choice(index, text)], usage))
