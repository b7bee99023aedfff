"""Linear layers: every path right, and rows that don't feel one another."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from ensue.errors import ConfigError
from ensue.model import linear as module
from ensue.model.linear import Linear, LinearPath, RowRule, choose_path
from ensue.model.self_test import self_test

can_bfloat16 = pytest.mark.skipif(not module._can_pack(torch.bfloat16), reason="this CPU has no AVX-512")
can_float32 = pytest.mark.skipif(not module._can_pack(torch.float32), reason="oneDNN cannot pack here")
PATHS = [
    pytest.param(LinearPath.BF16_PACKED, torch.bfloat16, marks=can_bfloat16),
    pytest.param(LinearPath.FP32_PACKED, torch.float32, marks=can_float32),
    (LinearPath.PLAIN, torch.float32),
    (LinearPath.PLAIN, torch.bfloat16),
]
every_path = pytest.mark.parametrize(("path", "dtype"), PATHS)


def randn(*size: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed)).to(dtype)


def make(path: LinearPath, dtype: torch.dtype, size: tuple[int, int] = (48, 80), *, has_bias: bool = True) -> Linear:
    layer = Linear(randn(*size, dtype=dtype), randn(size[0], dtype=dtype, seed=1) if has_bias else None, path)
    self_test([layer])
    return layer


@every_path
@pytest.mark.parametrize("rows", [0, 1, 4, 300])
@pytest.mark.parametrize("has_bias", [True, False])
def test_every_step_agrees_with_torch(path: LinearPath, dtype: torch.dtype, rows: int, has_bias: bool) -> None:
    layer, x, other = make(path, dtype, has_bias=has_bias), randn(rows, 80, dtype=dtype), randn(rows, 48, dtype=dtype)
    weight, bias = randn(48, 80, dtype=dtype).double(), randn(48, dtype=dtype, seed=1).double()
    y = F.linear(x.double(), weight, bias if has_bias else None)
    tolerance = 1e-5 if dtype is torch.float32 else 3e-2
    for result, expected in [
        (layer(x), y),
        (layer(x, activation="silu"), F.silu(y)),
        (layer(x, multiply=other), y * other.double()),
        (layer(x, add=other), y + other.double()),
    ]:
        assert result.dtype is dtype
        torch.testing.assert_close(result.double(), expected, rtol=tolerance, atol=tolerance)


@every_path
@pytest.mark.parametrize("size", [(48, 80), (960, 2560), (50, 33)])
def test_a_row_has_the_same_bits_in_any_company(path: LinearPath, dtype: torch.dtype, size: tuple[int, int]) -> None:
    half = randn(size[0], size[1] // 2, dtype=dtype)
    weight = torch.cat((half, half, half[:, : size[1] % 2]), 1)
    layer = Linear(weight, None, path)
    self_test([layer])
    x, other = randn(40, size[1] // 2, dtype=dtype), randn(40, size[0], dtype=dtype) * 2**-20
    x = torch.cat((x, -x, torch.zeros_like(x[:, : size[1] % 2])), 1)  # cancels
    together = results(layer, x, other)
    for rows in (slice(0, 1), slice(39, 40), slice(3, 6), slice(20, 37)):
        assert torch.equal(results(layer, x[rows], other[rows]), together[:, rows])


def results(layer: Linear, x: Tensor, other: Tensor) -> Tensor:
    return torch.stack((layer(x), layer(x, activation="silu"), layer(x, multiply=other), layer(x, add=other)))


@pytest.mark.parametrize("rule", [RowRule(4, 6), RowRule(5, 5)])
@pytest.mark.parametrize("rows", [1, 5, 6, 7, 23])
def test_calls_stay_within_the_rule(monkeypatch: pytest.MonkeyPatch, rule: RowRule, rows: int) -> None:
    layer = Linear(randn(8, 16), None, LinearPath.PLAIN)
    layer.rows = rule
    counts: list[int] = []
    compute = Linear._compute

    def watch(self: Linear, x: Tensor, step: str, other: Tensor | None) -> Tensor:
        counts.append(len(x))
        return compute(self, x, step, other)

    monkeypatch.setattr(Linear, "_compute", watch)
    x, other = randn(rows, 16), randn(rows, 8)
    torch.testing.assert_close(layer(x, multiply=other), F.linear(x, randn(8, 16)) * other)
    assert all(rule.min_rows <= count <= rule.max_rows for count in counts)


def test_inputs_may_be_slices() -> None:
    layer, wide = make(LinearPath.PLAIN, torch.float32), randn(6, 160)
    assert torch.equal(layer(wide[:, 40:120]), layer(wide[:, 40:120].contiguous()))


def test_a_layer_without_fused_steps_refuses_them() -> None:
    layer = Linear(randn(8, 16), None, LinearPath.PLAIN, is_fused=False)
    with pytest.raises(AssertionError):
        layer(randn(4, 16), activation="silu")


@pytest.mark.parametrize(
    ("dtype", "device", "packable", "expected"),
    [
        ("auto", "cpu", {torch.bfloat16, torch.float32}, LinearPath.BF16_PACKED),
        ("bfloat16", "cpu", {torch.bfloat16, torch.float32}, LinearPath.BF16_PACKED),
        ("float32", "cpu", {torch.bfloat16, torch.float32}, LinearPath.FP32_PACKED),
        ("auto", "cpu", {torch.float32}, LinearPath.FP32_PACKED),  # no AVX-512
        ("bfloat16", "cpu", {torch.float32}, LinearPath.PLAIN),
        ("auto", "cpu", set(), LinearPath.PLAIN),
        ("auto", "cuda", {torch.bfloat16, torch.float32}, LinearPath.PLAIN),
    ],
)
def test_the_path_follows_from_what_the_machine_can(
    monkeypatch: pytest.MonkeyPatch, dtype: str, device: str, packable: set[torch.dtype], expected: LinearPath
) -> None:
    monkeypatch.setattr(module, "_can_pack", packable.__contains__)
    assert choose_path("auto", dtype, device) is expected


@pytest.mark.parametrize("path", LinearPath)
def test_a_forced_path_is_taken(monkeypatch: pytest.MonkeyPatch, path: LinearPath) -> None:
    monkeypatch.setattr(module, "_can_pack", lambda _: True)
    assert choose_path(path, "auto", "cpu") is path


@pytest.mark.parametrize(
    ("path", "dtype", "device", "word"),
    [
        ("bf16_packed", "float32", "cpu", "dtype"),
        ("fp32_packed", "bfloat16", "cpu", "dtype"),
        ("bf16_packed", "auto", "cuda", "device"),
        ("fp32_packed", "auto", "cpu", "auto"),
    ],
)
def test_a_forced_path_that_cannot_be_is_refused(
    monkeypatch: pytest.MonkeyPatch, path: str, dtype: str, device: str, word: str
) -> None:
    monkeypatch.setattr(module, "_can_pack", lambda _: False)
    with pytest.raises(ConfigError, match=word):
        choose_path(path, dtype, device)
