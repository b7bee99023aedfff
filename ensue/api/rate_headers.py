"""How limits look in headers: OpenAI's x-ratelimit-*, with times as Go writes durations."""

from __future__ import annotations

import math

from ensue.limits.base import Measure, Reading


def rate_headers(measure: Measure, limit: int, reading: Reading) -> dict[str, str]:
    """How much is left of a limit by the minute, and when nothing of it is used any more."""
    return {
        f"x-ratelimit-limit-{measure}": str(limit),
        f"x-ratelimit-remaining-{measure}": str(max(0, limit - reading.used)),
        f"x-ratelimit-reset-{measure}": duration(reading.reset_s),
    }


def duration(seconds: float) -> str:
    """Whole seconds, rounded up: `0s`, `59s`, `6m0s`, `1h0m0s`."""
    minutes, rest_s = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{rest_s}s"
    return f"{minutes}m{rest_s}s" if minutes else f"{rest_s}s"
