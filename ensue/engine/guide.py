"""Leads one text through its grammar: which tokens may come next, and which of them may end it."""

from __future__ import annotations

from collections.abc import Iterable

from ensue.guided.backend import Matcher
from ensue.request import GenerationRequest


class Guide:
    """A matcher, and what a request says of ends.

    End tokens are allowed only where the text so far satisfies the constraint. A stop token ends a text only there,
    too; elsewhere it is text like any other. Neither is ever given to the matcher as an end.
    """

    __slots__ = ("_bits", "_end_ids", "_is_accepting", "_matcher", "_stop_ids")

    def __init__(self, matcher: Matcher, end_ids: Iterable[int], stop_ids: Iterable[int]) -> None:
        """
        Args:
            matcher: where the text stands; it now belongs to this guide.

        Raises:
            GenerationFailed: the matcher can't go on.
        """
        self._matcher = matcher
        self._end_ids, self._stop_ids = tuple(end_ids), tuple(stop_ids)
        self._look()

    @classmethod
    def of(cls, matcher: Matcher, request: GenerationRequest) -> Guide:
        """For a request, after the tokens that it has already."""
        guide = cls(matcher, request.end_token_ids, request.stop_token_ids)
        for token_id in request.resumed_token_ids:
            guide.accept(token_id)
        return guide

    def fork(self) -> Guide:
        """For a text that goes on in another way."""
        other = object.__new__(Guide)
        other._matcher, other._bits, other._is_accepting = self._matcher.fork(), self._bits, self._is_accepting
        other._end_ids, other._stop_ids = self._end_ids, self._stop_ids
        return other

    @property
    def mask(self) -> bytes:
        """Tokens that may come next, ends among them: bit (id mod 8) of byte (id div 8); none beyond the last byte."""
        mask = bytearray(self._bits)
        for token_id in self._end_ids:
            _set_bit(mask, token_id, self._is_accepting)
        if self._is_accepting:
            for token_id in self._stop_ids:
                _set_bit(mask, token_id, True)
        return bytes(mask)

    @property
    def is_accepting(self) -> bool:
        """Whether the text so far satisfies the constraint."""
        return self._is_accepting

    @property
    def is_complete(self) -> bool:
        """Whether it does, and nothing but an end may follow."""
        return self._is_accepting and not any(self._bits)

    @property
    def only_token(self) -> int | None:
        """The token that must come next, where no other may."""
        bits = int.from_bytes(self.mask, "little")
        return bits.bit_length() - 1 if bits.bit_count() == 1 else None

    def accept(self, token_id: int) -> None:
        """Go on by a token of the mask that ends nothing.

        Raises:
            GenerationFailed: the matcher can't go on.
        """
        self._matcher.accept(token_id)
        self._look()

    def _look(self) -> None:
        self._bits = self._matcher.bitmask()
        self._is_accepting = self._matcher.is_accepting


def _set_bit(mask: bytearray, token_id: int, value: bool) -> None:
    byte, bit = divmod(token_id, 8)
    if value:
        mask.extend(bytes(max(0, byte + 1 - len(mask))))
        mask[byte] |= 1 << bit
    elif byte < len(mask):
        mask[byte] &= ~(1 << bit)
