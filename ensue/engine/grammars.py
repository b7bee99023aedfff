"""Grammars as the engine worker keeps them: loaded in a thread of their own, a prototype of each, a fork a text."""

from __future__ import annotations

import queue
import threading
from collections import OrderedDict
from collections.abc import Callable

from ensue.errors import GenerationFailed, RequestError
from ensue.guided.backend import WORKER, Matcher
from ensue.guided.backends import Backends
from ensue.guided.vocabulary import Vocabulary
from ensue.request import CompiledGrammar

MAX_PROTOTYPES = 128
MAX_PROTOTYPE_BYTES = 256 * 2**20  # of what they were loaded from
STACK_BYTES = 16 * 2**20  # the prover has less

Loaded = Matcher | RequestError
_Job = tuple[CompiledGrammar, Callable[[Loaded], None]]


class Grammars:
    """Hands out matchers. Called from the step loop's thread, which never waits for it."""

    def __init__(self, vocabulary: Callable[[], Vocabulary]) -> None:
        """
        Args:
            vocabulary: the model's; asked for once, when the first grammar comes, and off the step loop.
        """
        self._vocabulary = vocabulary
        self._prototypes: OrderedDict[bytes, Matcher] = OrderedDict()
        self._num_bytes: dict[bytes, int] = {}  # by digest, of those that are kept
        self._lock = threading.Lock()
        self._jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def get(self, grammar: CompiledGrammar) -> Matcher | None:
        """A matcher at the start of a text, if the grammar is there."""
        with self._lock:
            prototype = self._prototypes.get(grammar.digest)
            if prototype is not None:
                self._prototypes.move_to_end(grammar.digest)
        return None if prototype is None else prototype.fork()

    def load(self, grammar: CompiledGrammar, when_done: Callable[[Loaded], None]) -> None:
        """Load a grammar in the thread, and call back from there with a matcher or with what went wrong."""
        if self._thread is None:
            self._thread = _start(self._run)
        self._jobs.put((grammar, when_done))

    def _run(self) -> None:
        backends: Backends | None = None
        while True:
            grammar, when_done = self._jobs.get()
            try:
                backends = backends or Backends(self._vocabulary(), WORKER)
                when_done(self._load(grammar, backends))
            except RequestError as error:
                when_done(error)
            except Exception as error:  # a request's border: the thread goes on
                when_done(GenerationFailed(f"The grammar cannot be loaded: {type(error).__name__}."))

    def _load(self, grammar: CompiledGrammar, backends: Backends) -> Matcher:
        known = self.get(grammar)  # loaded by a job before this one
        if known is not None:
            return known
        prototype = backends.get(grammar.backend).load(grammar)
        with self._lock:
            self._prototypes[grammar.digest] = prototype
            self._num_bytes[grammar.digest] = len(grammar.payload)
            while len(self._prototypes) > MAX_PROTOTYPES or sum(self._num_bytes.values()) > MAX_PROTOTYPE_BYTES:
                digest, _ = self._prototypes.popitem(last=False)
                del self._num_bytes[digest]
        return prototype.fork()


def _start(run: Callable[[], None]) -> threading.Thread:
    before = threading.stack_size(STACK_BYTES)
    try:
        thread = threading.Thread(target=run, name="grammars", daemon=True)
        thread.start()
    finally:
        threading.stack_size(before)
    return thread
