"""Faults planted in the compiled kernels, one at a time: the emulator reports them, or the bounds do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from trueband.properties.engine import reproduce
from trueband.properties.gpu.ptx.findings import KINDS
from trueband.properties.gpu.ptx.planted import FAULTS, Planted, planted
from trueband.properties.runner import Runner

GLOBALS = (2, 15, 16, 31, 32, 63, 64, *range(100, 111))
CASES: list[dict[str, Any]] = [
    {"tokens": 129, "window": 33, "head_dim": 64, "masked": [[5, 65, 127]], "global_": [GLOBALS], "head_mask": True},
    {"tokens": 129, "window": 64, "head_dim": 64, "masked": [[]]},
]
CHECKS = {
    "band_forward": "matches_reference",
    "band_backward_query": "gradients_match_reference",
    "band_backward_key": "gradients_match_reference",
}
# All places of what keeps threads in step and stores in place; every so many of what occurs in dozens of places.
EVERY = {"not transposed": 16, "swapped registers of a factor": 16, "wrong shuffle": 16}
# Faults that change nothing, and why.
HARMLESS: dict[tuple[int, str, str, int], str] = {}


def places(ptx: str) -> list[Planted]:
    return [each for each in planted(ptx) if (each.number - 1) % EVERY.get(each.fault, 1) == 0]


@pytest.mark.parametrize("kernel", CHECKS)
@pytest.mark.parametrize("capability", [80, 90])
def test_every_planted_fault_is_seen(
    capability: int, kernel: str, emulated: Callable[..., Runner], compiler: Any
) -> None:
    runner = emulated(capability, "bfloat16")
    lines = [{"check": CHECKS[kernel], "case": {"family": "normal", "seed": 3, "dtype": "bfloat16", **case}} for case in CASES]
    compiler.texts.clear()
    for line in lines:
        assert reproduce(line, "emulated", runner).passed
    unseen = []
    for one in places(compiler.texts[kernel]):
        compiler.fault = kernel, one.ptx
        if all(reproduce(line, "emulated", runner).passed for line in lines):
            unseen.append((capability, kernel, one.fault, one.number))
    assert unseen == [each for each in HARMLESS if each[:2] == (capability, kernel)]
