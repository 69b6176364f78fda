"""Kernels that the gates of compiled code accept and refuse. Their functions are named to `trueband compile`."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import triton
import triton.language as tl

from trueband.properties.gpu.aot.kernel import Kernel


@triton.jit
def product(x, y, z, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr, PRECISION: tl.constexpr):
    rows, columns, inner = tl.arange(0, M), tl.arange(0, N), tl.arange(0, K)
    left = tl.load(x + rows[:, None] * K + inner[None, :])
    right = tl.load(y + inner[:, None] * N + columns[None, :])
    tl.store(z + rows[:, None] * N + columns[None, :], tl.dot(left, right, input_precision=PRECISION))


@triton.autotune(configs=[triton.Config({"BLOCK": 32}), triton.Config({"BLOCK": 64}, num_warps=8)], key=["n"])
@triton.jit
def double(x, y, n, BLOCK: tl.constexpr):
    places = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(y + places, 2 * tl.load(x + places, mask=places < n), mask=places < n)


@triton.jit
def odd_range(x, BLOCK: tl.constexpr):
    tl.store(x + tl.arange(0, BLOCK), 1.0)


def multiply(rows: int, columns: int, inner: int, dtype: torch.dtype, precision: str = "ieee") -> None:
    x, y, z = torch.ones(rows, inner, dtype=dtype), torch.ones(inner, columns, dtype=dtype), torch.ones(rows, columns)
    product[(1,)](x, y, z, rows, columns, inner, precision)


def right() -> None:
    """Tensor cores for all formats, and none for float32."""
    for dtype in (torch.bfloat16, torch.float16):
        multiply(64, 64, 64, dtype)
    multiply(64, 64, 32, torch.float32, "tf32")
    multiply(32, 32, 16, torch.float32)


def spills() -> None:
    multiply(128, 128, 64, torch.float32)


def too_much_shared() -> None:
    multiply(256, 256, 256, torch.bfloat16)


def too_small_for_tensor_cores() -> None:
    """AMD's compiler takes it, and multiplies one number at a time."""
    multiply(4, 4, 4, torch.bfloat16)


def products_wanted() -> list[Kernel]:
    """A kernel that is declared to multiply matrices, and does not."""
    signature = {"x": "*fp16", "y": "*fp16", "n": "i32", "BLOCK": "constexpr"}
    return [Kernel("double", double.fn, target, signature, {"BLOCK": 64}, products=True) for target in ("sm_80",)]


def does_not_compile() -> None:
    x = torch.ones(4)
    odd_range[(1,)](x, BLOCK=3)
    odd_range[(1,)](x, BLOCK=4)


def autotuned(target: str) -> None:
    """Every configuration is compiled, and sanitized."""
    assert target in ("sm_90", "cpu")
    for n in (5, 64):
        x = torch.ones(n)
        double[lambda meta, n=n: (triton.cdiv(n, meta["BLOCK"]),)](x, torch.empty_like(x), n)


def raises() -> None:
    multiply(16, 16, 16, torch.float16)
    raise OverflowError("on purpose")


def yields() -> Iterator[Kernel]:
    """Launches a kernel, and gives another."""
    multiply(16, 16, 16, torch.float16)
    yield Kernel("odd", odd_range, "sm_80", {"x": "*fp32", "BLOCK": "constexpr"}, {"BLOCK": 4})


def nothing() -> None:
    """Launches no kernel."""
