"""The ceilings of a device, measured: what its memory and its matrix units give in one large copy and one product."""

from __future__ import annotations

import functools

from device.cuda import Device


@functools.cache
def bandwidth(device: Device) -> float:
    """Bytes per second of a large copy on the device, those read and those written."""
    import torch

    size = 1 << (16 if device.rehearsed else 31)
    source = torch.randint(0, 100, (size,), dtype=torch.int8, device=device.name)
    target = torch.empty_like(source)
    return 2 * size / device.median(lambda: target.copy_(source))


@functools.cache
def products(device: Device, kind: str) -> float:
    """Operations per second of a large product of matrices of random numbers, two for each multiply-add.

    Args:
        kind: the dtype of the factors, or "tf32": float32, cut to it.
    """
    import torch

    dtype = torch.float32 if kind == "tf32" else getattr(torch, kind)
    side = 64 if device.rehearsed else 8192 if kind != "float32" else 4096
    left, right = (torch.randn(side, side, device=device.name).to(dtype) for _ in range(2))
    output = torch.empty(side, side, dtype=dtype, device=device.name)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if kind == "tf32" else "highest")
    try:
        return 2 * side**3 / device.median(lambda: torch.mm(left, right, out=output))
    finally:
        torch.set_float32_matmul_precision(before)
