"""smoke: the small world, and 200 cases of each dtype, of the fused kernels and of the chunked attention."""

from __future__ import annotations

from typing import Any

from device.commands import check
from device.unit import Context, Unit

DTYPES = {"triton": ("float32", "bfloat16", "float16"), "chunked": ("float64", "float32", "bfloat16", "float16")}
CASES = 200


def units(rehearsed: bool) -> list[Unit]:
    return [Unit(target, of_target, 200, (target,)) for target in DTYPES]


def of_target(context: Context, target: str) -> dict[str, Any]:
    """All checks in every dtype, those of each dtype in a process of its own."""
    if context.rehearsed:
        few = ("--cases", "1", "-k", "matches_reference", "--dtype", "float32")
        return check(context, {"float32": (target, *few)})
    each = {dtype: (target, "--device", "cuda", "--dtype", dtype, "--cases", f"{CASES}") for dtype in DTYPES[target]}
    return check(context, each)
