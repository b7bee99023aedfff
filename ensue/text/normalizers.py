"""How much longer a normalizer can make a text: a few steps that write ten characters for one fill a memory."""

from __future__ import annotations

from math import prod
from typing import Any

from ensue.errors import ModelError

MAX_GROWTH = 1024  # characters for one; what is written once counts the same


def refuse_growth(normalizer: dict[str, Any] | None) -> None:
    """
    Args:
        normalizer: as tokenizer.json has it.

    Raises:
        ModelError: it writes more than any model needs.
    """
    if prod(map(_growth, _steps(normalizer))) > MAX_GROWTH:
        raise ModelError(f"The tokenizer's normalizer writes more than {MAX_GROWTH} characters for one.")


def _steps(normalizer: dict[str, Any] | None) -> list[dict[str, Any]]:
    if normalizer is None:
        return []
    if normalizer["type"] != "Sequence":
        return [normalizer]
    return [step for inner in normalizer["normalizers"] for step in _steps(inner)]


def _growth(step: dict[str, Any]) -> float:
    """Of Unicode's own forms, none makes more than a few characters of one."""
    match step:
        case {"type": "Replace", "pattern": {"String": pattern}, "content": content}:
            return max(1, len(content) / max(1, len(pattern)))
        case {"type": "Replace", "content": content}:
            return max(1, len(content))
        case {"type": "Prepend", "prepend": prepend}:
            return max(1, len(prepend))
    return 1
