"""What a request demands of its key's limits, and how their readings look to the client."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ensue.api.budgets import smallest_budget
from ensue.api.rate_headers import rate_headers
from ensue.errors import RateLimited
from ensue.limits.base import Demand, Measure, Reading
from ensue.rights import KeyRights

PLACE_RETRY_AFTER_S = 1  # all places are taken; when one is left is not known


def on_entry(rights: KeyRights) -> tuple[Demand, ...]:
    """One request, one place; of tokens no more than a look."""
    demands = []
    if rights.requests_per_minute is not None:
        demands.append(Demand(Measure.REQUESTS, 1, rights.requests_per_minute))
    if rights.concurrent is not None:
        demands.append(Demand(Measure.CONCURRENT, 1, rights.concurrent))
    if rights.tokens_per_minute is not None:
        demands.append(Demand(Measure.TOKENS, 0, rights.tokens_per_minute, is_probe=True))
    return tuple(demands)


def on_start(rights: KeyRights, num_tokens: int) -> tuple[Demand, ...]:
    """The tokens; and a look whether another try would be let in, so that Retry-After is true."""
    demands = []
    if rights.tokens_per_minute is not None:
        amount = min(num_tokens, rights.tokens_per_minute)
        demands.append(Demand(Measure.TOKENS, amount, rights.tokens_per_minute))
    budget = smallest_budget(rights)
    if budget is not None:
        demands.append(Demand(Measure.BUDGET, min(num_tokens, budget), lists_entries=True))
    if demands and rights.requests_per_minute is not None:
        demands.append(Demand(Measure.REQUESTS, 1, rights.requests_per_minute, is_probe=True))
    return tuple(demands)


def limit_headers(demands: Sequence[Demand], readings: Sequence[Reading]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for demand, reading in zip(demands, readings, strict=True):
        if demand.limit is not None and not demand.measure.is_held:
            headers |= rate_headers(demand.measure, demand.limit, reading)
    return headers


def refusal(demands: Sequence[Demand], readings: Sequence[Reading]) -> tuple[Measure, RateLimited]:
    """The measure that is short, and the error; to be asked where not all fit."""
    short = [(demand, reading) for demand, reading in zip(demands, readings, strict=True) if not reading.fits]
    demand = next(demand for demand, _ in short if not demand.is_probe)
    wait_s = max(PLACE_RETRY_AFTER_S if one.measure.is_held else math.ceil(reading.wait_s) for one, reading in short)
    headers = limit_headers(demands, readings)
    return demand.measure, RateLimited(_message(demand), retry_after_s=max(1, wait_s), headers=headers)


def _message(demand: Demand) -> str:
    match demand.measure:
        case Measure.REQUESTS:
            return f"Rate limit reached: this API key may send {demand.limit} requests a minute."
        case Measure.CONCURRENT:
            return f"Rate limit reached: this API key may have {demand.limit} requests at once."
    return (
        f"Rate limit reached: this API key may use {demand.limit} tokens a minute, and this request may use "
        f"{demand.amount} of them."
    )
