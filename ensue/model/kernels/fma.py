"""x · y + z of float64, rounded once: the one operation that kernels need and Python has no sign for."""

# Numba infers the type of an operation from its parameters; its code gets values instead.
# ruff: noqa: ARG001

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types

from ensue.model.kernels.vectors import declare, intrinsic

_DOUBLE = ir.DoubleType()


@intrinsic
def fma(context: Any, x: Any, y: Any, z: Any) -> Any:
    """x · y + z; loops of it run in vectors."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        function = declare(builder.module, ir.FunctionType(_DOUBLE, [_DOUBLE] * 3), "llvm.fma.f64")
        return builder.call(function, values)

    return types.float64(types.float64, types.float64, types.float64), generate
