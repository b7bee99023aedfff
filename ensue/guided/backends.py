"""The libraries by name, over one vocabulary."""

from __future__ import annotations

from ensue.errors import InvalidGrammar
from ensue.guided.backend import Backend, Strictness
from ensue.guided.llguidance import LlguidanceBackend
from ensue.guided.vocabulary import Vocabulary


class Backends:
    """All backends over one vocabulary, each made when it is first needed."""

    def __init__(self, vocabulary: Vocabulary, strictness: Strictness) -> None:
        self._vocabulary = vocabulary
        self._strictness = strictness
        self._made: dict[str, Backend] = {}

    def get(self, name: str) -> Backend:
        """
        Raises:
            InvalidGrammar: no such backend is served.
        """
        if name not in self._made:
            if name != "llguidance":
                raise InvalidGrammar("Of the guided decoding backends, llguidance is served.")
            self._made[name] = LlguidanceBackend(self._vocabulary, self._strictness)
        return self._made[name]
