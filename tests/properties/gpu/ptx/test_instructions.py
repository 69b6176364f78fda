"""What single instructions make of numbers, against Python's and torch's arithmetic and the PTX manual's tables."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from trueband.properties.gpu.ptx.findings import NotEmulated
from trueband.properties.gpu.ptx.parse import parse

Array = NDArray[Any]
THREADS = 32
INTEGERS = [0, 1, -1, 2, -2, 5, -5, 7, 31, 32, 33, 2**31 - 1, -(2**31), 12345678, -12345678, 100]
LEFT = np.array([x for x in INTEGERS for _ in range(2)], np.int32)
RIGHT = np.array([3, -7] * 8 + [2, 1] * 8, np.int32)


def wrapped(value: int) -> int:
    return (value + 2**31) % 2**32 - 2**31


def quotient(x: int, y: int) -> int:
    return int(math.copysign(abs(x) // abs(y), x * y)) if x else 0


OWN_WORD = "shl.b32 %r50, %r0, 2; st.shared.b32 [ %r50 + 0 ], { %r1 };"  # of shared memory: the first number
ARITHMETIC: dict[str, Callable[[int, int], int]] = {
    "add.s32 %r10, %r1, %r2;": lambda x, y: x + y,
    "sub.s32 %r10, %r1, %r2;": lambda x, y: x - y,
    "mul.lo.s32 %r10, %r1, %r2;": lambda x, y: x * y,
    "mul.hi.s32 %r10, %r1, %r2;": lambda x, y: x * y >> 32,
    "mul.wide.s32 %rd40, %r1, %r2; shr.s64 %rd41, %rd40, 8; cvt.u32.u64 %r10, %rd41;": lambda x, y: x * y >> 8,
    "mad.lo.s32 %r10, %r1, %r2, 9;": lambda x, y: x * y + 9,
    "mad.wide.s32 %rd40, %r1, %r2, 5; cvt.u32.u64 %r10, %rd40;": lambda x, y: x * y + 5,
    "div.s32 %r10, %r1, %r2;": quotient,
    "rem.s32 %r10, %r1, %r2;": lambda x, y: x - quotient(x, y) * y,
    "max.s32 %r10, %r1, %r2;": max,
    "min.u32 %r10, %r1, %r2;": lambda x, y: min(x % 2**32, y % 2**32),
    "neg.s32 %r10, %r1;": lambda x, y: -x,
    "xor.b32 %r10, %r1, %r2;": lambda x, y: x ^ y,
    "not.b32 %r10, %r1;": lambda x, y: ~x,
    "shl.b32 %r10, %r1, 5;": lambda x, y: x << 5,
    "shl.b32 %r10, %r1, 32;": lambda x, y: 0,
    "shr.s32 %r10, %r1, 40;": lambda x, y: -1 if x < 0 else 0,
    "shr.u32 %r10, %r1, 3;": lambda x, y: x % 2**32 >> 3,
    "bfe.u32 %r10, %r1, 3, 7;": lambda x, y: x >> 3 & 127,
    "bfe.s32 %r10, %r1, 3, 7;": lambda x, y: ((x >> 3 & 127) + 64) % 128 - 64,
    "prmt.b32 %r10, %r1, %r2, 0x5410;": lambda x, y: x % 2**16 + (y % 2**16 << 16),
    "prmt.b32 %r10, %r1, %r2, 0x888B;": lambda x, y: (255 if x < 0 else 0) + 0x01010100 * (255 if x & 128 else 0),
    "setp.lt.s32 %p1, %r1, %r2; selp.b32 %r10, 1, 0, %p1;": lambda x, y: int(x < y),
    "setp.lt.u32 %p1, %r1, %r2; selp.b32 %r10, 1, 0, %p1;": lambda x, y: int(x % 2**32 < y % 2**32),
    "mov.b32 {%rs1, %rs2}, %r1; mov.b32 %r10, {%rs2, %rs1};": lambda x, y: (x >> 16) % 2**16 + (x % 2**16 << 16),
    # A load into a wider register.
    f"{OWN_WORD} ld.shared.b32 %rd40, [ %r50 + 0 ]; shr.u64 %rd41, %rd40, 8; cvt.u32.u64 %r10, %rd41;": (
        lambda x, y: x % 2**32 >> 8
    ),
    f"{OWN_WORD} ld.shared.s32 %rd40, [ %r50 + 0 ]; shr.s64 %rd41, %rd40, 40; cvt.u32.u64 %r10, %rd41;": (
        lambda x, y: -1 if x < 0 else 0
    ),
    f"{OWN_WORD} ld.shared.u8 %r10, [ %r50 + 0 ];": lambda x, y: x % 256,
    f"{OWN_WORD} ld.shared.s8 %r10, [ %r50 + 0 ];": lambda x, y: (x % 256 + 128) % 256 - 128,
    "mov.u32 %r10, 4; setp.gt.s32 %p1, %r1, 0; @%p1 mov.u32 %r10, 0xFFFFFFFE;": lambda x, y: -2 if x > 0 else 4,
    "mov.u32 %r10, 4; setp.gt.s32 %p1, %r1, 0; @%p1 bra $L; add.s32 %r10, %r10, %r2;\n$L:": (
        lambda x, y: 4 if x > 0 else 4 + y
    ),
}


@pytest.mark.parametrize("body", ARITHMETIC)
def test_integers(body: str, computed: Callable[..., Array]) -> None:
    expected = [wrapped(ARITHMETIC[body](int(x), int(y))) for x, y in zip(LEFT, RIGHT, strict=True)]
    assert computed(body, LEFT, RIGHT).view(np.int32).tolist() == expected


PLAIN: list[float] = [0, -0.0, 1, -1, 1.5, 3.14159, 1e-3, -7.25e8]
# Ties and ends of narrower formats.
NARROWED: list[float] = [1 + 2**-8, 1 + 2**-9, 1 + 3 * 2**-9, 1 + 2**-11, 65504, 65520, 1e-7, 2**-25]
EXTREME: list[float] = [3e38, -3e38, 1e-40, 2**-126, 2**-127, np.inf, -np.inf, np.nan]
MORE: list[float] = [0.1, 0.2, 0.3, 100, -100, 17, 1e5, -1e-5]
FLOATS = np.array(PLAIN + NARROWED + EXTREME + MORE, np.float32)


@pytest.mark.parametrize(("form", "dtype"), [("bf16", torch.bfloat16), ("f16", torch.float16)])
@pytest.mark.parametrize("packed", [False, True])
def test_rounding_to_16_bits(form: str, dtype: torch.dtype, packed: bool, computed: Callable[..., Array]) -> None:
    body = f"cvt.rn.{form}.f32 %rs1, %r1; cvt.f32.{form} %r10, %rs1;"
    if packed:
        body = f"cvt.rn.{form}x2.f32 %r3, %r1, 0f3F800000; shr.u32 %r4, %r3, 16; cvt.u16.u32 %rs1, %r4;"
        body += f"cvt.f32.{form} %r10, %rs1;"
    expected = torch.from_numpy(FLOATS).to(dtype).float().numpy()
    np.testing.assert_array_equal(computed(body, FLOATS).view(np.float32), expected)


def test_flush_to_zero(computed: Callable[..., Array]) -> None:
    kept = computed("add.f32 %r10, %r1, 0f00000000;", FLOATS).view(np.float32)
    flushed = computed("add.ftz.f32 %r10, %r1, 0f00000000;", FLOATS).view(np.float32)
    subnormal = (FLOATS != 0) & (np.abs(FLOATS) < 2.0**-126)
    assert subnormal.any()
    assert (kept[subnormal] != 0).all()
    assert (flushed[subnormal] == 0).all()
    np.testing.assert_array_equal(flushed[~subnormal], kept[~subnormal])


@pytest.mark.parametrize(("comparison", "with_nan"), [("lt", 0), ("ltu", 1), ("ne", 0), ("neu", 1), ("nan", 1)])
def test_comparison_with_nan(comparison: str, with_nan: int, computed: Callable[..., Array]) -> None:
    body = f"setp.{comparison}.f32 %p1, %r1, %r2; selp.b32 %r10, 1, 0, %p1;"
    assert set(computed(body, FLOATS, np.full(THREADS, np.nan, np.float32)).tolist()) == {with_nan}


def test_a_fused_product_is_rounded_once(computed: Callable[..., Array]) -> None:
    x = np.full(THREADS, 1 + 2.0**-12, np.float32)
    found = computed("neg.f32 %r3, 0f3F800000; fma.rn.f32 %r10, %r1, %r1, %r3;", x).view(np.float32)
    assert found[0] == np.float32(2.0**-11 + 2.0**-24)


@pytest.mark.parametrize(
    ("body", "source"),
    [
        ("shfl.sync.bfly.b32 %r10, %r1, 5, 31, -1;", lambda lane: lane ^ 5),
        ("shfl.sync.idx.b32 %r10, %r1, 7, 31, -1;", lambda lane: 7),
        ("shfl.sync.idx.b32 %r10, %r1, %r2, 31, -1;", lambda lane: (3 * lane) % 32),
        ("shfl.sync.up.b32 %r10, %r1, 2, 0, -1;", lambda lane: lane - 2 if lane >= 2 else lane),
        ("shfl.sync.down.b32 %r10, %r1, 2, 31, -1;", lambda lane: lane + 2 if lane < 30 else lane),
        ("shfl.sync.idx.b32 %r10, %r1, 1, 6175, -1;", lambda lane: lane // 8 * 8 + 1),  # segments of 8
    ],
)
def test_shuffles_stay_within_a_warp(body: str, source: Callable[[int], int], computed: Callable[..., Array]) -> None:
    lanes = np.arange(2 * THREADS)
    found = computed(body, lanes.astype(np.int32), (3 * lanes % 32).astype(np.int32))
    assert found.tolist() == [lane // 32 * 32 + source(lane % 32) for lane in range(2 * THREADS)]


STORE_ROWS = """
    shl.b32 %r20, %r0, 2; st.shared.b32 [ %r20 + 0 ], { %r1 }; st.shared.b32 [ %r20 + 128 ], { %r2 };
    bar.sync 0; and.b32 %r21, %r0, 15; shl.b32 %r22, %r21, 4;
