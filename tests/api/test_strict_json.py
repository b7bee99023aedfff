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


def test_a_flaw_in_the_depth_does_not_hide_it() -> None:
    """Its path would be as long as the body."""
    with pytest.raises(InvalidRequest, match="more than 64 levels"):
        strict_json.parse(b'{"long name":' * 500 + b"NaN" + b"}" * 500, 64)


@given(VALUES, st.sampled_from([b"NaN", b"9" * 4500, b'{"k":1,"k":2}', rb'"\ud800"']))
def test_the_first_flaw_is_named_by_its_path(value: Any, flaw: bytes) -> None:
    body = b'{"a":[0,{"b":%b}],"c":%b,"d":%b}' % (flaw, json.dumps(value).encode(), flaw)
    with pytest.raises(InvalidRequest) as caught:
        strict_json.parse(body, 64)
    assert caught.value.param == "a[1].b" + (".k" if b"k" in flaw else "")


@pytest.mark.parametrize("part", [b"[]", b"{}", b'{"a":[]}'])
def test_more_lists_and_objects_than_anybody_needs_are_refused(part: bytes) -> None:
    count = strict_json.MAX_CONTAINERS // (2 if b":" in part else 1)
    assert len(strict_json.parse(b"[" + b",".join([part] * (count - 1)) + b"]", 64)) == count - 1
    with pytest.raises(InvalidRequest, match="at most 200000 lists and objects"):
        strict_json.parse(b"[" + b",".join([part] * count) + b"]", 64)


def test_brackets_in_a_text_are_none() -> None:
    text = '[{"' * strict_json.MAX_CONTAINERS
    assert strict_json.parse(json.dumps([text]).encode(), 64) == [text]
