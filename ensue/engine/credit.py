"""Room in the worker's queue, as a client knows it: what was granted, less what was sent since, and some to spare."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass

from ensue.engine.wire import Grant
from ensue.errors import Overloaded
from ensue.request import GenerationRequest

MAX_SPARED = 256  # requests that are let into a full queue
OVERLOAD_RETRY_AFTER_S = 1


@dataclass(frozen=True, slots=True)
class _Waiting:
    key: str
    num_tokens: int
    is_spared: bool


class CreditAccount:
    """Lets requests in while there is room; into a queue that others have filled, those of keys with little in it.

    Such a key has less than half of what waits, and fewer requests than are left to spare. So a flood fills the
    queue for itself, and of one key alone no more waits than was granted.
    """

    def __init__(self, grant: Grant | None = None, max_request_tokens: int = 0) -> None:
        self._grant = grant or Grant(0, 0, 0)
        self._num_sent = self._grant.num_adds
        self._unseen: deque[int] = deque()  # prompt tokens of the Add messages that the grant does not know of
        self._waiting: dict[int, _Waiting] = {}  # by handle: nothing was heard of them yet
        self._num_waiting: Counter[str] = Counter()  # by key
        self._spared: Counter[str] = Counter()  # prompt tokens by key
        self._num_spared = 0
        self._max_spared_tokens = 2 * max_request_tokens  # of a key; of all twice as many

    def take(self, handle: int, request: GenerationRequest) -> None:
        """Raises Overloaded where there is no room."""
        key, num_tokens = request.fair_share_key, len(request.prompt_token_ids)
        is_spared = not self._has_room(num_tokens)
        if is_spared and not self._may_spare(key, num_tokens):
            raise Overloaded("Too many requests are waiting.", retry_after_s=OVERLOAD_RETRY_AFTER_S)
        self._unseen.append(num_tokens)
        self._num_sent += 1
        self._waiting[handle] = _Waiting(key, num_tokens, is_spared)
        self._count(self._waiting[handle], 1)

    def grant(self, grant: Grant) -> None:
        self._grant = grant
        while len(self._unseen) > self._num_sent - grant.num_adds:
            self._unseen.popleft()

    def started(self, handle: int) -> None:
        """A request has been heard of, or has ended."""
        waiting = self._waiting.pop(handle, None)
        if waiting is not None:
            self._count(waiting, -1)

    def _has_room(self, num_tokens: int) -> bool:
        has_place = len(self._unseen) < self._grant.num_requests
        return has_place and sum(self._unseen) + num_tokens <= self._grant.num_tokens

    def _may_spare(self, key: str, num_tokens: int) -> bool:
        num_own, tokens = self._num_waiting[key], self._spared[key] + num_tokens
        is_rightful = 2 * num_own < len(self._waiting) and num_own < MAX_SPARED - self._num_spared
        has_tokens = self._spared.total() + num_tokens <= 2 * self._max_spared_tokens
        return is_rightful and has_tokens and tokens <= self._max_spared_tokens

    def _count(self, waiting: _Waiting, sign: int) -> None:
        self._num_waiting[waiting.key] += sign
        if not self._num_waiting[waiting.key]:
            del self._num_waiting[waiting.key]
        if waiting.is_spared:
            self._num_spared += sign
            self._spared[waiting.key] += sign * waiting.num_tokens
            if not self._spared[waiting.key]:
                del self._spared[waiting.key]
