"""The list of shipped kernels: complete, each with a name of its own, and what a launch hands over."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import torch

from trueband.optimized.attention.triton.blocks import SHIPPED, choose

PROGRAM = """
import json
from triton.runtime import JITFunction
from trueband.optimized.attention.triton import launch, shipped, span_launch
modules = {**vars(launch), **vars(span_launch)}
kernels = {name for name, value in modules.items() if isinstance(value, JITFunction)}
listed = list(shipped.configurations(head_dims=(64, 80), aligned=(True, False)))
print(json.dumps({
    "kernels": sorted(kernels),
    "listed": [[one.name, one.kernel, one.target, one.signature, one.constants, one.divisible] for one in listed],
    "tf32": {
        target: sorted({one.tf32 for one in shipped.configurations([target], head_dims=(64,))})
        for target in ("sm_80", "gfx942", "gfx90a")
    },
}))
"""


@pytest.fixture(scope="module")
def told(compiling: Callable[[str], str]) -> dict[str, list]:
    found: dict[str, list] = json.loads(compiling(PROGRAM))
    return found


def test_every_kernel_is_listed_for_every_target(told: dict[str, list]) -> None:
    for target in ("sm_80", "sm_90", "gfx942"):
        assert {kernel for _, kernel, of, *_ in told["listed"] if of == target} == set(told["kernels"])
    names = [name for name, *_ in told["listed"]]
    assert len(set(names)) == len(names)


def test_tf32_is_listed_where_it_is_launched(told: dict[str, list]) -> None:
    assert told["tf32"] == {"sm_80": [False, True], "gfx942": [False, True], "gfx90a": [False]}


def test_arguments_are_typed_as_they_are_handed_over(told: dict[str, list]) -> None:
    listed = {name: rest for name, *rest in told["listed"]}
    _, _, signature, constants, divisible = listed["sm_90-band_backward_query-float16-d80-causal-weighted"]
    assert {signature[name] for name in ("query", "grad_query")} == {"*fp16"}
    assert (signature["log_sums"], signature["states"], signature["positions"]) == ("*fp32", "*i8", "*i32")
    assert (signature["scale"], signature["query_n"], signature["WIDTH"]) == ("fp32", "i32", "constexpr")
    assert (constants["HEAD_DIM"], constants["WIDTH"], constants["CAUSAL"], constants["WEIGHTED"]) == (
        80,
        128,
        True,
        True,
    )
    assert {"query", "query_b", "query_h", "query_n", "tokens"} <= set(divisible)
    assert "heads" not in divisible
    *_, divisible = listed["sm_90-band_backward_query-float16-d80-causal-weighted-unaligned"]
    assert not {"query", "grad_output", "query_b", "query_n", "tokens"} & set(divisible)


def test_tiles_divide_the_part_of_a_row() -> None:
    """Else a part's last tile would reach into the next part, and its keys be counted twice."""
    for blocks in (blocks for table in SHIPPED.values() for blocks in table.values()):
        for tile in (blocks.forward, blocks.backward_query, blocks.backward_key):
            assert blocks.part % tile.queries == blocks.part % tile.keys == 0
            assert tile.warps in (4, 8)


def test_a_target_without_tiles_of_its_own_has_those_of_sm_80() -> None:
    for dtype, tf32 in ((torch.bfloat16, False), (torch.float32, True), (torch.float32, False)):
        for head_dim in (1, 16, 17, 64, 65, 128):
            assert choose(dtype, tf32, head_dim, "sm_86", 9) == choose(dtype, tf32, head_dim, "sm_80", 9)
    assert choose(torch.float16, False, 64, "sm_90", 9) != choose(torch.float16, False, 64, "sm_80", 9)
