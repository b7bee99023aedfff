"""A sandbox for chat templates in which a rendering costs no more than its bounds: time, and characters made.

A template is a program. It may come from a stranger with a model, and what it loops through comes from callers.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from jinja2 import Template, nodes
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

MAX_RENDER_S = 5.0  # of CPU time
MAX_CHARS = 32 * 2**20  # of one value, and of all that is written out
MAX_BITS = 4096  # of a whole number
MAX_COUNT = 1 << 20  # of a width, an indent, a size
_COUNTING_FILTERS = ("batch", "center", "indent", "slice")


class TooCostlyError(Exception):
    """The rendering has reached a bound."""


class _Spent:
    """What one rendering may still use."""

    def __init__(self) -> None:
        self._end = time.thread_time() + MAX_RENDER_S
        self._num_chars = MAX_CHARS

    def check_time(self) -> None:
        if time.thread_time() > self._end:
            raise TooCostlyError

    def count(self, num_chars: int) -> None:
        self._num_chars -= num_chars
        if self._num_chars < 0:
            raise TooCostlyError


_spent: ContextVar[_Spent | None] = ContextVar("spent", default=None)  # None: nothing is rendered


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """Compiles templates that count; `rendering` gives them their bounds."""

    intercepted_binops = frozenset(("+", "*", "**"))

    def __init__(self, **options: Any) -> None:
        super().__init__(finalize=_finalized, **options)
        self.filters["joined"] = _joined
        self.filters |= {name: _with_bounded_counts(self.filters[name]) for name in _COUNTING_FILTERS}

    def compiled(self, tree: nodes.Template) -> Template:
        """A template whose loops and macros look at the time, and whose values don't grow without bound."""
        kinds: tuple[type[Any], ...] = (nodes.For, nodes.Macro, nodes.CallBlock)
        for kind in kinds:
            for repeated in tree.find_all(kind):
                step = nodes.Call(nodes.EnvironmentAttribute("step"), [], [], None, None)
                repeated.body.insert(0, nodes.ExprStmt(step).set_lineno(repeated.lineno))
        return self.from_string(_Joins(self).visit(tree))

    @contextmanager
    def rendering(self) -> Iterator[None]:
        """Raises TooCostlyError from within."""
        token = _spent.set(_Spent())
        try:
            yield
        finally:
            _spent.reset(token)

    def step(self) -> None:
        if (spent := _spent.get()) is not None:
            spent.check_time()

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if _is_too_large(operator, left, right):
            raise TooCostlyError
        return super().call_binop(context, operator, left, right)

    def call(self, context: Context, function: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(getattr(function, "__self__", None), str):  # "a".ljust(10**9); `range` has a bound of its own
            _check_counts(args, kwargs)
        return super().call(context, function, *args, **kwargs)


class _Joins(NodeTransformer):
    """`a ~ b` as a filter, as there is no other place to look at its result."""

    def __init__(self, environment: BoundedEnvironment) -> None:
        self._environment = environment

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802 - the library's way
        self.generic_visit(node)
        joined = nodes.Filter(nodes.List(node.nodes), "joined", [], [], None, None)
        return joined.set_lineno(node.lineno).set_environment(self._environment)


def _joined(values: list[Any]) -> str:
    texts = [str(value) for value in values]
    if sum(map(len, texts)) > MAX_CHARS:
        raise TooCostlyError
    return "".join(texts)


def _finalized(value: object) -> str:
    """What is written out, counted; constants are written when the template is compiled."""
    text = str(value)
    if (spent := _spent.get()) is not None:
        spent.count(len(text))
    return text


def _is_too_large(operator: str, left: Any, right: Any) -> bool:
    match operator, left, right:
        case "+", str() | list() | tuple(), str() | list() | tuple():
            return len(left) + len(right) > MAX_CHARS
        case "*", str() | list() | tuple(), int():
            return len(left) * right > MAX_CHARS
        case "*", int(), str() | list() | tuple():
            return left * len(right) > MAX_CHARS
        case "*", int(), int():
            return left.bit_length() + right.bit_length() > MAX_BITS
        case "**", int(), int():
            return left.bit_length() * abs(right) > MAX_BITS
    return False


def _check_counts(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    if any(isinstance(value, int) and value > MAX_COUNT for value in (*args, *kwargs.values())):
        raise TooCostlyError


def _with_bounded_counts(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def bounded(*args: Any, **kwargs: Any) -> Any:
        _check_counts(args, kwargs)
        return function(*args, **kwargs)

    return bounded
