"""Sixteen float32 as one value, so that a kernel says which numbers run side by side and no compiler has to guess.

Every operation is exact to the bit: nothing is reassociated or contracted, the only fused operation is `fma`. Arrays
are contiguous, of float32, or of uint16 that hold bfloat16; `offset` counts elements from their beginning, unchecked.
On a CPU with shorter vectors a value takes several registers; the bits stay the same.
"""

# Numba infers the type of an operation from its parameters; its code gets values instead.
# ruff: noqa: ARG001, ARG005

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic as numba_intrinsic
from numba.extending import models, overload, register_model

from ensue.model.kernels.jit import kernel

Array = npt.NDArray[Any]
Vector = Any  # a Float32x16, as far as Python's types go

LANES = 16

_FLOAT, _INT, _SHORT = ir.FloatType(), ir.IntType(32), ir.IntType(16)
_FLOATS, _INTS, _SHORTS = (ir.VectorType(kind, LANES) for kind in (_FLOAT, _INT, _SHORT))


class Float32x16(types.Type):
    """The type, for Numba's inference."""

    def __init__(self) -> None:
        super().__init__(name="Float32x16")


@register_model(Float32x16)
class _Model(models.PrimitiveModel):
    def __init__(self, manager: Any, numba_type: Any) -> None:
        super().__init__(manager, numba_type, _FLOATS)  # type: ignore[no-untyped-call]


_vector = Float32x16()
_float = types.float32
_int = types.int64
_Emitted = tuple[Any, Callable[..., Any]]

declare: Callable[..., Any] = cgutils.get_or_insert_function
intrinsic: Callable[[Callable[..., _Emitted]], Callable[..., Any]] = numba_intrinsic


def _emit(signature: Any, emit: Callable[..., Any]) -> _Emitted:
    """What an intrinsic returns: its type, and `emit(builder, *values)` for its code."""
    return signature, lambda context, builder, signature, values: emit(builder, *values)


def _number(number: int, kind: Any) -> ir.Constant:
    """A constant of a type, in all lanes if it has lanes."""
    return ir.Constant(kind, [number] * LANES if isinstance(kind, ir.VectorType) else number)


def _splat(builder: Any, x: Any, kind: ir.VectorType) -> Any:
    single = builder.insert_element(ir.Constant(kind, ir.Undefined), x, _INT(0))
    return builder.shuffle_vector(single, ir.Constant(kind, ir.Undefined), _number(0, _INTS))


@intrinsic
def splat(context: Any, x: Any) -> _Emitted:
    """The same number in all lanes."""
    return _emit(_vector(_float), lambda b, x: _splat(b, x, _FLOATS))


@intrinsic
def fma(context: Any, x: Any, y: Any, z: Any) -> _Emitted:
    """x · y + z, rounded once."""

    def emit(b: Any, *values: Any) -> Any:
        name = f"llvm.fma.v{LANES}f32"
        function = declare(b.module, ir.FunctionType(_FLOATS, [_FLOATS] * 3), name)
        return b.call(function, values)

    return _emit(_vector(_vector, _vector, _vector), emit)


@intrinsic
def _add(context: Any, x: Any, y: Any) -> _Emitted:
    return _emit(_vector(_vector, _vector), lambda b, x, y: b.fadd(x, y))


@intrinsic
def _subtract(context: Any, x: Any, y: Any) -> _Emitted:
    return _emit(_vector(_vector, _vector), lambda b, x, y: b.fsub(x, y))


@intrinsic
def _multiply(context: Any, x: Any, y: Any) -> _Emitted:
    return _emit(_vector(_vector, _vector), lambda b, x, y: b.fmul(x, y))


@intrinsic
def _divide(context: Any, x: Any, y: Any) -> _Emitted:
    return _emit(_vector(_vector, _vector), lambda b, x, y: b.fdiv(x, y))


