"""xgrammar as a backend. It is given rules of characters, never a schema or a regex, of which it ignores parts."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import numpy as np
import xgrammar

from ensue.errors import GenerationFailed, InvalidGrammar
from ensue.guided.backend import Strictness
from ensue.guided.constraint import Constraint
from ensue.guided.language import language_of
from ensue.guided.llguidance import LlguidanceBackend, with_options
from ensue.guided.payload import built_in_form, data_of, packed
from ensue.guided.render import as_ebnf, as_lark
from ensue.guided.unroll import shortened, unrolled
from ensue.guided.vocabulary import BYTES, Vocabulary
from ensue.request import CompiledGrammar

NAME = "xgrammar"
_SPARE_STEPS = 4  # of the longest kind, that a text may take beside the mean
_MEAN_S = 0.01  # a token
_TOO_COMPLEX = "The constraint became too complex."


class XgrammarBackend:
    """Implements `Backend`."""

    def __init__(self, vocabulary: Vocabulary, strictness: Strictness) -> None:
        self._vocabulary = vocabulary
        self._built_in = LlguidanceBackend(BYTES, strictness)
        self._step_cpu_s = strictness.step_cpu_s
        tokens = [b"" if i in vocabulary.special_ids else token for i, token in enumerate(vocabulary.tokens)]
        end_id = len(tokens)  # of our own: it never comes
        self._info = xgrammar.TokenizerInfo(
            [*tokens, b"\xff<end>"], xgrammar.VocabType.RAW, stop_token_ids=[end_id], add_prefix_space=False
        )
        self._compiler = xgrammar.GrammarCompiler(self._info, max_threads=1, cache_enabled=False)

    def compile(self, constraint: Constraint) -> CompiledGrammar:
        rules = shortened(language_of(constraint, NAME).joined())
        try:
            data = self._compiler.compile_grammar(as_ebnf(unrolled(rules))).serialize_json().encode()
        except RuntimeError:
            raise InvalidGrammar("The constraint is beyond the backend xgrammar.") from None
        grammar = packed(NAME, with_options(as_lark(rules)), data)
        self._built_in.load(built_in_form(grammar))  # it must be readable there, too
        return grammar

    def load(self, grammar: CompiledGrammar) -> XgrammarMatcher:
        compiled = xgrammar.CompiledGrammar.deserialize_json(data_of(grammar).decode(), self._info)
        return XgrammarMatcher(xgrammar.GrammarMatcher(compiled), self._vocabulary, self._step_cpu_s)


class XgrammarMatcher:
    """Implements `Matcher`. The library counts no fuel, so its time is counted, by step and over a whole text."""

    def __init__(self, matcher: xgrammar.GrammarMatcher, vocabulary: Vocabulary, step_cpu_s: float) -> None:
        self._matcher = matcher
        self._vocabulary = vocabulary
        self._step_cpu_s = step_cpu_s
        self._left_s = _SPARE_STEPS * step_cpu_s

    def bitmask(self) -> bytes:
        num_tokens = len(self._vocabulary.tokens)
        words = np.full((1, (num_tokens + 1 + 31) // 32), -1, dtype=np.int32)
        with self._timed():
            self._matcher.fill_next_token_bitmask(words)
        return self._without_end(words.tobytes())

    def accept(self, token_id: int) -> None:
        with self._timed():
            is_accepted = self._matcher.accept_token(token_id)
        if not is_accepted:
            raise GenerationFailed("The token may not stand here.")
        self._left_s += _MEAN_S

    @property
    def is_accepting(self) -> bool:
        return bool(self._matcher.is_completed())

    def fork(self) -> XgrammarMatcher:
        other = XgrammarMatcher(self._matcher.fork(), self._vocabulary, self._step_cpu_s)
        other._left_s = self._left_s
        return other

    @contextlib.contextmanager
    def _timed(self) -> Iterator[None]:
        start = time.thread_time()
        try:
            yield
        except RuntimeError:
            raise GenerationFailed(_TOO_COMPLEX) from None
        spent = time.thread_time() - start
        self._left_s -= spent
        if spent > self._step_cpu_s or self._left_s < 0:
            raise GenerationFailed(_TOO_COMPLEX)

    def _without_end(self, bits: bytes) -> bytes:
        last, bit = divmod(len(self._vocabulary.tokens), 8)
        return bits[:last] + (bytes([bits[last] & (1 << bit) - 1]) if bit else b"")
