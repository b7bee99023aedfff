"""Events that share their head are those that would be encoded whole."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import UNSET

from ensue.api.protocol import ChoiceObject, CompletionObject, PromptTokensDetails, UsageObject
from ensue.api.sse import EventTemplate, event

USAGE = UsageObject(1, 2, 3, PromptTokensDetails(0))
CHOICE = ChoiceObject(1, 'a "quoted" é\n', None, None, None, UNSET, UNSET, UNSET)


def whole(choices: list[ChoiceObject], usage: Any = UNSET) -> CompletionObject:
    return CompletionObject(id="cmpl-1", created=7, model="m", system_fingerprint="fp", choices=choices, usage=usage)


@pytest.mark.parametrize("choice", [CHOICE, None])
@pytest.mark.parametrize("usage", [UNSET, None, USAGE])
def test_an_event_made_of_parts_has_the_bytes_of_the_whole(choice: ChoiceObject | None, usage: Any) -> None:
    made = EventTemplate(whole([])).event(choice, usage)
    assert made == event(whole([] if choice is None else [choice], usage))
