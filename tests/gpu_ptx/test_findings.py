"""Each kind of fault in a kernel written by hand: it is found, and the same kernel without it is not accused."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from trueband.properties.gpu.ptx.findings import KINDS, Finding
from trueband.properties.gpu.ptx.launch import Kernel, Pointer, launch

AT = "add.s64 %rd20, %rd0, %rd10; add.s64 %rd21, %rd1, %rd10;"
NEXT_WARP = "shl.b32 %r20, %r0, 2; add.s32 %r21, %r0, 32; and.b32 %r22, %r21, 63; shl.b32 %r23, %r22, 2;"
COPY = "shl.b32 %r20, %r0, 2; cp.async.ca.shared.global [ %r20 + 0 ], [ %rd20 + 0 ], 0x4, 4; cp.async.commit_group;"
# fault: (kind, faulty body, sound body). 64 threads; %rd0 an input and %rd1 an output of 64 words each.
WRITTEN: dict[str, tuple[str, str, str]] = {
    "a store beyond the last element": (
        "global bounds",
        f"{AT} st.global.b32 [ %rd21 + 4 ], {{ %r0 }};",
        f"{AT} setp.lt.u32 %p1, %r0, 63; @%p1 st.global.b32 [ %rd21 + 4 ], {{ %r0 }};",
    ),
    "a load before the first element": (
        "global bounds",
        f"{AT} ld.global.b32 %r1, [ %rd20 + -4 ];",
        f"{AT} setp.ne.s32 %p1, %r0, 0; @%p1 ld.global.b32 %r1, [ %rd20 + -4 ];",
    ),
    "a load of four words at one": (
        "global alignment",
        f"{AT} setp.lt.u32 %p1, %r0, 16; @%p1 ld.global.v4.b32 {{ %r1, %r2, %r3, %r4 }}, [ %rd20 + 0 ];",
        "shl.b32 %r9, %r0, 4; cvt.u64.u32 %rd11, %r9; add.s64 %rd20, %rd0, %rd11; setp.lt.u32 %p1, %r0, 16;"
        "@%p1 ld.global.v4.b32 { %r1, %r2, %r3, %r4 }, [ %rd20 + 0 ];",
    ),
    "a load of an output": (
        "global uninitialized",
        f"{AT} ld.global.b32 %r1, [ %rd21 + 0 ]; st.global.b32 [ %rd21 + 0 ], {{ %r1 }};",
        f"{AT} st.global.b32 [ %rd21 + 0 ], {{ %r0 }}; ld.global.b32 %r1, [ %rd21 + 0 ];",
    ),
    "a store beside shared memory": (
        "shared bounds",
        "shl.b32 %r20, %r0, 2; st.shared.b32 [ %r20 + 772 ], { %r0 };",
        "shl.b32 %r20, %r0, 2; st.shared.b32 [ %r20 + 768 ], { %r0 };",
    ),
    "a load of two words at one": (
        "shared alignment",
        "shl.b32 %r20, %r0, 2; st.shared.b32 [ %r20 + 0 ], { %r0 }; bar.sync 0; ld.shared.v2.b32 {%r1, %r2}, [%r20];",
        "shl.b32 %r20, %r0, 2; st.shared.b32 [ %r20 + 0 ], { %r0 }; bar.sync 0; and.b32 %r21, %r20, -8;"
        "ld.shared.v2.b32 {%r1, %r2}, [%r21];",
    ),
    "a read of what was never stored": (
        "shared uninitialized",
        "shl.b32 %r20, %r0, 2; ld.shared.b32 %r1, [%r20];",
        "shl.b32 %r20, %r0, 2; st.shared.b32 [ %r20 + 0 ], { %r0 }; ld.shared.b32 %r1, [%r20];",
    ),
    "a read of another warp's store": (
        "shared hazard",
        f"{NEXT_WARP} st.shared.b32 [ %r20 + 0 ], {{ %r0 }}; ld.shared.b32 %r1, [%r23];",
        f"{NEXT_WARP} st.shared.b32 [ %r20 + 0 ], {{ %r0 }}; bar.sync 0; ld.shared.b32 %r1, [%r23];",
    ),
    "a store over what another warp reads": (
        "shared hazard",
        f"{NEXT_WARP} st.shared.b32 [ %r20 + 0 ], {{ %r0 }}; bar.sync 0; ld.shared.b32 %r1, [%r23];"
        "st.shared.b32 [ %r20 + 0 ], { %r1 };",
        f"{NEXT_WARP} st.shared.b32 [ %r20 + 0 ], {{ %r0 }}; bar.sync 0; ld.shared.b32 %r1, [%r23]; bar.sync 0;"
        "st.shared.b32 [ %r20 + 0 ], { %r1 };",
    ),
    "two warps' stores to one place": (
        "shared hazard",
        "and.b32 %r9, %r0, 31; shl.b32 %r20, %r9, 2; st.shared.b32 [ %r20 + 0 ], { %r0 };",
        "and.b32 %r9, %r0, 31; shl.b32 %r20, %r9, 2; st.shared.b32 [ %r20 + 0 ], { %r9 };",
    ),
    "a read before the copy is waited for": (
        "copy in flight",
        f"{AT} {COPY} bar.sync 0; ld.shared.b32 %r1, [%r20];",
        f"{AT} {COPY} cp.async.wait_group 0; bar.sync 0; ld.shared.b32 %r1, [%r20];",
    ),
    "a wait that leaves one group": (
        "copy in flight",
        f"{AT} {COPY} cp.async.wait_group 1; bar.sync 0; ld.shared.b32 %r1, [%r20];",
        f"{AT} {COPY} cp.async.commit_group; cp.async.wait_group 1; bar.sync 0; ld.shared.b32 %r1, [%r20];",
    ),
    "a register that nothing wrote": ("register", "add.s32 %r1, %r50, 1;", "mov.u32 %r50, 0; add.s32 %r1, %r50, 1;"),
    "a division by the thread": (
        "division",
        "div.s32 %r1, 7, %r0;",
        "add.s32 %r2, %r0, 1; div.s32 %r1, 7, %r2;",
    ),
}
# Of blocks of one grid, with as many words as blocks.
BETWEEN_BLOCKS: dict[str, tuple[str, str]] = {
    "two blocks store one word": (
        "setp.lt.u32 %p1, %r0, 1; @%p1 st.global.b32 [ %rd1 + 0 ], { %r0 };",
        "mov.u32 %r5, %ctaid.x; mul.wide.u32 %rd12, %r5, 4; add.s64 %rd13, %rd1, %rd12;"
        "setp.lt.u32 %p1, %r0, 1; @%p1 st.global.b32 [ %rd13 + 0 ], { %r0 };",
    ),
    "a block loads what another stores": (
        "mov.u32 %r5, %ctaid.x; mul.wide.u32 %rd12, %r5, 4; add.s64 %rd13, %rd0, %rd12; setp.lt.u32 %p1, %r0, 1;"
        "@%p1 ld.global.b32 %r1, [ %rd0 + 0 ]; @%p1 st.global.b32 [ %rd13 + 0 ], { %r1 };",
        "mov.u32 %r5, %ctaid.x; mul.wide.u32 %rd12, %r5, 4; add.s64 %rd13, %rd0, %rd12; setp.lt.u32 %p1, %r0, 1;"
        "@%p1 ld.global.b32 %r1, [ %rd13 + 0 ]; @%p1 st.global.b32 [ %rd13 + 0 ], { %r1 };",
    ),
}
# Those that only compiled kernels show: see test_planted.py.
OF_PRODUCTS = {"proxy fence", "wgmma fence", "wgmma wait"}


def run(kernel: Kernel, blocks: int = 1) -> None:
    output = np.zeros(64, np.int32)
    written = np.zeros(64, bool)
    launch(kernel, (blocks, 1, 1), [Pointer(np.arange(64, dtype=np.int32)), Pointer(output, written)])


@pytest.mark.parametrize("fault", WRITTEN)
def test_a_fault_is_found_and_its_absence_is_not(fault: str, assemble: Callable[..., Kernel]) -> None:
    kind, faulty, sound = WRITTEN[fault]
    with pytest.raises(Finding, match=kind) as raised:
        run(assemble(faulty, 2, threads=64))
    assert raised.value.kind == kind
    run(assemble(sound, 2, threads=64))


@pytest.mark.parametrize("fault", BETWEEN_BLOCKS)
def test_a_race_between_blocks(fault: str, assemble: Callable[..., Kernel]) -> None:
    faulty, sound = BETWEEN_BLOCKS[fault]
    with pytest.raises(Finding, match="global race"):
        run(assemble(faulty, 2, threads=64), blocks=3)
    run(assemble(sound, 2, threads=64), blocks=3)


def test_every_kind_has_a_fault() -> None:
    assert {kind for kind, _, _ in WRITTEN.values()} | {"global race"} | OF_PRODUCTS == set(KINDS)


def test_a_finding_says_where(assemble: Callable[..., Kernel]) -> None:
    kernel = assemble("shl.b32 %r20, %r0, 2; st.shared.b32 [ %r20 + 900 ], { %r0 };", 2, threads=64)
    with pytest.raises(Finding) as raised:
        run(kernel)
    for part in ("block (0, 0, 0), thread 31", "written_by_hand, line ", "st.shared.b32 [ %r20 + 900 ], { %r0 }"):
        assert part in str(raised.value)
    store = [each for each in kernel.executable.program.instructions if each.opcode == "st.shared.b32"]
    assert raised.value.line == store[0].line


def test_nothing_is_stored_by_a_kernel_at_fault(assemble: Callable[..., Kernel]) -> None:
    output = np.full(64, 7, np.int32)
    kernel = assemble(f"{AT} st.global.b32 [ %rd20 + 0 ], {{ %r0 }}; st.global.b32 [ %rd20 + 4 ], {{ %r0 }};", 2, 64)
    with pytest.raises(Finding, match="global bounds"):
        launch(kernel, (1, 1, 1), [Pointer(output), Pointer(np.zeros(1, np.int32))])
    assert (output == 7).all()


def test_only_what_a_view_holds_may_be_used(assemble: Callable[..., Kernel]) -> None:
    """Rows of 3 of a table with rows of 4: the fourth is another's."""
    table = np.arange(16, dtype=np.int32).reshape(4, 4)
    body = "setp.lt.u32 %p1, %r0, {count}; @%p1 st.global.b32 [ %rd20 + 0 ], {{ %r0 }};"
    for count, found in ((3, False), (4, True)):
        kernel = assemble(AT + body.format(count=count), 2)
        arguments = [Pointer(table[:, :3]), Pointer(np.zeros(1, np.int32))]
        if found:
            with pytest.raises(Finding, match="global bounds"):
                launch(kernel, (1, 1, 1), arguments)
        else:
            launch(kernel, (1, 1, 1), arguments)
            assert table[0].tolist() == [0, 1, 2, 3]


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


def test_too_many_arguments(assemble: Callable[..., Kernel]) -> None:
    with pytest.raises(ValueError, match="arguments: expected at most 1, got 2"):
        launch(assemble("", 1), (1, 1, 1), [Pointer(np.zeros(1)), 3])
