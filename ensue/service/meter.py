"""Measures one completion as its news arrive: times, choices, tokens."""

from __future__ import annotations

import time
from collections.abc import Sequence

from ensue.metrics import Metrics
from ensue.outputs import Usage
from ensue.service.choice import ChoiceDelta

MAX_GAPS = 256  # between tokens that wait to be told


class Meter:
    """Tells the metrics about one request."""

    def __init__(self, metrics: Metrics, model: str) -> None:
        self._metrics = metrics
        self._model = model
        self._started_at = time.perf_counter()
        self.first_token_at: float | None = None  # time.perf_counter()
        self._last_at: dict[int, float] = {}  # by choice
        self._gaps_s: list[float] = []  # told together: a token costs no more than this list
        self._has_ended = False

    def note(self, news: Sequence[ChoiceDelta]) -> None:
        """News that came together."""
        now = time.perf_counter()
        if self.first_token_at is None:
            self.first_token_at = now
            self._metrics.first_token(self._model, now - self._started_at)
        for delta in news:
            last_at = self._last_at.get(delta.index)
            if last_at is not None:
                self._gaps_s.append(now - last_at)
            self._last_at[delta.index] = now
            if delta.finish_reason is not None:
                self._metrics.choice_ended(self._model, delta.finish_reason)
        if len(self._gaps_s) >= MAX_GAPS:
            self._tell_gaps()

    def end(self, usage: Usage) -> None:
        """Count what was used, once."""
        if not self._has_ended:
            self._has_ended = True
            self._tell_gaps()
            self._metrics.used(self._model, usage)

    def _tell_gaps(self) -> None:
        self._metrics.next_tokens(self._model, self._gaps_s)
        self._gaps_s.clear()
