"""What a message says, as one text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def text_of(content: str | Sequence[dict[str, Any]] | None) -> str:
    """Its parts on lines of their own; "" where it says nothing."""
    if content is None:
        return ""
    return content if isinstance(content, str) else "\n".join(part["text"] for part in content)
