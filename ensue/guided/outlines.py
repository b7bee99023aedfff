"""outlines-core as a backend: regular languages only, as an index of the vocabulary over a finite automaton.

The library looks for a match anywhere, and takes the first that is found. A mark before and behind the text, which
stands nowhere else, makes it the only one: a text may end where the closing mark may come next.
"""

from __future__ import annotations

import outlines_core

from ensue.errors import GenerationFailed, InvalidGrammar
from ensue.guided import chars
from ensue.guided.backend import Strictness
from ensue.guided.constraint import Constraint
from ensue.guided.language import regular_language_of
from ensue.guided.llguidance import LlguidanceBackend, regex_source
from ensue.guided.pattern import Call, Chars, Pattern, Rules, map_leaves, one_of
from ensue.guided.payload import built_in_form, data_of, packed
from ensue.guided.render import as_regex
from ensue.guided.vocabulary import BYTES, Vocabulary
from ensue.request import CompiledGrammar

NAME = "outlines"
_MARK = b"\0"
_MARK_RANGES = chars.single("\0")
_MAX_MASKS_BYTES = 16 * 2**20  # of one grammar, in the worker


class OutlinesBackend:
    """Implements `Backend`."""

    def __init__(self, vocabulary: Vocabulary, strictness: Strictness) -> None:
        self._vocabulary = vocabulary
        self._built_in = LlguidanceBackend(BYTES, strictness)
        self._mark_id = len(vocabulary.tokens)
        self._library_vocabulary = outlines_core.Vocabulary(self._mark_id + 1, self._ids_by_token())

    def compile(self, constraint: Constraint) -> CompiledGrammar:
        pattern = map_leaves(regular_language_of(constraint, NAME), _without_mark)
        regex = as_regex(Rules.of(pattern).pruned().patterns["root"])
        grammar = packed(NAME, regex_source(regex), self._index(regex))
        self._built_in.load(built_in_form(grammar))  # it must be readable there, too
        return grammar

    def load(self, grammar: CompiledGrammar) -> OutlinesMatcher:
        index = outlines_core.Index.from_binary(data_of(grammar))
        start = index.get_next_state(index.get_initial_state(), self._mark_id)
        return OutlinesMatcher(_Masks(index, self._vocabulary.num_bitmask_bytes, self._mark_id), start)

    def _ids_by_token(self) -> dict[bytes, list[int]]:
        found: dict[bytes, list[int]] = {_MARK: [self._mark_id]}
        for token_id, token in enumerate(self._vocabulary.tokens):
            if token and token_id not in self._vocabulary.special_ids and _MARK not in token:
                found.setdefault(token, []).append(token_id)
        return found

    def _index(self, regex: str) -> bytes:
        try:
            index = outlines_core.Index(f"\\x00(?:{regex})\\x00", self._library_vocabulary)
        except ValueError as error:
            if "vocabulary" in str(error):
                raise InvalidGrammar("The constraint has texts that cannot be written in the model's tokens.") from None
            raise InvalidGrammar("The constraint is beyond the backend outlines.") from None
        data: bytes = index.__reduce__()[1][0]
        return data


class OutlinesMatcher:
    """Implements `Matcher`. A place is a state of the automaton."""

    def __init__(self, masks: _Masks, state: int) -> None:
        self._masks = masks
        self._state = state

    def bitmask(self) -> bytes:
        return self._masks.at(self._state)

    def accept(self, token_id: int) -> None:
        state = self._masks.index.get_next_state(self._state, token_id)
        if state is None:
            raise GenerationFailed("The token may not stand here.")
        self._state = state

    @property
    def is_accepting(self) -> bool:
        return self._masks.is_end(self._state)

    def fork(self) -> OutlinesMatcher:
        return OutlinesMatcher(self._masks, self._state)


class _Masks:
    """The masks of an index, each made once."""

    def __init__(self, index: outlines_core.Index, num_bytes: int, mark_id: int) -> None:
        self.index = index
        self._num_bytes = num_bytes
        self._mark_id = mark_id
        self._made: dict[int, bytes] = {}

    def is_end(self, state: int) -> bool:
        return self.index.get_next_state(state, self._mark_id) is not None

    def at(self, state: int) -> bytes:
        if state not in self._made:
            if len(self._made) * self._num_bytes > _MAX_MASKS_BYTES:
                self._made.clear()
            self._made[state] = self._mask(self.index.get_allowed_tokens(state) or [])
        return self._made[state]

    def _mask(self, token_ids: list[int]) -> bytes:
        flags = bytearray(8 * self._num_bytes + 1)
        for token_id in token_ids:
            flags[token_id] = 1
        flags[self._mark_id] = 0
        bits = 0
        for bit in range(8):  # all bytes at once, as one large number
            bits |= int.from_bytes(flags[bit : 8 * self._num_bytes : 8], "little") << bit
        return bits.to_bytes(self._num_bytes, "little")


def _without_mark(leaf: Chars | Call) -> Pattern:
    assert isinstance(leaf, Chars)
    return one_of(chars.without(leaf.ranges, _MARK_RANGES))
