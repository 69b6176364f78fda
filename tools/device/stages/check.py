"""check: the full tier of the gate on the fused kernels: all dtypes, tf32 on and off, forward and backward."""

from __future__ import annotations

from typing import Any

from device.commands import check
from device.unit import Context, Unit

TF32 = "trueband.gpu.triton:tf32"
RUNS = {
    "float32": ("triton", "--dtype", "float32"),
    "tf32": (TF32, "--dtype", "float32"),
    "bfloat16": ("triton", "--dtype", "bfloat16"),
    "float16": ("triton", "--dtype", "float16"),
}
PASSES = {"forward": "not gradient", "backward": "gradient"}


def units(rehearsed: bool) -> list[Unit]:
    return [Unit(name, of_pass, 225, (name,)) for name in PASSES]


def of_pass(context: Context, name: str) -> dict[str, Any]:
    """The checks of one pass, every dtype in a process of its own. What has no time is told."""
    if context.rehearsed:
        few = {"forward": "matches_reference", "backward": "gradients_match_reference"}
        return check(context, {"tf32": (*RUNS["tf32"], "--cases", "1", "-k", few[name])})
    chosen = ("--device", "cuda", "--tier", "full", "-k", PASSES[name])
    return check(context, {run: (*arguments, *chosen) for run, arguments in RUNS.items()})
