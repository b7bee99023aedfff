"""How limits look in headers."""

from __future__ import annotations

import pytest

from ensue.api.rate_headers import duration, rate_headers
from ensue.limits.base import Measure, Reading


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.001, "1s"),
        (1, "1s"),
        (59.2, "1m0s"),
        (60, "1m0s"),
        (360, "6m0s"),
        (3600, "1h0m0s"),
        (3725, "1h2m5s"),
    ],
)
def test_a_duration_is_written_as_go_does(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_what_was_used_beyond_a_limit_is_not_told() -> None:
    headers = rate_headers(Measure.TOKENS, 10, Reading(fits=False, used=12, wait_s=1.0, reset_s=2.5))
    assert headers == {
        "x-ratelimit-limit-tokens": "10",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "3s",
    }
