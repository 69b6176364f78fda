"""Faults planted in the compiled kernels, one at a time: the emulator reports them, or the bounds do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from planted import FAULTS, planted

from trueband.properties.candidate.runner import Runner
from trueband.properties.gpu.ptx.findings import KINDS
from trueband.properties.running.engine import reproduce

pytestmark = pytest.mark.evidence

GLOBALS = (2, 15, 16, 31, 32, 63, 64, *range(100, 111))
CASES: list[dict[str, Any]] = [
    {"tokens": 129, "window": 33, "head_dim": 64, "masked": [[5, 65, 127]], "global_": [GLOBALS], "head_mask": True},
    {"tokens": 129, "window": 64, "head_dim": 64, "masked": [[]]},
]
CHECKS = {
    "band_forward": ("matches_reference",),
    "band_backward_query": ("gradients_match_reference", "head_mask_gradient"),
    "band_backward_key": ("gradients_match_reference",),
}
# All places of what keeps threads in step and stores in place; every so many of what occurs in dozens of places.
EVERY = {"not transposed": 16, "swapped registers of a factor": 16, "wrong shuffle": 16}
# Faults that are not seen, and why, in the order of `planted`.
_AFTER = "a barrier ends the loop, and the epilogue uses other bytes than the last copies, which nobody reads"
_FENCED = "another fence follows before the first product"
_LATER = "the next wait comes before anything uses these products"
_SAME = "lanes 7, 2 and 1 away are the same eight as those 4, 2 and 1 away"
UNSEEN: dict[tuple[int, str, str, int], str] = {
    (80, "band_forward", "no barrier", 3): _AFTER,
    (80, "band_forward", "no barrier", 6): _AFTER,
    (80, "band_forward", "no wait for copies", 4): _AFTER,
    (80, "band_backward_query", "no barrier", 8): _AFTER,
    (80, "band_backward_query", "no barrier", 12): _AFTER,
    (80, "band_backward_query", "no wait for copies", 4): _AFTER,
    (80, "band_backward_query", "wrong shuffle", 1): _SAME,
    (80, "band_backward_key", "no barrier", 6): _AFTER,
    (80, "band_backward_key", "no wait for copies", 2): _AFTER,
    (90, "band_forward", "no barrier", 3): _AFTER,
    (90, "band_forward", "no wait for products", 2): _LATER,
    (90, "band_forward", "no fence of the proxy", 1): _FENCED,
    (90, "band_forward", "no fence of the proxy", 3): _FENCED,
    (90, "band_backward_query", "no barrier", 12): _AFTER,
    (90, "band_backward_query", "no wait for copies", 4): _AFTER,
    (90, "band_backward_query", "no fence of the proxy", 1): _FENCED,
    (90, "band_backward_query", "no fence of the proxy", 3): _FENCED,
    (90, "band_backward_query", "wrong shuffle", 1): _SAME,
    (90, "band_backward_key", "no fence of products", 3): "products alone lie between it and the fence before",
    (90, "band_backward_key", "no fence of the proxy", 1): _FENCED,
}


def places(texts: set[str]) -> list[tuple[str, int]]:
    """(fault, number) of all that there are in any of the texts of a kernel, in the order of `FAULTS`."""
    found = {(one.fault, one.number) for text in texts for one in planted(text)}
    chosen = [(fault, number) for fault, number in found if (number - 1) % EVERY.get(fault, 1) == 0]
    return sorted(chosen, key=lambda place: (list(FAULTS).index(place[0]), place[1]))


@pytest.mark.parametrize("kernel", CHECKS)
@pytest.mark.parametrize("capability", [80, 90])
def test_every_planted_fault_is_seen(
    capability: int, kernel: str, emulated: Callable[..., Runner], compiler: Any
) -> None:
    runner = emulated(capability, "bfloat16")
    lines = [
        {"check": check, "case": {"family": "normal", "seed": 3, "dtype": "bfloat16", **case}}
        for check in CHECKS[kernel]
        for case in CASES
        if check != "head_mask_gradient" or "head_mask" in case
    ]
    compiler.texts.clear()
    for line in lines:
        assert reproduce(line, "emulated", runner).passed
    unseen, told = [], ""
    for fault, number in places(compiler.texts[kernel]):
        compiler.fault = kernel, fault, number
        records = (reproduce(line, "emulated", runner) for line in lines)
        failed = next((record for record in records if not record.passed), None)
        told += "" if failed is None else failed.message
        if failed is None:
            unseen.append((capability, kernel, fault, number))
    assert unseen == [each for each in UNSEEN if each[:2] == (capability, kernel)]
    # A finding is a failure of the check, with its text.
    expected = {"shared hazard", "copy in flight"} | (
        {"proxy fence", "wgmma fence", "wgmma wait"} if capability == 90 else set()
    )
    assert expected <= {kind for kind in KINDS if kind in told}


# What each fault makes of a line.
LINES = {
    "no barrier": ("\tbar.sync \t0;", "// dropped"),
    "no wait for copies": ("\tcp.async.wait_group \t0;", "// dropped"),
    "no wait for products": ("\twgmma.wait_group.sync.aligned 0;", "// dropped"),
    "no fence of products": ("\twgmma.fence.sync.aligned;", "// dropped"),
    "no fence of the proxy": ("\tfence.proxy.async.shared::cta;", "// dropped"),
    "not transposed": (
        "ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%r1, %r2}, [%r3];",
        "ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%r1, %r2}, [%r3];",
    ),
    "other layout of a factor": (
        "wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%r1,%r2,%r3,%r4}, %rd1, %rd2, %p1, 1, 1, 0, 1;",
        "wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%r1,%r2,%r3,%r4}, %rd1, %rd2, %p1, 1, 1, 0, 0;",
    ),
    "swapped registers of a factor": (
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 { %r1 }, { %r2, %r3 }, { %r4, %r5 }, { %r1 };",
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 { %r1 }, { %r2, %r3 }, { %r5, %r4 }, { %r1 };",
    ),
    "swapped factors": (
        "wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%r1,%r2,%r3,%r4}, %rd1, %rd2, %p1, 1, 1, 0, 1;",
        "wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%r1,%r2,%r3,%r4}, %rd2, %rd1, %p1, 1, 1, 0, 1;",
    ),
    "wrong shuffle": ("shfl.sync.bfly.b32 %r1, %r2, 2, 31, -1;", "shfl.sync.bfly.b32 %r1, %r2, 1, 31, -1;"),
    "no predicate of a store": ("@%p1 st.global.b32 [ %rd1 + 0 ], { %r1 };", "st.global.b32 [ %rd1 + 0 ], { %r1 };"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_changes_its_line_alone(fault: str) -> None:
    before, after = LINES[fault]
    text = f"mov.u32 %r9, 1;\n{before}\nret;\n{before}"
    first, second = planted(text, (fault,))
    assert (first.line, first.number, first.ptx) == (2, 1, f"mov.u32 %r9, 1;\n{after}\nret;\n{before}")
    assert (second.line, second.number, second.ptx) == (4, 2, f"mov.u32 %r9, 1;\n{before}\nret;\n{after}")
