"""xgrammar as a backend. It is given rules of characters, never a schema or a regex, of which it ignores parts."""

from __future__ import annotations

import time

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
    """Implements `Matcher`."""

    def __init__(self, matcher: xgrammar.GrammarMatcher, vocabulary: Vocabulary, step_cpu_s: float) -> None:
        self._matcher = matcher
        self._vocabulary = vocabulary
        self._step_cpu_s = step_cpu_s

    def bitmask(self) -> bytes:
        num_tokens = len(self._vocabulary.tokens)
        words = np.full((1, (num_tokens + 1 + 31) // 32), -1, dtype=np.int32)
        start = time.thread_time()
        try:
            self._matcher.fill_next_token_bitmask(words)
        except RuntimeError:
            raise GenerationFailed("The constraint became too complex.") from None
        if time.thread_time() - start > self._step_cpu_s:  # the library has no limit of its own
            raise GenerationFailed("The constraint became too complex.")
        return self._without_end(words.tobytes())

    def _without_end(self, bits: bytes) -> bytes:
        last, bit = divmod(len(self._vocabulary.tokens), 8)
        return bits[:last] + (bytes([bits[last] & (1 << bit) - 1]) if bit else b"")

    def accept(self, token_id: int) -> None:
        if not self._matcher.accept_token(token_id):
            raise GenerationFailed("The token may not stand here.")

    @property
    def is_accepting(self) -> bool:
        return bool(self._matcher.is_completed())

    def fork(self) -> XgrammarMatcher:
        return XgrammarMatcher(self._matcher.fork(), self._vocabulary, self._step_cpu_s)
