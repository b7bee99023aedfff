"""What a key may do: bad values, and that nobody hands on more than she has."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensue.errors import AuthenticationError, InvalidRequest, PermissionDenied
from ensue.networks import holds
from ensue.rights import LIMITS, MAX_ENTRIES, SCOPES, KeyRights

LIMIT = st.none() | st.integers(1, 9)
NETWORKS = ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", "11.0.0.0/8", "2001:db8::/32", "2001:db8::1", "0.0.0.0/0", "::/0"]
ADDRESSES = ["10.0.0.1", "10.1.0.1", "10.1.2.3", "11.0.0.1", "9.9.9.9", "2001:db8::1", "2001:db8::2", "fe80::1"]
NAMES = ["llama-8b", "llama-70b", "qwen-8b", "other"]
RIGHTS = st.builds(
    KeyRights,
    scopes=st.frozensets(st.sampled_from(SCOPES)),
    models=st.lists(st.sampled_from([*NAMES, "*", "llama-*", "*-8b", "*8*"]), min_size=1, max_size=3).map(tuple),
    **dict.fromkeys(LIMITS, LIMIT),
    priority=st.integers(-3, 3),
    not_before=st.none() | st.integers(0, 9),
    expires_at=st.none() | st.integers(10, 19),
    allow_ips=st.lists(st.sampled_from(NETWORKS), max_size=3).map(tuple),
)


def can(rights: KeyRights) -> set[tuple[str, object]]:
    """Everything that a key may do, spelled out."""
    limits = {(name, value) for name in LIMITS for value in range(1, 12) if value <= (getattr(rights, name) or 99)}
    models = {("model", name) for name in NAMES if rights.may_use_model([name])}
    times = {("time", now) for now in range(25) if (rights.not_before or 0) <= now < (rights.expires_at or 99)}
    places = {("address", text) for text in ADDRESSES if not rights.allow_ips or holds(rights.allow_ips, text)}
    urgencies = {("priority", value) for value in range(rights.priority, 10)}
    return {("scope", scope) for scope in rights.scopes} | limits | models | times | places | urgencies


@given(RIGHTS, RIGHTS)
def test_a_child_can_do_exactly_what_it_asked_for_and_its_maker_can(child: KeyRights, maker: KeyRights) -> None:
    try:
        common = child.within(maker)
    except PermissionDenied as error:
        kind = {"scopes": "scope", "models": "model", "allow_ips": "address"}[str(error.param)]
        assert not {one for one in can(child) & can(maker) if one[0] == kind}
        return
    assert can(common) == can(child) & can(maker)
    assert common.is_within(maker)
    assert common.is_within(child)


@given(RIGHTS, RIGHTS)
def test_what_is_within_can_do_no_more(child: KeyRights, maker: KeyRights) -> None:
    if child.is_within(maker):
        assert can(child) <= can(maker)


@given(RIGHTS)
def test_all_rights_are_within_themselves_and_within_all(rights: KeyRights) -> None:
    if rights.scopes:
        assert rights.is_within(rights)
        assert rights.is_within(KeyRights(scopes=frozenset(SCOPES), priority=-9))


@pytest.mark.parametrize(
    ("values", "param"),
    [
        ({"scopes": frozenset(["completion"])}, "scopes"),
        ({"models": ()}, "models"),
        ({"models": ("",)}, "models"),
        ({"models": ("a&",)}, "models"),
        ({"models": ("a\n",)}, "models"),
        ({"models": ("a" * 257,)}, "models"),
        ({"models": tuple(map(str, range(MAX_ENTRIES + 1)))}, "models"),
        *(({name: value}, name) for name in LIMITS for value in (0, -1, 2**63)),
        ({"priority": 2**63}, "priority"),
        ({"not_before": -1}, "not_before"),
        ({"not_before": 5, "expires_at": 5}, "expires_at"),
        ({"allow_ips": ("10.0.0.1/8",)}, "allow_ips"),
        ({"allow_ips": ("localhost",)}, "allow_ips"),
        ({"allow_ips": tuple(f"10.0.{i}.0/31" for i in range(MAX_ENTRIES + 1))}, "allow_ips"),
    ],
    ids=str,
)
def test_a_bad_value_is_refused_by_name(values: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        KeyRights(**values)
    assert caught.value.param == param


def test_networks_have_one_spelling() -> None:
    given_twice = KeyRights(allow_ips=("10.1.0.0/16", "10.0.0.0/8", "10.0.0.7", "::1"))
    assert given_twice.allow_ips == ("10.0.0.0/8", "::1/128")


def test_a_key_has_its_time() -> None:
    rights = KeyRights(not_before=10, expires_at=20)
    rights.check_time(10)
    rights.check_time(19.9)
    for now, code in ((9.9, "invalid_api_key"), (20, "key_expired")):
        with pytest.raises(AuthenticationError) as caught:
            rights.check_time(now)
        assert caught.value.code == code
