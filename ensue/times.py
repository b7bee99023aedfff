"""Points in time and lengths of time as people write them: `2027-01-31`, `2027-01-31T12:00Z`, `90d`, `1h30m`."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_UNITS = {"y": 365 * 86400, "w": 7 * 86400, "d": 86400, "h": 3600, "m": 60, "s": 1}
_DURATION = re.compile("".join(rf"(?:(\d{{1,9}}){unit})?" for unit in _UNITS))
LATEST = int(datetime.max.replace(tzinfo=UTC, microsecond=0).timestamp())


def parse_time(text: str, now: float) -> int:
    """Unix seconds of a date (its first second), a time (both in UTC unless it says otherwise), or a duration from now.

    Raises:
        ValueError: with what is allowed, to follow "must be".
    """
    try:
        moment = now + parse_duration(text)
    except ValueError:
        moment = _parse_moment(text)
    if not 0 <= moment <= LATEST:
        raise ValueError("a time between the years 1970 and 9999")
    return int(moment)


def parse_duration(text: str) -> int:
    """Seconds of texts such as 90d, 12h or 1h30m; a year has 365 days.

    Raises:
        ValueError: with what is allowed, to follow "must be".
    """
    match = _DURATION.fullmatch(text.strip().lower())
    if match is None or not any(match.groups()):
        raise ValueError("a duration such as 90d, 12h, 1h30m or 0s")
    return sum(int(number or 0) * seconds for number, seconds in zip(match.groups(), _UNITS.values(), strict=True))


def _parse_moment(text: str) -> float:
    try:
        if text.strip().isdigit():  # 20270131 would be a date, 1800000000 is not
            raise ValueError
        moment = datetime.fromisoformat(text.strip())
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise ValueError(
            "a date such as 2027-01-31, a time such as 2027-01-31T12:00Z, or a duration from now such as 90d or 12h"
        ) from None
