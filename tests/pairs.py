"""All pairs: the fewest cases, or nearly, in which each two values of two factors meet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations, product
from typing import Any

Case = dict[str, Any]


def all_cases(factors: Mapping[str, Sequence[Any]]) -> Iterator[Case]:
    """Every combination."""
    for values in product(*factors.values()):
        yield dict(zip(factors, values, strict=True))


def all_pairs(cases: Iterable[Case]) -> list[Case]:
    """Some of the cases, in which every pair of values stands that stands in any of them.

    Greedy and deterministic: always the first of the cases with the most pairs that are still missing.
    """
    bits: dict[Any, int] = {}  # a pair's place in the masks
    masks = [(case, _mask(case, bits)) for case in cases]
    missing, chosen = (1 << len(bits)) - 1, []
    while missing:
        case, mask = max(masks, key=lambda item: (item[1] & missing).bit_count())
        missing &= ~mask
        chosen.append(case)
    return chosen


def _mask(case: Case, bits: dict[Any, int]) -> int:
    return sum(1 << bits.setdefault(pair, len(bits)) for pair in pairs_of(case))


def pairs_of(case: Case) -> Iterator[tuple[str, ...]]:
    named = [f"{name}={value!r}" for name, value in case.items()]
    yield from combinations(named, 2)
