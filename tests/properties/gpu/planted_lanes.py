"""Lanes: inactive ones whose content is undefined, and two of a store with one target. Run by `planted.py`."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from planted_registry import faulty, right, same


@triton.jit
def sum_without_other(x, y, n, BLOCK: tl.constexpr):
    places = tl.arange(0, BLOCK)
    tl.store(y, tl.sum(tl.load(x + places, mask=places < n), 0))  # fault


@faulty("missing other")
def sum_of_undefined_lanes() -> None:
    x, y = torch.arange(100.0), torch.zeros(1)
    sum_without_other[(1,)](x, y, 100, BLOCK=128)
    same(y, x.sum().view(1))


@triton.jit
def count_locals(states, y, n, BLOCK: tl.constexpr):
    places = tl.arange(0, BLOCK)
    state = tl.load(states + places, mask=places < n)  # fault
    tl.store(y, tl.sum((state == 1).to(tl.int32), 0))


@faulty("missing other")
def state_of_undefined_lanes() -> None:
    states, y = torch.ones(20, dtype=torch.int8), torch.zeros(1, dtype=torch.int32)
    count_locals[(1,)](states, y, 20, BLOCK=32)
    same(y, torch.tensor([20], dtype=torch.int32))


@triton.jit
def gather_without_other(x, positions, y, n, BLOCK: tl.constexpr):
    places = tl.arange(0, BLOCK)
    rows = tl.load(positions + places, mask=places < n)  # fault
    tl.store(y + places, tl.load(x + rows), mask=places < n)


@faulty("missing other")
def position_of_undefined_lanes() -> None:
    x, positions, y = torch.arange(9.0), torch.tensor([8, 3, 5], dtype=torch.int32), torch.zeros(3)
    gather_without_other[(1,)](x, positions, y, 3, BLOCK=4)
    same(y, torch.tensor([8.0, 3.0, 5.0]))


@triton.jit
def guilty_and_harmless(x, y, z, n, BLOCK: tl.constexpr):
    places = tl.arange(0, BLOCK)
    tl.store(y, tl.sum(tl.load(x + places, mask=places < n), 0))  # fault
    tl.store(z + places, tl.load(x + places, mask=places < n), mask=places < n)


@faulty("missing other")
def one_of_two_loads_without_other() -> None:
    x, y, z = torch.arange(5.0), torch.zeros(1), torch.zeros(5)
    guilty_and_harmless[(1,)](x, y, z, 5, BLOCK=8)
    same(y, x.sum().view(1))


@triton.jit
def double(x, y, n, BLOCK: tl.constexpr):
    places = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(y + places, 2 * tl.load(x + places, mask=places < n), mask=places < n)  # undefined lanes are not stored


@right
def masked_with_undefined_lanes_not_stored() -> None:
    for n in (1, 31, 32, 33):
        x, y = torch.arange(float(n)), torch.empty(n)
        double[(triton.cdiv(n, 32),)](x, y, n, BLOCK=32)
        same(y, 2 * x)


@triton.jit
def copy_numbers(x, y, n, OTHER: tl.constexpr):
    place = tl.program_id(0)
    tl.store(y + place, tl.load(x + place, mask=place < n, other=OTHER))


@right
def a_single_number_with_other() -> None:
    for other in (0.0, 0, 3.0):
        x, y = torch.arange(1.0, 4.0), torch.empty(5)
        copy_numbers[(5,)](x, y, 3, OTHER=other)
        same(y, torch.tensor([1.0, 2.0, 3.0, other, other]))


@triton.jit
def copy_blocks_of_one(x, y, n, BLOCK: tl.constexpr):
    places = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(y + places, tl.load(x + places, mask=places < n, other=0.0))


@right
def a_block_of_one_with_other() -> None:
    x, y = torch.ones(3, dtype=torch.float16), torch.empty(5, dtype=torch.float16)
    copy_blocks_of_one[(5,)](x, y, 3, BLOCK=1)
    same(y, torch.tensor([1, 1, 1, 0, 0], dtype=torch.float16))


@triton.jit
def copy_numbers_without_other(x, y, n):
    place = tl.program_id(0)
    found = tl.load(x + place, mask=place < n)  # fault
    tl.store(y + place, found)


@faulty("missing other")
def a_single_number_without_other() -> None:
    x, y = torch.arange(1.0, 4.0), torch.empty(5)
    copy_numbers_without_other[(5,)](x, y, 3)
    same(y[:3], x)


@triton.jit
def store_pairs(y, BLOCK: tl.constexpr):
    places = tl.arange(0, BLOCK)
    tl.store(y + places // 2, places)  # fault


@faulty("lane race")
def two_lanes_one_element() -> None:
    y = torch.zeros(8, dtype=torch.int32)
    store_pairs[(1,)](y, BLOCK=16)
    same(y, torch.arange(1, 16, 2, dtype=torch.int32))


@triton.jit
def store_pairs_alike(y, BLOCK: tl.constexpr):
    places = tl.arange(0, BLOCK) // 2
    tl.store(y + places, places)


@right
def two_lanes_one_element_one_value() -> None:
    y = torch.zeros(8, dtype=torch.int32)
    store_pairs_alike[(1,)](y, BLOCK=16)
    same(y, torch.arange(8, dtype=torch.int32))
