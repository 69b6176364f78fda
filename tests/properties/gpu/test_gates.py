"""Every gate refuses what breaks it, and nothing else does; entries are read from text."""

from __future__ import annotations

import dataclasses
import re

import pytest

from trueband.properties.gpu.aot import amd, nvidia
from trueband.properties.gpu.aot.code import Code, dots
from trueband.properties.gpu.aot.gates import GATES, refusals
from trueband.properties.gpu.aot.target import TARGETS

GOOD = Code(
    "forward",
    "sm_80",
    warps=4,
    registers=255,
    shared=166912,
    dots=("bf16",),
    products=("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32",),
)

# gate: (what breaks it, that it is required to have products)
BROKEN: dict[str, tuple[dict[str, object], bool]] = {
    "compiles": ({"error": "CompilationError: no"}, False),
    "entry": ({"malformed": (".entry: expected forward, got none",)}, False),
    "spills": ({"spilled": 4}, False),
    "local_memory": ({"local": True}, False),
    "registers": ({"warps": 16, "registers": 129}, False),
    "shared_memory": ({"shared": 166913}, False),
    "tensor_cores": ({"products": ()}, False),
}


def test_code_that_breaks_nothing() -> None:
    assert refusals(GOOD, products=True) == []


@pytest.mark.parametrize("gate", [gate.name for gate in GATES])
def test_a_gate_refuses_what_breaks_it(gate: str) -> None:
    changes, products = BROKEN[gate]
    assert [told.gate for told in refusals(dataclasses.replace(GOOD, **changes), products)] == [gate]  # type: ignore[arg-type]


def test_products_that_are_required() -> None:
    without = dataclasses.replace(GOOD, dots=(), products=())
    assert refusals(without) == []
    assert [told.message for told in refusals(without, products=True)] == [
        "expected products of matrices (tl.dot), got none"
    ]


def test_float32_itself_needs_no_tensor_cores() -> None:
    assert refusals(dataclasses.replace(GOOD, dots=("f32",), products=())) == []
    assert refusals(dataclasses.replace(GOOD, dots=("f32 cut",), products=())) != []


@pytest.mark.parametrize(
    ("target", "warps", "registers", "fits"),
    [
        ("sm_80", 8, 255, True),
        ("sm_80", 16, 128, True),
        ("sm_80", 16, 129, False),  # 136 are handed out
        ("sm_90", 32, 64, True),
        ("sm_90", 32, 65, False),
        ("gfx942", 4, 512, True),
        ("gfx942", 8, 256, True),
        ("gfx942", 8, 257, False),
        ("gfx942", 5, 257, False),  # one of four schedulers has two waves
    ],
)
def test_registers_of_a_block(target: str, warps: int, registers: int, fits: bool) -> None:
    code = dataclasses.replace(GOOD, target=target, warps=warps, registers=registers, shared=0)
    assert [told.gate for told in refusals(code)] == ([] if fits else ["registers"])


def test_more_registers_than_a_thread_can_have() -> None:
    told = refusals(dataclasses.replace(GOOD, warps=1, registers=256))
    assert [each.message for each in told] == ["expected at most 255 registers, got 256"]


def test_formats_of_products() -> None:
    source = """
      %a = tt.dot %q, %k, %c : tensor<64x64xbf16> * tensor<64x32xbf16> -> tensor<64x32xf32> loc(#loc397)
      %b = tt.dot %q, %k, %c, inputPrecision = tf32 : tensor<32x16xf32> * tensor<16x32xf32> -> tensor<32x32xf32>
      %d = tt.dot %q, %k, %c : tensor<32x16xf32> * tensor<16x32xf32> -> tensor<32x32xf32>
      %e = tt.dot %q, %k, %c {maxNumImpreciseAcc = 0 : i32} : tensor<2x4xf8E5M2> * tensor<4x2xf8E5M2> -> tensor<2x2xf32>
      %f = tt.trans %k {order = array<i32: 1, 0>} : tensor<32x16xf32> -> tensor<16x32xf32>
    """
    assert dots(source) == ("bf16", "f32 cut", "f32", "f8E5M2")


PTX = """
.version 8.7
.target sm_90a
.address_size 64
	// .globl forward { not code
.visible .entry forward(
	.param .u64 .ptr .global .align 1 forward_param_0,
	.param .u32 forward_param_1
)
.reqntid 128
{
	ret;
}
"""
AMDGCN = """
	.amdgcn_target "amdgcn-amd-amdhsa--gfx942"
	s_endpgm
	.amdhsa_kernel forward
	.end_amdhsa_kernel
    .max_flat_workgroup_size: 256
    .wavefront_size: 64
"""


def problems(vendor: str, text: str) -> tuple[str, ...]:
    if vendor == "nvidia":
        return nvidia.malformed(text, "forward", TARGETS["sm_90"], 128)
    return amd.malformed(text, "forward", TARGETS["gfx942"], 256)


# (vendor, what stands there once, what is put there, what is told)
CHANGES = [
    ("nvidia", "sm_90a", "sm_80", r"\.target: expected sm_90, got sm_80"),
    ("nvidia", ".address_size 64", ".address_size 32", r"\.address_size: expected 64"),
    ("nvidia", ".entry forward(", ".entry backward(", r"\.entry: expected forward, got backward"),
    ("nvidia", ".visible .entry", ".func", r"\.entry: expected forward, got none"),
    ("nvidia", "128", "256", r"\.reqntid: expected 128 threads, got 256"),
    ("nvidia", ".param .u32 forward_param_1", ".param .u32", r"\.param: expected named parameters, got .*"),
    ("nvidia", "\tret;\n", "", "ret: expected in the entry, got none"),
    ("nvidia", "\tret;\n}", "\tret;\n", "braces: expected as many { as }, got 1 and 0"),
    ("amd", "hsa--gfx942", "hsa--gfx90a", r"\.amdgcn_target: expected gfx942"),
    ("amd", ".amdhsa_kernel forward", "", r"\.amdhsa_kernel: expected forward, got none"),
    ("amd", "64", "32", r"\.wavefront_size: expected 64, got 32"),
    ("amd", "256", "512", r"\.max_flat_workgroup_size: expected 256, got 512"),
    ("amd", "s_endpgm", "", "s_endpgm: expected, got none"),
]


def test_well_formed_entries() -> None:
    assert (problems("nvidia", PTX), problems("amd", AMDGCN)) == ((), ())


@pytest.mark.parametrize(("vendor", "old", "new", "told"), CHANGES)
def test_a_malformed_entry(vendor: str, old: str, new: str, told: str) -> None:
    text = PTX if vendor == "nvidia" else AMDGCN
    place = text.rindex(old) if (vendor, old) == ("nvidia", "128") else text.index(old)
    found = problems(vendor, text[:place] + new + text[place + len(old) :])
    assert [problem for problem in found if re.fullmatch(told, problem)] == list(found) != []


def test_ptx_that_is_cut_off() -> None:
    """Every beginning of the text that lacks a line of code is malformed."""
    lines = PTX.splitlines()
    assert all(problems("nvidia", "\n".join(lines[:end])) for end in range(len(lines)))
