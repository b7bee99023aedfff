"""Outcomes of proofs, good and bad, the latest used first, bounded in bytes."""

from __future__ import annotations

from collections import OrderedDict

from ensue.errors import InvalidGrammar
from ensue.guided.prover_frames import Outcome

_OVERHEAD_BYTES = 500  # of an entry, whatever it holds


class ProofCache:
    """Least recently used goes first."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._outcomes: OrderedDict[bytes, Outcome] = OrderedDict()
        self.num_bytes = 0

    def get(self, digest: bytes) -> Outcome | None:
        if digest in self._outcomes:
            self._outcomes.move_to_end(digest)
        return self._outcomes.get(digest)

    def put(self, digest: bytes, outcome: Outcome) -> None:
        """Keep an outcome; what is larger than the whole cache isn't kept."""
        if digest in self._outcomes or _size(outcome) > self._max_bytes:
            return
        self._outcomes[digest] = outcome
        self.num_bytes += _size(outcome)
        while self.num_bytes > self._max_bytes:
            _, dropped = self._outcomes.popitem(last=False)
            self.num_bytes -= _size(dropped)

    def __len__(self) -> int:
        return len(self._outcomes)


def _size(outcome: Outcome) -> int:
    return _OVERHEAD_BYTES + len(outcome.message if isinstance(outcome, InvalidGrammar) else outcome.payload)
