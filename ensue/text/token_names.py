"""How log-probabilities name tokens."""

from __future__ import annotations

from ensue.text.utf8 import whole_text


def id_name(token_id: int) -> str:
    return f"token_id:{token_id}"


def name_of(data: bytes) -> str:
    """Of a token that stands for these bytes."""
    text = whole_text(data)
    return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data) if text is None else text
