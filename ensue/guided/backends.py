"""The libraries by name, over one vocabulary."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable

from ensue.errors import InvalidGrammar
from ensue.guided.backend import Backend, Strictness
from ensue.guided.llguidance import LlguidanceBackend
from ensue.guided.vocabulary import Vocabulary

LIBRARIES: dict[str, str] = {"llguidance": "llguidance", "xgrammar": "xgrammar", "outlines": "outlines_core"}


@functools.cache
def is_installed(name: str) -> bool:
    """Whether a backend's library is here; it is not imported for that."""
    return importlib.util.find_spec(LIBRARIES[name]) is not None


class Backends:
    """All backends over one vocabulary, each made when it is first needed."""

    def __init__(self, vocabulary: Vocabulary, strictness: Strictness) -> None:
        self._vocabulary = vocabulary
        self._strictness = strictness
        self._made: dict[str, Backend] = {}

    def get(self, name: str) -> Backend:
        """
        Raises:
            InvalidGrammar: no such backend, or it is not installed.
        """
        if name not in self._made:
            if name not in _MAKERS or not is_installed(name):
                raise InvalidGrammar(f"The backend {name} is not installed here: pip install 'ensue[{name}]'.")
            self._made[name] = _MAKERS[name](self._vocabulary, self._strictness)
        return self._made[name]


def _xgrammar(vocabulary: Vocabulary, strictness: Strictness) -> Backend:
    from ensue.guided.xgrammar import XgrammarBackend  # takes torch and transformers along

    return XgrammarBackend(vocabulary, strictness)


def _outlines(vocabulary: Vocabulary, strictness: Strictness) -> Backend:
    from ensue.guided.outlines import OutlinesBackend

    return OutlinesBackend(vocabulary, strictness)


_MAKERS: dict[str, Callable[[Vocabulary, Strictness], Backend]] = {
    "llguidance": LlguidanceBackend,
    "xgrammar": _xgrammar,
    "outlines": _outlines,
}