"""


@pytest.mark.parametrize("transposed", [False, True])
def test_matrices_of_shared_memory(transposed: bool, computed: Callable[..., Array]) -> None:
    """Two 8x8 matrices, row by row; thread 4g+t holds row g, columns 2t and 2t+1."""
    numbers = np.arange(128, dtype=np.uint16).reshape(2, 8, 8)
    words = numbers.reshape(-1).view(np.uint32)
    trans = ".trans" if transposed else ""
    for index in range(2):
        registers = "{%r10, %r11}" if index == 0 else "{%r11, %r10}"
        body = STORE_ROWS + f"ldmatrix.sync.aligned.m8n8.x2{trans}.shared.b16 {registers}, [%r22];"
        found = computed(body, words[:THREADS], words[THREADS:]).view(np.uint16).reshape(THREADS, 2)
        matrix = numbers[index].T if transposed else numbers[index]
        expected = [[matrix[lane // 4, lane % 4 * 2], matrix[lane // 4, lane % 4 * 2 + 1]] for lane in range(THREADS)]
        assert found.tolist() == expected


@pytest.mark.parametrize("transposed", [False, True])
def test_matrices_stored_are_loaded_again(transposed: bool, computed: Callable[..., Array]) -> None:
    words = np.arange(THREADS, dtype=np.uint32) * 0x00030001
    trans = ".trans" if transposed else ""
    body = f"""and.b32 %r21, %r0, 7; shl.b32 %r22, %r21, 4;
    stmatrix.sync.aligned.m8n8.x1{trans}.shared.b16 [ %r22 + 0 ], {{ %r1 }}; bar.sync 0;
    ldmatrix.sync.aligned.m8n8.x1{trans}.shared.b16 {{%r10}}, [%r22];"""
    assert computed(body, words).tolist() == words.tolist()


def held(lane: int, registers: Array, of: str) -> dict[tuple[int, int], float]:
    """{(row, column): number} that a thread holds of a factor of m16n8k16, as the manual's figures say."""
    group, thread = lane // 4, lane % 4
    halves = registers.view(np.float16)
    if of == "left":  # a0..a7
        rows = [group + 8 * (index // 2 % 2) for index in range(8)]
        columns = [thread * 2 + index % 2 + 8 * (index // 4) for index in range(8)]
    else:  # b0..b3
        rows = [thread * 2 + index % 2 + 8 * (index // 2) for index in range(4)]
        columns = [group] * 4
    return {place: float(halves[index]) for index, place in enumerate(zip(rows, columns, strict=True))}


def test_tensor_core_product(computed: Callable[..., Array]) -> None:
    """Small integers: every sum is exact."""
    rng = np.random.default_rng(1)
    registers = rng.integers(-4, 5, (6, THREADS, 2)).astype(np.float16).view(np.uint32)[..., 0]
    left, right = np.zeros((16, 16)), np.zeros((16, 8))
    for lane in range(THREADS):
        for place, number in held(lane, np.ascontiguousarray(registers[:4, lane]), "left").items():
            left[place] = number
        for place, number in held(lane, np.ascontiguousarray(registers[4:, lane]), "right").items():
            right[place] = number
    product = left @ right + 2
    for index in range(4):
        targets = ["%r11", "%r12", "%r13"]
        targets.insert(index, "%r10")
        body = "mov.b32 %r9, 0f40000000; mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 { " + ", ".join(targets)
        body += " }, { %r1, %r2, %r3, %r4 }, { %r5, %r6 }, { %r9, %r9, %r9, %r9 };"
        found = computed(body, *registers).view(np.float32)
        expected = [product[lane // 4 + 8 * (index // 2), lane % 4 * 2 + index % 2] for lane in range(THREADS)]
        assert found.tolist() == expected


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("vote.sync.all.pred %p1, %p2, -1;", r"line \d+: opcode not emulated: vote.sync.all.pred"),
        ("ld.volatile.shared.b32 %r10, [%r1];", "opcode not emulated: ld.volatile.shared.b32"),
        ("prmt.b32 %r10, %r1, %r2, %r1;", "expected a number, got '%r1'"),
        ("bar.sync 1, 64;", "a barrier of some of the threads"),
        (
            "setp.lt.s32 %p1, %r1, 3; @%p1 bra $L; bar.sync 0;\n$L: mov.u32 %r10, 0;",
            "a branch that threads of one block disagree on",
        ),
    ],
)
def test_what_is_not_emulated_is_named_with_its_line(body: str, told: str, computed: Callable[..., Array]) -> None:
    with pytest.raises(NotEmulated, match=told):
        computed(body, LEFT, RIGHT)


def test_ptx_without_an_entry() -> None:
    with pytest.raises(NotEmulated, match="expected one entry, got 0"):
        parse(".version 8.7")