def _operate(symbol: Callable[..., Any], operation: Callable[..., Any]) -> None:
    """Let `symbol` stand for `operation` between vectors."""

    @overload(symbol)
    def _typed(a, b):  # type: ignore[no-untyped-def]
        if isinstance(a, Float32x16) and isinstance(b, Float32x16):
            return lambda a, b: operation(a, b)
        return None


for _symbol, _operation in (
    (operator.add, _add),
    (operator.sub, _subtract),
    (operator.mul, _multiply),
    (operator.truediv, _divide),
):
    _operate(_symbol, _operation)


@intrinsic
def larger(context: Any, x: Any, y: Any) -> _Emitted:
    """x where it is larger, else y: a NaN in x is passed over."""
    return _emit(_vector(_vector, _vector), lambda b, x, y: b.select(b.fcmp_ordered(">", x, y), x, y))


@intrinsic
def select_below(context: Any, x: Any, limit: Any, yes: Any, no: Any) -> _Emitted:
    """`yes` in the lanes where x < limit, else `no`."""

    def emit(b: Any, x: Any, limit: Any, yes: Any, no: Any) -> Any:
        return b.select(b.fcmp_ordered("<", x, limit), yes, no)

    return _emit(_vector(_vector, _vector, _vector, _vector), emit)


@intrinsic
def select_lanes(context: Any, x: Any, first: Any, end: Any, otherwise: Any) -> _Emitted:
    """x in lanes [first, end), else `otherwise`; the bounds may lie outside the lanes."""

    def emit(b: Any, x: Any, first: Any, end: Any, otherwise: Any) -> Any:
        lanes = ir.Constant(_INTS, list(range(LANES)))
        first, end = (_splat(b, b.trunc(bound, _INT), _INTS) for bound in (first, end))
        is_in = b.and_(b.icmp_signed(">=", lanes, first), b.icmp_signed("<", lanes, end))
        return b.select(is_in, x, otherwise)

    return _emit(_vector(_vector, _int, _int, _vector), emit)


@intrinsic
def _times_power(context: Any, x: Any, shifted: Any) -> _Emitted:
    """x · 2^n, where n stands in the low bits of `shifted`."""

    def emit(b: Any, x: Any, shifted: Any) -> Any:
        biased = b.add(b.bitcast(shifted, _INTS), _number(127, _INTS))
        return b.fmul(x, b.bitcast(b.shl(biased, _number(23, _INTS)), _FLOATS))

    return _emit(_vector(_vector, _vector), emit)


@intrinsic
def add_lanes(context: Any, x: Any) -> _Emitted:
    """The sum of all lanes: halves added onto one another."""

    def emit(b: Any, x: Any) -> Any:
        half = LANES // 2
        while half:
            order = [(lane + half) % LANES for lane in range(LANES)]
            x = b.fadd(x, b.shuffle_vector(x, x, ir.Constant(_INTS, order)))
            half //= 2
        return b.extract_element(x, _INT(0))

    return _emit(_float(_vector), emit)


@intrinsic
def first_lane(context: Any, x: Any) -> _Emitted:
    return _emit(_float(_vector), lambda b, x: b.extract_element(x, _INT(0)))


@intrinsic
def largest_lane(context: Any, x: Any) -> _Emitted:
    """The largest of all lanes."""

    def emit(b: Any, x: Any) -> Any:
        half = LANES // 2
        while half:
            other = b.shuffle_vector(x, x, ir.Constant(_INTS, [(lane + half) % LANES for lane in range(LANES)]))
            x = b.select(b.fcmp_ordered(">", other, x), other, x)
            half //= 2
        return b.extract_element(x, _INT(0))

    return _emit(_float(_vector), emit)


def _pointer(context: Any, builder: Any, array: Any, values: Any, kind: Any) -> Any:
    """Where `kind` begins, for the type of an array and values (array, offset, …)."""
    data = context.make_array(array)(context, builder, values[0]).data
    return builder.bitcast(builder.gep(data, [values[1]]), kind.as_pointer())


