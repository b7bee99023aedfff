"""Bodies as the standard has them: how deep they are, whatever brackets stand in their texts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensue.api import strict_json
from ensue.errors import InvalidRequest

VALUES = st.recursive(
    st.none() | st.integers() | st.text(alphabet='[]{}"\\aé'),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet='[{"}]', max_size=3), inner, max_size=3)
    ),
)


def depth(value: Any) -> int:
    """By its definition."""
    match value:
        case list():
            return 1 + max(map(depth, value), default=0)
        case dict():
            return 1 + max(map(depth, value.values()), default=0)
    return 0


@given(VALUES, st.integers(0, 5), st.booleans())
def test_what_is_nested_too_deep_is_refused_and_nothing_else(value: Any, limit: int, is_ascii: bool) -> None:
    body = json.dumps(value, ensure_ascii=is_ascii).encode()
    if depth(value) <= limit:
        assert strict_json.parse(body, limit) == value
    else:
        with pytest.raises(InvalidRequest, match=f"more than {limit} levels"):
            strict_json.parse(body, limit)


def test_nesting_without_end_is_refused() -> None:
    for body in (b"[" * 100_000, b'{"a":' * 100_000, b"[" * 100_000 + b"]" * 100_000):
        with pytest.raises(InvalidRequest, match="more than 64 levels"):
            strict_json.parse(body, 64)
