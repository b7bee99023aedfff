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
        num_others = len(demands) - len(shares) - 1  # each is to move
        shares[key] = min(demands[key], max(min(fair, left - num_others), min(1, left)))
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

    It counts the one that starts, as a claim does: who gives way must not come first again.

    Args:
        waiting: in the order of service, which holds within a key.
    """
    queues = dict[str, deque[Sequence]]()
    for sequence in waiting:
        queues.setdefault(key_of(sequence), deque()).append(sequence)
    num_running = Counter(map(key_of, running))
    while queues:
        head = min((queue[0] for queue in queues.values()), key=lambda s: _turn(s, num_running))
        yield head
        key = key_of(head)
        num_running[key] += 1
        queues[key].popleft()
        if not queues[key]:
            del queues[key]


def heads(waiting: Iterable[Sequence], running: Iterable[Sequence]) -> list[Sequence]:
    """The next of each key, in turn."""
    firsts = dict[str, Sequence]()
    for sequence in waiting:
        firsts.setdefault(key_of(sequence), sequence)
    num_running = Counter(map(key_of, running))
    return sorted(firsts.values(), key=lambda s: _turn(s, num_running))


def _turn(sequence: Sequence, num_running: Mapping[str, int]) -> tuple[object, ...]:
    num_then = num_running.get(key_of(sequence), 0) + 1
    return (sequence.request.priority, num_then / weight_of(sequence), sequence.key)


def blocks_held(sequences: Iterable[Sequence]) -> Counter[str]:
    """Blocks that each key has in tables; those that several of its sequences share count once."""
    blocks = dict[str, set[int]]()
    for sequence in sequences:
        blocks.setdefault(key_of(sequence), set()).update(sequence.block_table)
    return Counter({key: len(held) for key, held in blocks.items()})


def largest(sequences: Iterable[Sequence], held: Mapping[str, int]) -> Sequence | None:
    """Of the key that holds most for its weight, the youngest of the least urgent."""
    return max(sequences, key=lambda s: (held[key_of(s)] / weight_of(s), s.key), default=None)