def _is_bfloat16(array: Any) -> bool:
    assert array.layout == "C", "vectors are read from contiguous arrays"
    return bool(array.dtype == types.uint16)


def _emit_load(array: Any, like: Any, floats: Any, ints: Any, shorts: Any) -> _Emitted:
    def generate(context: Any, b: Any, signature: Any, values: Any) -> Any:
        if not _is_bfloat16(array):
            return b.load(_pointer(context, b, array, values, floats), align=4)
        bits = b.zext(b.load(_pointer(context, b, array, values, shorts), align=2), ints)
        return b.bitcast(b.shl(bits, _number(16, ints)), floats)

    return like(array, _int), generate


def _emit_store(array: Any, like: Any, floats: Any, ints: Any, shorts: Any) -> _Emitted:
    def generate(context: Any, b: Any, signature: Any, values: Any) -> None:
        x = values[2]
        if not _is_bfloat16(array):
            b.store(x, _pointer(context, b, array, values, floats), align=4)
            return
        bits = b.bitcast(x, ints)
        lowest = b.and_(b.lshr(bits, _number(16, ints)), _number(1, ints))
        rounded = b.lshr(b.add(bits, b.add(lowest, _number(0x7FFF, ints))), _number(16, ints))
        halves = b.trunc(b.select(b.fcmp_unordered("uno", x, x), _number(0x7FC0, ints), rounded), shorts)
        b.store(halves, _pointer(context, b, array, values, shorts), align=2)

    return types.void(array, _int, like), generate


@intrinsic
def load(context: Any, array: Any, offset: Any) -> _Emitted:
    """Sixteen elements from `offset`, widened to float32."""
    return _emit_load(array, _vector, _FLOATS, _INTS, _SHORTS)


@intrinsic
def store(context: Any, array: Any, offset: Any, x: Any) -> _Emitted:
    """Sixteen elements to `offset`; bfloat16 is rounded half to even, and a NaN stays one."""
    return _emit_store(array, _vector, _FLOATS, _INTS, _SHORTS)


@intrinsic
def load_one(context: Any, array: Any, offset: Any) -> _Emitted:
    """One element, widened to float32."""
    return _emit_load(array, _float, _FLOAT, _INT, _SHORT)


@intrinsic
def store_one(context: Any, array: Any, offset: Any, x: Any) -> _Emitted:
    """One element, rounded as by `store`."""
    return _emit_store(array, _float, _FLOAT, _INT, _SHORT)


_ROUND_TO_WHOLE = np.float32(12582912.0)  # 1.5 · 2²³: adding it leaves the nearest whole number in the low bits
_LEAST_EXPONENT = np.float32(-126.0)  # of a normal number; below it, 0
_ZERO = np.float32(0.0)
# 2^r for r in ±1/2: Taylor series in r · ln 2, cut where terms are 5e-9 of the sum
_C0 = np.float32(1.0)
_C1 = np.float32(0.6931471805599453)
_C2 = np.float32(0.2402265069591007)
_C3 = np.float32(0.05550410866482158)
_C4 = np.float32(0.009618129107628477)
_C5 = np.float32(0.0013333558146428443)
_C6 = np.float32(0.00015403530393381608)
_C7 = np.float32(1.5252733804059841e-05)


@kernel
def exp2(x: Vector) -> Vector:
    """2^x for x ≤ 0, within 2 units of the last bit; 0 below −126 and for −inf; a NaN stays one."""
    shifted = x + splat(_ROUND_TO_WHOLE)
    r = x - (shifted - splat(_ROUND_TO_WHOLE))
    p = fma(splat(_C7), r, splat(_C6))
    p = fma(p, r, splat(_C5))
    p = fma(p, r, splat(_C4))
    p = fma(p, r, splat(_C3))
    p = fma(p, r, splat(_C2))
    p = fma(p, r, splat(_C1))
    p = fma(p, r, splat(_C0))
    return select_below(x, splat(_LEAST_EXPONENT), splat(_ZERO), _times_power(p, shifted))
