"""Kernels on tensors of 2.6 G elements, of which a launch touches a few rows: offsets in int32 wrap there.

A line with a fault ends in "# fault". The interpreter alone would die of the addresses: see `test_large.py`.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

ROWS, WIDTH = 2_600, 1_000_003
FIRST, LAST = ROWS - 3, ROWS - 1  # the rows that are touched


def zeros() -> torch.Tensor:
    return torch.zeros(ROWS, WIDTH, dtype=torch.float16)


@triton.jit
def load_row(x, y, first, stride, BLOCK: tl.constexpr):
    row, places = first + tl.program_id(0), tl.arange(0, BLOCK)
    found = tl.load(x + row * stride + places)  # fault
    tl.store(y + tl.program_id(0) * BLOCK + places, found)


def wraps_in_a_load() -> None:
    load_row[(3,)](zeros(), torch.zeros(48, dtype=torch.float16), FIRST, WIDTH, BLOCK=16)


@triton.jit
def store_row(y, first, stride, BLOCK: tl.constexpr):
    row, places = first + tl.program_id(0), tl.arange(0, BLOCK)
    tl.store(y + row * stride + places, 1.0)  # fault


def wraps_in_a_store() -> None:
    store_row[(3,)](torch.empty(ROWS, WIDTH, dtype=torch.float16), FIRST, WIDTH, BLOCK=16)


@triton.jit
def walk_row(x, y, first, stride, BLOCK: tl.constexpr):
    pointers = x + (first + tl.program_id(0)) * stride + tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), dtype=tl.float32)
    for _ in range(4):
        total += tl.load(pointers).to(tl.float32)  # fault
        pointers += BLOCK
    tl.store(y + tl.program_id(0), tl.sum(total, 0))


def wraps_in_pointer_arithmetic() -> None:
    walk_row[(3,)](zeros(), torch.zeros(3), FIRST, WIDTH, BLOCK=16)


@triton.jit
def count_row(counts, first, stride, BLOCK: tl.constexpr):
    row, places = first + tl.program_id(0), tl.arange(0, BLOCK)
    tl.atomic_add(counts + row * stride + places, 1)  # fault


def wraps_in_an_atomic() -> None:
    count_row[(3,)](torch.zeros(ROWS, WIDTH, dtype=torch.int32), FIRST, WIDTH, BLOCK=16)


@triton.jit
def right_rows(x, y, z, first, stride, BLOCK: tl.constexpr):
    row, places = (first + tl.program_id(0)).to(tl.int64), tl.arange(0, BLOCK)
    tl.store(y + row * stride + places, 2 * tl.load(x + row * stride + places))
    tl.store(z + tl.program_id(0) * BLOCK + places, tl.load(y + row * stride + places))


def in_int64_all_is_well() -> None:
    x, y, z = (
        torch.ones(ROWS, WIDTH, dtype=torch.float16),
        torch.empty(ROWS, WIDTH, dtype=torch.float16),
        torch.zeros(48),
    )
    x[LAST, 1] = 4
    right_rows[(3,)](x, y, z, FIRST, WIDTH, BLOCK=16)
    assert y[LAST, :3].tolist() == [2, 8, 2]
    assert z[32:35].tolist() == [2, 8, 2]


@triton.jit
def read_beside(x, y, z, first, stride, BLOCK: tl.constexpr):
    row, places = (first + tl.program_id(0)).to(tl.int64), tl.arange(0, BLOCK)
    tl.store(y + row * stride + places, 1.0)
    tl.store(z + places, tl.load(y + row * stride + places + 1))  # fault


def reads_what_nothing_has_written() -> None:
    y = torch.empty(ROWS, WIDTH, dtype=torch.float16)
    read_beside[(1,)](zeros(), y, torch.zeros(16), LAST, WIDTH, BLOCK=16)


@triton.jit
def write_first(y, first, stride, BLOCK: tl.constexpr):
    row = (first + 0 * tl.program_id(0)).to(tl.int64)
    tl.store(y + row * stride + tl.arange(0, BLOCK), 1.0)  # fault


def two_programs_write_a_far_row() -> None:
    write_first[(2,)](torch.empty(ROWS, WIDTH, dtype=torch.float16), LAST, WIDTH, BLOCK=16)


@triton.jit
def sum_far(x, y, row, stride, n, BLOCK: tl.constexpr):
    places = tl.arange(0, BLOCK)
    found = tl.load(x + tl.full((1,), row, tl.int64) * stride + places, mask=places < n)  # fault
    tl.store(y + tl.full((1,), row, tl.int64) * stride, tl.sum(found, 0)[None])


def sums_undefined_lanes_of_a_far_row() -> None:
    sum_far[(1,)](zeros(), zeros(), LAST, WIDTH, 9, BLOCK=16)


@triton.jit
def touch(x, BLOCK: tl.constexpr):
    tl.store(x + tl.arange(0, BLOCK), 1.0)


def needs_too_much() -> None:
    touch[(1,)](torch.zeros(16), BLOCK=16)
    held = torch.empty(1 << 30, dtype=torch.int8).fill_(1)
    touch[(1,)](held.view(torch.float32), BLOCK=16)


def is_killed() -> None:
    import os
    import signal

    touch[(1,)](torch.zeros(16), BLOCK=16)
    os.kill(os.getpid(), signal.SIGKILL)
