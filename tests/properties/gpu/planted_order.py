"""Atomic operations that order the accesses of two programs, and some that do not. Run by `planted.py`."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from planted_registry import faulty, right, same


def sum_by_the_last(kernel: Any, **constants: str) -> None:
    """The last program to be counted adds up the parts of all."""
    x, parts, y, counter = torch.arange(64.0), torch.empty(4), torch.empty(1), torch.zeros(1, dtype=torch.int32)
    kernel[(4,)](x, parts, y, counter, BLOCK=16, PROGRAMS=4, **constants)
    same(y, x.sum().view(1))


@triton.jit
def count_then_store(x, parts, y, counter, BLOCK: tl.constexpr, PROGRAMS: tl.constexpr):
    program = tl.program_id(0)
    part = tl.sum(tl.load(x + program * BLOCK + tl.arange(0, BLOCK)), 0)
    is_last = tl.atomic_add(counter, 1) == PROGRAMS - 1
    tl.store(parts + program, part)  # fault
    if is_last:
        tl.store(y, tl.sum(tl.load(parts + tl.arange(0, PROGRAMS)), 0))  # fault


@faulty("read/write race")
def part_stored_after_it_is_counted() -> None:
    sum_by_the_last(count_then_store)


@triton.jit
def store_then_count(x, parts, y, counter, BLOCK: tl.constexpr, PROGRAMS: tl.constexpr, SEM: tl.constexpr):
    program = tl.program_id(0)
    tl.store(parts + program, tl.sum(tl.load(x + program * BLOCK + tl.arange(0, BLOCK)), 0))
    if tl.atomic_add(counter, 1, sem=SEM) == PROGRAMS - 1:
        tl.store(y, tl.sum(tl.load(parts + tl.arange(0, PROGRAMS)), 0))  # fault


@faulty("read/write race")
def counted_without_an_order() -> None:
    sum_by_the_last(store_then_count, SEM="relaxed")


@right
def counted_in_order() -> None:
    sum_by_the_last(store_then_count, SEM="acq_rel")


@triton.jit
def read_then_last_writes(x, y, counter, PROGRAMS: tl.constexpr):
    tl.store(y + tl.program_id(0), tl.load(x))
    if tl.atomic_add(counter, 1) == PROGRAMS - 1:
        tl.store(x, 1.0)


@right
def written_by_the_last_of_many_readers() -> None:
    x, y, counter = torch.zeros(1), torch.empty(4), torch.zeros(1, dtype=torch.int32)
    read_then_last_writes[(4,)](x, y, counter, PROGRAMS=4)
    same(y, torch.zeros(4))


@triton.jit
def hand_over(x, turns, order):
    """Each program takes what the one before it in the order has left, and waits for it alone."""
    ticket = tl.atomic_add(order, 1, sem="relaxed")
    while tl.atomic_add(turns + ticket, 0) == 0:
        pass
    tl.store(x, tl.load(x) + 1)
    tl.atomic_xchg(turns + ticket + 1, 1)


@right
def handed_from_program_to_program() -> None:
    x, turns, order = (
        torch.zeros(1),
        torch.tensor([1, 0, 0, 0, 0], dtype=torch.int32),
        torch.zeros(1, dtype=torch.int32),
    )
    hand_over[(4,)](x, turns, order)
    same(x, torch.full((1,), 4.0))


@triton.jit
def hand_over_and_end(x, y, turns, order, PROGRAMS: tl.constexpr):
    """The first writes; the last reads, and knows of the first only through those between them."""
    ticket = tl.atomic_add(order, 1, sem="relaxed")
    while tl.atomic_add(turns + ticket, 0) == 0:
        pass
    tl.store(x, 1.0, mask=ticket == 0)
    tl.store(y, tl.load(x, mask=ticket == PROGRAMS - 1, other=0.0), mask=ticket == PROGRAMS - 1)
    tl.atomic_xchg(turns + ticket + 1, 1)


@right
def handed_on_by_those_between() -> None:
    x, y, order = torch.zeros(1), torch.empty(1), torch.zeros(1, dtype=torch.int32)
    hand_over_and_end[(4,)](x, y, torch.tensor([1, 0, 0, 0, 0], dtype=torch.int32), order, PROGRAMS=4)
    same(y, torch.ones(1))


@triton.jit
def count_programs(counter):
    tl.atomic_add(counter, 1)


@right
def atomics_of_all_programs() -> None:
    counter = torch.zeros(1, dtype=torch.int32)
    count_programs[(2, 3, 2)](counter)
    same(counter, torch.tensor([12], dtype=torch.int32))


@triton.jit
def add_behind_a_lock(x, y, lock, BLOCK: tl.constexpr):
    part = tl.sum(tl.load(x + tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)), 0)
    while tl.atomic_cas(lock, 0, 1) == 1:
        pass
    tl.store(y, tl.load(y) + part)
    tl.atomic_xchg(lock, 0)


@right
def sum_behind_a_lock() -> None:
    x, y, lock = torch.arange(64.0), torch.zeros(1), torch.zeros(1, dtype=torch.int32)
    add_behind_a_lock[(4,)](x, y, lock, BLOCK=16)
    same(y, x.sum().view(1))
