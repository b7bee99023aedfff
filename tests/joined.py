"""The events of a stream, put together as the choices of an unstreamed answer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Json = dict[str, Any]


UNASKED = dict.fromkeys(("prompt_logprobs", "token_ids", "prompt_token_ids"))  # null in whole answers, not in events


def joined(events: Iterable[Json]) -> list[Json]:
    """Texts, lists and ids end to end; what comes once is kept."""
    choices: dict[int, Json] = {}
    for choice in (choice for event in events for choice in event["choices"]):
        index = choice["index"]
        choices[index] = _added(choices[index], choice) if index in choices else UNASKED | choice
    return [choices[index] for index in sorted(choices)]


def _added(before: Json, after: Json) -> Json:
    both = before | after | {"text": before["text"] + after["text"]}
    if after["logprobs"] is not None:
        both["logprobs"] = {name: before["logprobs"][name] + column for name, column in after["logprobs"].items()}
    if "token_ids" in after:
        both["token_ids"] = before["token_ids"] + after["token_ids"]
    return both
