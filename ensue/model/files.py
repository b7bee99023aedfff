"""JSON files of a model folder, their size known before they are read, and objects with checked fields. No tensors."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ensue.config import MIB
from ensue.errors import ModelError, shown
from ensue.model_folder import find, refuse_large

MAX_JSON_BYTES = 64 * MIB  # the index of a model with a million tensors
MOST = 1 << 24  # of any count: sizes, layers, positions


def read_json(folder: Path, name: str) -> dict[str, Any]:
    """A JSON object from a file of the model.

    Raises:
        ModelError: no file, not JSON, not an object.
    """
    path = find(folder, name)
    if path is None:
        raise ModelError(f"The model folder has no {name}.")
    try:
        refuse_large(path, MAX_JSON_BYTES)
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"The model's {name} cannot be read: {error}.") from None
    if not isinstance(value, dict):
        raise ModelError(f"The model's {name} is not a JSON object.")
    return value


class Fields:
    """Checked access to a JSON object of a model; null counts as absent.

    Raises ModelError, naming the field, what is allowed and what was found.
    """

    def __init__(self, values: Mapping[str, Any], file: str) -> None:
        self._values = values
        self._file = file

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def get(self, name: str) -> Any:
        return self._values.get(name)

    def wrong(self, name: str, wanted: str) -> ModelError:
        """The error for a value that is not what it must be."""
        if self.get(name) is None:
            return ModelError(f"The model's {self._file} lacks {name}, which must be {wanted}.")
        found = shown(repr(self.get(name)))
        return ModelError(f"{name} in the model's {self._file} must be {wanted}, not {found}.")

    def count(self, name: str, default: int | None = None, *, low: int = 1) -> int:
        value = self._or(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= MOST:
            raise self.wrong(name, f"a whole number from {low} to {MOST}")
        return value

    def number(self, name: str, default: float | None = None) -> float:
        """A finite number above 0."""
        value = self._or(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
            raise self.wrong(name, "a number above 0")
        return float(value)

    def optional_number(self, name: str) -> float | None:
        return None if self.get(name) is None else self.number(name)

    def flag(self, name: str, default: bool = False) -> bool:
        value = self._or(name, default)
        if not isinstance(value, bool):
            raise self.wrong(name, "true or false")
        return value

    def section(self, name: str) -> Fields:
        """A nested object, empty where it is absent."""
        value = self._or(name, {})
        if not isinstance(value, dict):
            raise self.wrong(name, "an object")
        return Fields(value, self._file)

    def _or(self, name: str, default: Any) -> Any:
        value = self._values.get(name)
        return default if value is None else value
