"""Who is let into the waiting queue, and who finds room in one that another has filled."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensue.engine.credit import MAX_SPARED, CreditAccount
from ensue.engine.wire import Grant
from ensue.errors import Overloaded
from tests.engine.toy import make_request

HANDLES = count()


def ask(account: CreditAccount, key: str, num_tokens: int = 1) -> int:
    handle = next(HANDLES)
    account.take(handle, make_request(range(num_tokens), fair_share_key=key))
    return handle


def num_let_in(account: CreditAccount, key: str, num_tokens: int = 1) -> int:
    """How many requests a key gets in until it is refused."""
    for number in range(10_000):
        try:
            ask(account, key, num_tokens)
        except Overloaded:
            return number
    raise AssertionError("never refused")


def test_credit_counts_requests_and_tokens() -> None:
    account = CreditAccount(Grant(2, 10, 0))
    account.take(next(HANDLES), make_request(range(6)))
    with pytest.raises(Overloaded):
        account.take(next(HANDLES), make_request(range(5)))
    account.take(next(HANDLES), make_request(range(4)))
    with pytest.raises(Overloaded):
        account.take(next(HANDLES), make_request((1,)))
    account.grant(Grant(1, 10, 2))
    account.take(next(HANDLES), make_request((1,)))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 4)), max_size=30), st.integers(1, 5))
def test_credit_never_overfills_the_queue(turns: list[tuple[int, int]], room: int) -> None:
    """Whatever part of what was sent the worker has seen when it grants; none starts meanwhile."""
    account, sent, seen = CreditAccount(Grant(room, 1000, 0)), 0, 0
    for num_wanted, num_seen in turns:
        for _ in range(num_wanted):
            try:
                account.take(next(HANDLES), make_request((1,)))
                sent += 1
            except Overloaded:
                assert sent == room  # none is refused while there is room
        assert sent <= room
        seen = min(sent, seen + num_seen)
        account.grant(Grant(room - seen, 1000, seen))


def test_a_queue_that_one_key_has_filled_has_room_for_others() -> None:
    account = CreditAccount(Grant(2048, 10**6, 0), 4096)
    assert num_let_in(account, "flood") == 2048
    account.grant(Grant(0, 10**6, 2048))
    assert num_let_in(account, "flood") == 0
    assert num_let_in(account, "second") == MAX_SPARED // 2
    assert num_let_in(account, "third") == MAX_SPARED // 4
    for number in range(20):
        ask(account, f"innocent {number}")
    assert num_let_in(account, "flood") == 0


def test_a_queue_that_is_full_of_tokens_has_room_for_whole_prompts_of_others() -> None:
    account = CreditAccount(Grant(2048, 5000, 0), 4096)
    assert num_let_in(account, "flood", 1000) == 5
    account.grant(Grant(2043, 0, 5))
    assert num_let_in(account, "second", 4000) == 2
    assert num_let_in(account, "third", 4000) == 2
    assert num_let_in(account, "fourth", 4000) == 0  # all of them together have twice as much


@pytest.mark.parametrize("room", [1, 2, 30])
def test_one_key_alone_has_what_is_granted(room: int) -> None:
    account = CreditAccount(Grant(room, 1000, 0), 100)
    assert num_let_in(account, "") == room


def test_places_to_spare_come_back_when_requests_are_heard_of() -> None:
    account = CreditAccount(Grant(300, 10_000, 0), 100)
    num_let_in(account, "flood")
    account.grant(Grant(0, 0, 300))
    for _ in range(1000):
        account.started(ask(account, "innocent", 100))
