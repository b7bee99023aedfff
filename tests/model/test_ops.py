"""Row-local operations: right, and a row's bits are its own."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ensue.model import ops, torch_ops

TYPES = [(torch.float32, 1e-6), (torch.bfloat16, 1e-2)]


def randn(*size: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed)).to(dtype)


def rotary(head_dim: int, length: int = 64) -> Tensor:
    return ops.rope_table(10000.0 ** -(torch.arange(0, head_dim, 2) / head_dim), length)


@pytest.mark.parametrize("size", [1, 15, 16, 20, 960])
@pytest.mark.parametrize(("dtype", "tolerance"), TYPES)
def test_rms_norm_agrees_with_the_definition(size: int, dtype: torch.dtype, tolerance: float) -> None:
    x, weight = randn(7, size, dtype=dtype), randn(size, dtype=dtype, seed=1)
    expected = torch_ops.rms_norm(x.double(), weight.double(), 1e-5)
    torch.testing.assert_close(
        ops.rms_norm(x, weight, 1e-5).double(), expected.double(), rtol=tolerance, atol=tolerance
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_row_normed_alone_or_among_many_has_the_same_bits(dtype: torch.dtype) -> None:
    x, weight = randn(200, 200, dtype=dtype), randn(200, dtype=dtype)
    many = ops.rms_norm(x, weight, 1e-6)
    assert torch.equal(many, torch.cat([ops.rms_norm(row[None], weight, 1e-6) for row in x]))


def test_rms_norm_rounds_half_to_even() -> None:
    x = torch.tensor([[1.0, 1.0]], dtype=torch.bfloat16)
    odd, even = 1 + 1.5 * 2**-7, 1 + 0.5 * 2**-7  # half way between two neighbours in bfloat16
    result = ops.rms_norm(x * 4, torch.tensor([odd, even]).bfloat16(), 0.0)
    assert torch.equal(result, torch.tensor([[odd, even]]).bfloat16())


@pytest.mark.parametrize(("heads", "kv_heads", "head_dim"), [(4, 2, 64), (3, 1, 20), (2, 2, 2), (2, 1, 96)])
@pytest.mark.parametrize(("dtype", "tolerance"), TYPES)
@pytest.mark.parametrize("has_norm", [True, False])
def test_rope_agrees_with_rotate_half(
    heads: int, kv_heads: int, head_dim: int, dtype: torch.dtype, tolerance: float, has_norm: bool
) -> None:
    q, k = randn(9, heads, head_dim, dtype=dtype), randn(9, kv_heads, head_dim, dtype=dtype, seed=1)
    norms = [randn(head_dim, dtype=dtype, seed=seed) if has_norm else None for seed in (2, 3)]
    positions = torch.arange(20, 29, dtype=torch.int32)
    turned = ops.rope(q, k, positions, rotary(head_dim), q_norm=norms[0], k_norm=norms[1], eps=1e-6)
    for x, norm, result in zip((q, k), norms, turned, strict=True):
        torch.testing.assert_close(
            result.float(), rotate_half(x, positions, norm), rtol=tolerance, atol=3 * tolerance, check_dtype=False
        )


def rotate_half(x: Tensor, positions: Tensor, norm: Tensor | None) -> Tensor:
    """As in Hugging Face's models: x · cos + rotate_half(x) · sin."""
    head_dim = x.shape[-1]
    wide = x.float() if norm is None else torch_ops.rms_norm(x.float(), norm.float(), 1e-6)
    angles = torch.outer(positions.float(), 10000.0 ** -(torch.arange(0, head_dim, 2) / head_dim))
    angles = torch.cat((angles, angles), dim=-1)[:, None]
    first, second = wide.chunk(2, dim=-1)
    return wide * angles.cos() + torch.cat((-second, first), dim=-1) * angles.sin()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_row_turned_alone_or_among_many_has_the_same_bits(dtype: torch.dtype) -> None:
    q, k, norm = randn(40, 30, 32, dtype=dtype), randn(40, 2, 32, dtype=dtype), randn(32, dtype=dtype)
    positions, table = torch.arange(40, dtype=torch.int32), rotary(32)
    many, _ = ops.rope(q, k, positions, table, q_norm=norm, k_norm=norm, eps=1e-6)
    for i in (0, 17, 39):
        rows = slice(i, i + 1)
        one, _ = ops.rope(q[rows], k[rows], positions[rows], table, q_norm=norm, k_norm=norm, eps=1e-6)
        assert torch.equal(one, many[rows])


def test_rope_takes_slices_of_a_wider_tensor() -> None:
    both, positions = randn(5, 6, 16), torch.arange(5, dtype=torch.int32)
    q, k = ops.rope(both[:, :4], both[:, 4:], positions, rotary(16))
    expected = ops.rope(both[:, :4].contiguous(), both[:, 4:].contiguous(), positions, rotary(16))
    assert torch.equal(q, expected[0])
    assert torch.equal(k, expected[1])


def test_a_position_beyond_the_table_is_caught() -> None:
    x = randn(1, 2, 16)
    with pytest.raises(AssertionError):
        ops.rope(x, x, torch.tensor([64], dtype=torch.int32), rotary(16, length=64))


def test_the_way_of_other_devices_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight, positions = randn(3, 4, 16), randn(16), torch.arange(3, dtype=torch.int32)
    normed, turned = ops.rms_norm(x, weight, 1e-6), ops.rope(x, x, positions, rotary(16))[0]
    monkeypatch.setattr("ensue.model.ops.is_for_kernels", lambda _: False)
    torch.testing.assert_close(ops.rms_norm(x, weight, 1e-6), normed)
    torch.testing.assert_close(ops.rope(x, x, positions, rotary(16))[0], turned)


def test_rope_table_holds_scaled_cosines_and_sines() -> None:
    table = ops.rope_table(torch.tensor([1.0, 0.5]), 4, scale=2.0)
    assert table.shape == (4, 2, 2)
    angles = torch.tensor([3.0, 1.5])
    torch.testing.assert_close(table[3], torch.stack((2 * angles.cos(), 2 * angles.sin())))
