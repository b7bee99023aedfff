"""What steps 2 to 6 of the sampling order need of a request and of its text so far. Knows no tensors and no logits."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ensue.request import GenerationRequest
from ensue.sampling_params import MAX_LOGIT_BIAS

Ids: TypeAlias = "array[int]"  # of 64 bits, so that a kernel can read them where they lie
BadWord = tuple[tuple[int, ...], int]  # (the ids before its last one, the last one)


def ids_of(token_ids: Iterable[int]) -> Ids:
    return array("q", token_ids)


@dataclass(frozen=True, slots=True, eq=False)
class LogitRules:
    """A request's settings that change logits, as columns: made once, shared by its samples and beams."""

    allowed_mask: array[int]  # of bytes: bit (id mod 8) of byte (id div 8) stands for an id; empty: all are allowed
    bias_ids: Ids
    biases: array[float]  # −inf bans
    banned_ids: tuple[int, ...]  # bad words of one token
    bad_words: dict[int, list[BadWord]]  # longer ones, by the id before the last

    @classmethod
    def of(cls, request: GenerationRequest) -> LogitRules | None:
        """None where no setting changes logits."""
        sampling = request.sampling
        if not sampling.changes_logits:
            return None
        biases = (-math.inf if bias == -MAX_LOGIT_BIAS else bias for _, bias in sampling.logit_bias)
        return cls(
            _mask_of(sampling.allowed_token_ids or ()),
            ids_of(token_id for token_id, _ in sampling.logit_bias),
            array("f", biases),
            tuple(word[0] for word in sampling.bad_words_token_ids if len(word) == 1),
            _by_last_but_one(sampling.bad_words_token_ids),
        )

    @classmethod
    def none(cls) -> LogitRules:
        """Those that change nothing."""
        return cls(array("B"), ids_of(()), array("f"), (), {})

    def bans(self, token_id: int, token_ids: Sequence[int]) -> bool:
        """Whether a token may not come at the end of this text."""
        byte, bit = divmod(token_id, 8)
        is_allowed = not self.allowed_mask or (byte < len(self.allowed_mask) and self.allowed_mask[byte] >> bit & 1)
        is_biased_away = (token_id, -math.inf) in zip(self.bias_ids, self.biases, strict=True)
        return not is_allowed or is_biased_away or token_id in self.banned_after(token_ids)

    def banned_after(self, token_ids: Sequence[int]) -> tuple[int, ...]:
        """The ids that would complete a bad word at the end of this text."""
        words = self.bad_words.get(token_ids[-1], ()) if self.bad_words else ()
        found = (last for before, last in words if tuple(token_ids[-len(before) :]) == before)
        return (*self.banned_ids, *found) if words else self.banned_ids


def _mask_of(token_ids: tuple[int, ...]) -> array[int]:
    mask = bytearray(max(token_ids, default=-8) // 8 + 1)
    for token_id in token_ids:
        mask[token_id // 8] |= 1 << token_id % 8
    return array("B", mask)


def _by_last_but_one(words: Iterable[tuple[int, ...]]) -> dict[int, list[BadWord]]:
    found: dict[int, list[BadWord]] = {}
    for word in words:
        if len(word) > 1:
            found.setdefault(word[-2], []).append((word[:-1], word[-1]))
    return found


class History:
    """How often each token stands in a text's output, and which stand in its prompt: what penalties ask.

    Goes on by one token at a time and never looks back at the text.
    """

    __slots__ = ("_is_in_prompt", "_slots", "counts", "output_ids", "seen_ids")

    def __init__(self, prompt_ids: frozenset[int] = frozenset()) -> None:
        """
        Args:
            prompt_ids: the distinct ids of the prompt; may be empty where only the output counts.
        """
        self._is_in_prompt = prompt_ids.__contains__  # shared by copies
        self._slots: dict[int, int] = {}  # token id → i
        self.output_ids = ids_of(())  # distinct, in the order in which they came
        self.counts = ids_of(())  # counts[i]: how often output_ids[i] stands in the output
        self.seen_ids = ids_of(prompt_ids)  # distinct ids of prompt and output

    @classmethod
    def of(cls, request: GenerationRequest) -> History | None:
        """The history of a text that has its prompt alone; None where no penalty asks for it."""
        sampling = request.sampling
        if sampling.repetition_penalty != 1.0:
            return cls(frozenset(request.prompt_token_ids))
        return cls() if sampling.frequency_penalty or sampling.presence_penalty else None

    def append(self, token_id: int) -> None:
        """Count a token of the output."""
        slot = self._slots.setdefault(token_id, len(self.output_ids))
        if slot < len(self.output_ids):
            self.counts[slot] += 1
            return
        self.output_ids.append(token_id)
        self.counts.append(1)
        if not self._is_in_prompt(token_id):
            self.seen_ids.append(token_id)

    def copy(self) -> History:
        """The same history, for a text that goes on in another way."""
        other = object.__new__(History)
        other._is_in_prompt, other._slots = self._is_in_prompt, self._slots.copy()
        other.output_ids, other.counts, other.seen_ids = self.output_ids[:], self.counts[:], self.seen_ids[:]
        return other
