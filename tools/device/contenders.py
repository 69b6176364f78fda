"""Who is timed on a device: the contenders of `trueband bench`, and those that only a device has."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from trueband.bench.contenders import CEILING, CONTENDERS, Contender, Work
from trueband.bench.inputs import projections
from trueband.bench.shape import Shape

FLASH = "flash-attention"
# Not compiled, it takes the memory of dense scores.
LEFT_OUT = ("flex",)
FORWARD_ONLY_ON_CPU = ("flex compiled",)


def builders(shape: Shape) -> dict[str, Callable[[Shape], Work]]:
    """{name: what makes the work}, of those that apply to a shape and are installed, ours first."""
    found: dict[str, Callable[[Shape], Work]] = {}
    for entry in CONTENDERS:
        if entry.level == shape.level and entry.name not in LEFT_OUT and entry.installed and _serves(entry, shape):
            found[entry.name] = entry.build
    if shape.level == "operator" and shape.device != "cpu" and find_spec("flash_attn") is not None:
        found[FLASH] = flash
    return found


def _serves(entry: Contender, shape: Shape) -> bool:
    if entry.name in FORWARD_ONLY_ON_CPU:
        return shape.device != "cpu"  # and compiled for a CPU it takes half a minute
    return entry.applies(shape) and not (entry.name == CEILING and shape.level == "generation")


def flash(shape: Shape) -> Work:
    """FlashAttention with a window, on tensors (b, n, h, d)."""
    attention = import_module("flash_attn").flash_attn_func
    inputs = [tensor.detach().transpose(1, 2).contiguous() for tensor in projections(shape)]
    leaves: list[Any] = [tensor.requires_grad_(shape.backward) for tensor in inputs]
    return Work(lambda: attention(*leaves, window_size=(shape.window, shape.window)), leaves)
