"""Whose turn it is where several keys want more than there is: each has its weighted share, and none is left idle."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping

from ensue.engine.sequence import Sequence


def key_of(sequence: Sequence) -> str:
    return sequence.request.fair_share_key


def weight_of(sequence: Sequence) -> float:
    return sequence.request.fair_share_weight


def divide(total: int, demands: Mapping[str, int], weights: Mapping[str, float]) -> dict[str, int]:
    """Weighted max-min shares in whole units: nobody gets more than it asks for, what one leaves goes to the others.

    Args:
        demands: by key, ≥ 0.
        weights: by the same keys, > 0.
    """
    shares, left, weight_left = dict[str, int](), total, sum(weights[key] for key in demands)
    for key in sorted(demands, key=lambda key: demands[key] / weights[key]):
        fair = math.ceil(left * weights[key] / weight_left) if weight_left > 0 else left
        shares[key] = min(demands[key], fair, left)
        left -= shares[key]
        weight_left -= weights[key]
    return shares


def shares_of_step(budget: int, sequences: Iterable[Sequence]) -> dict[str, int]:
    """Tokens that each key may compute of these sequences in a step."""
    demands, weights = Counter[str](), dict[str, float]()
    for sequence in sequences:
        demands[key_of(sequence)] += sequence.num_to_compute
        weights[key_of(sequence)] = weight_of(sequence)
    return divide(budget, demands, weights)


def turns(waiting: Iterable[Sequence], running: Iterable[Sequence]) -> Iterator[Sequence]:
    """Waiting sequences in the order in which they may start: by priority, then the key with least for its weight.

    It counts the one that starts, as `above_share` does: who gives way must not come first again.

    Args:
        waiting: in the order of service, which holds within a key.
    """
    queues = dict[str, deque[Sequence]]()
    for sequence in waiting:
        queues.setdefault(key_of(sequence), deque()).append(sequence)
    num_running = Counter(map(key_of, running))
    while queues:
        heads = (queue[0] for queue in queues.values())
        head = min(heads, key=lambda s: (s.request.priority, (num_running[key_of(s)] + 1) / weight_of(s), s.key))
        yield head
        key = key_of(head)
        num_running[key] += 1
        queues[key].popleft()
        if not queues[key]:
            del queues[key]


def above_share(candidate: Sequence, running: list[Sequence], num_blocks: int | None) -> Sequence | None:
    """The youngest sequence of the key that holds most above its share, where it would hold most even after giving way.

    The first of the running sequences never gives way, so that whatever happens one of them comes to its end; nor does
    a more urgent one.

    Args:
        candidate: that waits for slots or blocks.
        num_blocks: that it needs; None: slots are what is missing.
    """
    held = Counter[str]()
    for sequence in running:
        held[key_of(sequence)] += 1 if num_blocks is None else len(sequence.block_table)
    wanted = (held[key_of(candidate)] + (1 if num_blocks is None else num_blocks)) / weight_of(candidate)
    may_go = (
        s
        for s in running[1:]
        if key_of(s) != key_of(candidate)
        and s.request.priority >= candidate.request.priority
        and held[key_of(s)] / weight_of(s) > wanted
    )
    return largest(may_go, held)


def largest(sequences: Iterable[Sequence], held: Mapping[str, int]) -> Sequence | None:
    """Of the key that holds most for its weight, the youngest of the least urgent."""
    return max(sequences, key=lambda s: (held[key_of(s)] / weight_of(s), s.key), default=None)
