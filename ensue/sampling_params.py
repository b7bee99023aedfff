"""How tokens are chosen from logits: frozen, self-validating, without HTTP words."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ensue.errors import InvalidRequest

MAX_LOGIT_BIAS = 100.0
GREEDY_BELOW = 2.0**-149  # the smallest positive float32; a temperature below it is 0 in float32


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """The settings of one request, in the order in which they act on a row of logits.

    `None` always means off. Token ids are checked against the logits' width where that is known, above the seam.

    Raises:
        InvalidRequest: a value outside its range; `param` is the field's name.
    """

    allowed_token_ids: tuple[int, ...] | None = None
    bad_words_token_ids: tuple[tuple[int, ...], ...] = ()  # the last id of each is banned after the ids before it
    logit_bias: tuple[tuple[int, float], ...] = ()  # (token id, addend); −100 bans exactly
    repetition_penalty: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    temperature: float = 1.0
    min_p: float = 0.0
    top_k: int | None = None
    top_p: float = 1.0

    def __post_init__(self) -> None:
        _check_range("temperature", self.temperature, 0.0, 2.0)
        _check_range("top_p", self.top_p, 0.0, 1.0)
        _check_range("min_p", self.min_p, 0.0, 1.0)
        _check_range("frequency_penalty", self.frequency_penalty, -2.0, 2.0)
        _check_range("presence_penalty", self.presence_penalty, -2.0, 2.0)
        if not (math.isfinite(self.repetition_penalty) and self.repetition_penalty > 0):
            raise InvalidRequest("repetition_penalty must be a finite number above 0.", param="repetition_penalty")
        if self.top_k is not None and self.top_k < 1:
            raise InvalidRequest("top_k must be at least 1, or 0 or -1 for off.", param="top_k")
        if self.allowed_token_ids is not None and not self.allowed_token_ids:
            raise InvalidRequest("allowed_token_ids must not be empty.", param="allowed_token_ids")
        if not all(self.bad_words_token_ids):
            raise InvalidRequest("bad_words must not contain an empty string.", param="bad_words")
        for _, bias in self.logit_bias:
            _check_range("logit_bias", bias, -MAX_LOGIT_BIAS, MAX_LOGIT_BIAS)

    @property
    def is_greedy(self) -> bool:
        """True where the temperature is 0 in float32: the largest logit wins, the lowest id on ties."""
        return self.temperature < GREEDY_BELOW

    @property
    def changes_logits(self) -> bool:
        """True where a step before the temperature has work to do."""
        return bool(
            self.allowed_token_ids is not None
            or self.bad_words_token_ids
            or self.logit_bias
            or self.repetition_penalty != 1.0
            or self.frequency_penalty != 0.0
            or self.presence_penalty != 0.0
        )


def _check_range(param: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:  # also refuses NaN
        raise InvalidRequest(f"{param} must be between {low:g} and {high:g}.", param=param)
