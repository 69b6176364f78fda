"""Blocks of one grid: what one stores no other may use, and their order tells nothing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from trueband.properties.gpu.ptx.findings import Finding
from trueband.properties.gpu.ptx.launch import Kernel, Pointer, launch

# fault: (faulty body, sound body). %rd13 and %rd14 are the block's own words of input and output.
OWN = """mov.u32 %r5, %ctaid.x; mul.wide.u32 %rd12, %r5, 4; add.s64 %rd13, %rd0, %rd12; add.s64 %rd14, %rd1, %rd12;
    setp.lt.u32 %p1, %r0, 1; setp.eq.s32 %p2, %r5, 0; and.pred %p2, %p2, %p1;
    setp.eq.s32 %p3, %r5, 1; and.pred %p3, %p3, %p1;"""
BETWEEN_BLOCKS: dict[str, tuple[str, str]] = {
    "two blocks store one word": (
        f"{OWN} @%p1 st.global.b32 [ %rd1 + 0 ], {{ %r0 }};",
        f"{OWN} @%p1 st.global.b32 [ %rd14 + 0 ], {{ %r0 }};",
    ),
    "a block stores what another has stored": (
        f"{OWN} @%p1 st.global.b32 [ %rd14 + 0 ], {{ %r0 }}; @%p2 st.global.b32 [ %rd1 + 4 ], {{ %r0 }};",
        f"{OWN} @%p1 st.global.b32 [ %rd14 + 0 ], {{ %r0 }}; @%p2 st.global.b32 [ %rd1 + 0 ], {{ %r0 }};",
    ),
    "a block loads what another has stored": (
        f"{OWN} @%p1 st.global.b32 [ %rd14 + 0 ], {{ %r0 }}; @%p2 ld.global.b32 %r1, [ %rd1 + 4 ];",
        f"{OWN} @%p1 st.global.b32 [ %rd14 + 0 ], {{ %r0 }}; @%p2 ld.global.b32 %r1, [ %rd1 + 0 ];",
    ),
    "a block stores what another has loaded": (
        f"{OWN} @%p1 ld.global.b32 %r1, [ %rd13 + 0 ]; @%p2 st.global.b32 [ %rd0 + 4 ], {{ %r0 }};",
        f"{OWN} @%p1 ld.global.b32 %r1, [ %rd13 + 0 ]; @%p2 st.global.b32 [ %rd0 + 0 ], {{ %r0 }};",
    ),
    "the second block that loads a word stores it": (
        f"{OWN} @%p2 ld.global.b32 %r1, [ %rd0 + 4 ]; @%p3 ld.global.b32 %r1, [ %rd0 + 4 ];"
        "@%p3 st.global.b32 [ %rd0 + 4 ], { %r0 };",
        f"{OWN} @%p3 ld.global.b32 %r1, [ %rd0 + 4 ]; @%p3 st.global.b32 [ %rd0 + 4 ], {{ %r0 }};",
    ),
    # At one instruction, in an order that is shuffled: each of them may be the last.
    **{
        f"block {number} stores what all load": (
            f"{OWN} @%p1 ld.global.b32 %r1, [ %rd0 + 0 ]; setp.eq.s32 %p4, %r5, {number}; and.pred %p4, %p4, %p1;"
            "@%p4 st.global.b32 [ %rd0 + 0 ], { %r0 };",
            f"{OWN} @%p1 ld.global.b32 %r1, [ %rd0 + 0 ]; setp.eq.s32 %p4, %r5, {number}; and.pred %p4, %p4, %p1;"
            "@%p4 st.global.b32 [ %rd0 + 4 ], { %r0 };",
        )
        for number in range(3)
    },
}


@pytest.mark.parametrize("fault", BETWEEN_BLOCKS)
def test_a_race_between_blocks(fault: str, assemble: Callable[..., Kernel]) -> None:
    faulty, sound = BETWEEN_BLOCKS[fault]
    arrays = np.arange(3, dtype=np.int32), np.arange(3, dtype=np.int32)
    with pytest.raises(Finding, match="global race"):
        launch(assemble(faulty, 2), (3, 1, 1), [Pointer(each) for each in arrays])
    launch(assemble(sound, 2), (3, 1, 1), [Pointer(each) for each in arrays])


def test_blocks_run_in_an_order_of_their_own(assemble: Callable[..., Kernel]) -> None:
    """However the grid is cut into waves, and in whatever order, the result is one."""
    body = """mov.u32 %r5, %ctaid.x; mul.lo.s32 %r6, %r5, 64; add.s32 %r7, %r6, %r0; mul.wide.u32 %rd12, %r7, 4;
    add.s64 %rd13, %rd0, %rd12; mov.u32 %r8, 0; mov.u32 %r9, 0;
$loop:
    setp.ge.s32 %p1, %r9, %r5;
    @%p1 bra $end;
    add.s32 %r8, %r8, 3; add.s32 %r9, %r9, 1;
    bar.sync 0;
    bra.uni $loop;
$end:
    st.global.b32 [ %rd13 + 0 ], { %r8 };"""
    kernel = assemble(body, 1, threads=64)
    for seed in range(3):
        output = np.zeros(300 * 64, np.int32)
        launch(kernel, (300, 1, 1), [Pointer(output)], seed=seed)
        assert (output == 3 * np.repeat(np.arange(300), 64)).all()
