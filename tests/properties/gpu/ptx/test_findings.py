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
# Both warps use the first 32 words; %p1: of the second warp.
SAME = "and.b32 %r9, %r0, 31; shl.b32 %r23, %r9, 2; setp.gt.u32 %p1, %r0, 31;"
STORED = f"{SAME} @!%p1 st.shared.b32 [ %r23 + 0 ], {{ %r0 }}; bar.sync 0;"
BOTH_READ = f"{STORED} ld.shared.b32 %r1, [%r23];"
ONE_READS_AFTER_THE_OTHER = f"{STORED} @!%p1 ld.shared.b32 %r1, [%r23]; @%p1 ld.shared.b32 %r1, [%r23];"
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
    "a load far from every array": (
        "global bounds",
        "mov.u64 %rd20, 16; ld.global.b32 %r1, [ %rd20 + 0 ];",
        "mov.u64 %rd20, 16; add.s64 %rd20, %rd20, %rd0; ld.global.b32 %r1, [ %rd20 + 0 ];",
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
        "shl.b32 %r20, %r0, 2; st.shared.b32 [ %r20 + 768 ], { %r0 };",
        "shl.b32 %r20, %r0, 2; st.shared.b32 [ %r20 + 764 ], { %r0 };",
    ),
    "a store before shared memory": (
        "shared bounds",
        "shl.b32 %r20, %r0, 2; st.shared.b32 [ %r20 + -4 ], { %r0 };",
        "shl.b32 %r20, %r0, 2; setp.ne.s32 %p1, %r0, 0; @%p1 st.shared.b32 [ %r20 + -4 ], { %r0 };",
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
    "a store over what both warps read": (
        "shared hazard",
        f"{BOTH_READ} @%p1 st.shared.b32 [ %r23 + 0 ], {{ %r1 }};",
        f"{BOTH_READ} bar.sync 0; @%p1 st.shared.b32 [ %r23 + 0 ], {{ %r1 }};",
    ),
    "a store over what both warps read one after the other": (
        "shared hazard",
        f"{ONE_READS_AFTER_THE_OTHER} @%p1 st.shared.b32 [ %r23 + 0 ], {{ %r1 }};",
        f"{ONE_READS_AFTER_THE_OTHER} bar.sync 0; @%p1 st.shared.b32 [ %r23 + 0 ], {{ %r1 }};",
    ),
    "a store over what another warp stored": (
        "shared hazard",
        f"{NEXT_WARP} st.shared.b32 [ %r20 + 0 ], {{ 7 }}; st.shared.b32 [ %r23 + 0 ], {{ 7 }};",
        f"{NEXT_WARP} st.shared.b32 [ %r20 + 0 ], {{ 7 }}; bar.sync 0; st.shared.b32 [ %r23 + 0 ], {{ 7 }};",
    ),
    "a read of what both warps stored": (
        "shared hazard",
        f"{SAME} st.shared.b32 [ %r23 + 0 ], {{ %r9 }}; @%p1 ld.shared.b32 %r1, [%r23];",
        f"{SAME} st.shared.b32 [ %r23 + 0 ], {{ %r9 }}; bar.sync 0; @%p1 ld.shared.b32 %r1, [%r23];",
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
    "a read of another warp's copy": (
        "shared hazard",
        f"{AT} {NEXT_WARP} {COPY} cp.async.wait_group 0; ld.shared.b32 %r1, [%r23];",
        f"{AT} {NEXT_WARP} {COPY} cp.async.wait_group 0; bar.sync 0; ld.shared.b32 %r1, [%r23];",
    ),
    "a store over a copy": (
        "copy in flight",
        f"{AT} {COPY} st.shared.b32 [ %r20 + 0 ], {{ %r0 }};",
        f"{AT} {COPY} cp.async.wait_group 0; st.shared.b32 [ %r20 + 0 ], {{ %r0 }};",
    ),
    "a register that nothing wrote": ("register", "add.s32 %r1, %r50, 1;", "mov.u32 %r50, 0; add.s32 %r1, %r50, 1;"),
    "a division by the thread": (
        "division",
        "div.s32 %r1, 7, %r0;",
        "add.s32 %r2, %r0, 1; div.s32 %r1, 7, %r2;",
    ),
}
# Two products of 64 rows, in registers of 128 threads, and 8 columns, in the first 256 bytes of shared memory.
FACTOR = "{%r1,%r2,%r3,%r4}"
WGMMA = "wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%r40,%r41,%r42,%r43},"
LAND, FENCE = "cp.async.wait_group 0;", "fence.proxy.async;"
WAIT = "wgmma.wait_group.sync.aligned 0;"
PRODUCTS = f"""
    add.s64 %rd20, %rd0, %rd10; shl.b32 %r20, %r0, 2; mov.b64 %rd30, 0xC000000000000000; setp.lt.u32 %p1, %r0, 64;
    mov.u32 %r1, 0; mov.u32 %r2, 0; mov.u32 %r3, 0; mov.u32 %r4, 0;
    @%p1 cp.async.ca.shared.global [ %r20 + 0 ], [ %rd20 + 0 ], 0x4, 4; cp.async.commit_group;
    {LAND}
    {FENCE}
    bar.sync 0;
    wgmma.fence.sync.aligned;
    {WGMMA} {FACTOR}, %rd30, 0, 1, 1, 0;
    {WGMMA} {FACTOR}, %rd30, 1, 1, 1, 0;
    wgmma.commit_group.sync.aligned;
    {WAIT}
    bar.sync 0; // before others store
    st.shared.b32 [ %r20 + 0 ], {{ %r40 }};
"""
# fault: (kind, a part of PRODUCTS, what it becomes).
OF_PRODUCTS: dict[str, tuple[str, str, str]] = {
    "no wait for the copies": ("copy in flight", LAND, ""),
    "a fence before the copies have landed": ("proxy fence", f"{LAND}\n    {FENCE}", f"{FENCE} {LAND}"),
    "a factor that nothing wrote": ("shared uninitialized", "[ %r20 + 0 ], [", "[ %r20 + 4 ], ["),
    # The start of a factor is told in units of 16 bytes.
    "a factor beside shared memory": ("shared bounds", "0xC000000000000000", "0xC000000000000031"),
    "no barrier before": ("shared hazard", "bar.sync 0;\n", "\n"),
    "no barrier after": ("shared hazard", "bar.sync 0; //", "//"),
    "no fence of the proxy": ("proxy fence", FENCE, ""),
    "no fence at the start": ("wgmma fence", "wgmma.fence.sync.aligned;", ""),
    "no fence after a wait": ("wgmma fence", "0, 1, 1, 0;", f"0, 1, 1, 0; wgmma.commit_group.sync.aligned; {WAIT}"),
    "a sum of what nothing wrote": ("register", "%rd30, 0,", "%rd30, %p1,"),
    "a factor that a product still writes": ("wgmma wait", f"{FACTOR}, %rd30, 1", "{%r1,%r2,%r3,%r40}, %rd30, 1"),
    "a wait that leaves a group": ("wgmma wait", WAIT, WAIT.replace("0;", "1;")),
    "a product read before the wait": ("wgmma wait", WAIT, f"mov.u32 %r9, %r40; {WAIT}"),
    "a product written before the wait": ("wgmma wait", WAIT, f"mov.u32 %r40, 0; {WAIT}"),
    "a factor written before the wait": ("wgmma wait", WAIT, f"mov.u32 %r1, 0; {WAIT}"),
    "a factor stored over before the wait": ("wgmma wait", WAIT, f"st.shared.b32 [ %r20 + 0 ], {{ %r0 }}; {WAIT}"),
}


def run(kernel: Kernel) -> None:
    output = np.zeros(64, np.int32)
    written = np.zeros(64, bool)
    launch(kernel, (1, 1, 1), [Pointer(np.arange(64, dtype=np.int32)), Pointer(output, written)])


@pytest.mark.parametrize("fault", WRITTEN)
def test_a_fault_is_found_and_its_absence_is_not(fault: str, assemble: Callable[..., Kernel]) -> None:
    kind, faulty, sound = WRITTEN[fault]
    with pytest.raises(Finding, match=kind) as raised:
        run(assemble(faulty, 2, threads=64))
    assert raised.value.kind == kind
    run(assemble(sound, 2, threads=64))


@pytest.mark.parametrize("fault", OF_PRODUCTS)
def test_a_fault_around_products(fault: str, assemble: Callable[..., Kernel]) -> None:
    kind, part, faulty = OF_PRODUCTS[fault]
    run(assemble(PRODUCTS, 2, threads=128))
    assert PRODUCTS.count(part) == 1
    with pytest.raises(Finding) as raised:
        run(assemble(PRODUCTS.replace(part, faulty), 2, threads=128))
    assert raised.value.kind == kind


def test_every_kind_has_a_fault() -> None:
    """Races between blocks have a file of their own."""
    assert {kind for kind, *_ in (*WRITTEN.values(), *OF_PRODUCTS.values())} | {"global race"} == set(KINDS)


def test_a_finding_says_where(assemble: Callable[..., Kernel]) -> None:
    kernel = assemble("shl.b32 %r20, %r0, 2; st.shared.b32 [ %r20 + 900 ], { %r0 };", 2, threads=64)
    with pytest.raises(Finding) as raised:
        run(kernel)
    for part in ("block (0, 0, 0), thread 30", "written_by_hand, line ", "st.shared.b32 [ %r20 + 900 ], { %r0 }"):
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


def test_too_many_arguments(assemble: Callable[..., Kernel]) -> None:
    with pytest.raises(ValueError, match="arguments: expected at most 1, got 2"):
        launch(assemble("", 1), (1, 1, 1), [Pointer(np.zeros(1)), 3])
