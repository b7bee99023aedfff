"""URLs of the operator's services, as they may be shown."""

from __future__ import annotations

import re

_PASSWORD = re.compile(r"(?<=//)([^/@:]*:).*(?=@)|(password=)[^&]*", re.IGNORECASE)


def without_password(text: str) -> str:
    """The same without the password of a user or of a parameter, also where the scheme's colon was forgotten."""
    return _PASSWORD.sub(r"\1\2***", text)
