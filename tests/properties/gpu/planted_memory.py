"""Memory that nothing has written. Run by `planted.py`."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from planted_lanes import double
from planted_registry import faulty, right, same


@triton.jit
def store_parts(x, parts, n, BLOCK: tl.constexpr):
    program = tl.program_id(0)
    places = program * BLOCK + tl.arange(0, BLOCK)
    tl.store(parts + program, tl.sum(tl.load(x + places, mask=places < n, other=0.0), 0))


@triton.jit
def add_parts(parts, y, count, BLOCK: tl.constexpr):
    places = tl.arange(0, BLOCK)
    tl.store(y, tl.sum(tl.load(parts + places, mask=places < count, other=0.0), 0))  # fault


@faulty("unwritten read")
def one_part_too_many() -> None:
    x, parts, y = torch.arange(40.0), torch.empty(4), torch.empty(1)
    store_parts[(3,)](x, parts, 40, BLOCK=16)
    add_parts[(1,)](parts, y, 4, BLOCK=4)


@right
def parts_that_are_all_written() -> None:
    x, parts, y = torch.arange(40.0), torch.empty(4), torch.empty(1)
    store_parts[(3,)](x, parts, 40, BLOCK=16)
    parts[3] = 0
    add_parts[(1,)](parts, y, 4, BLOCK=4)
    same(y, x.sum().view(1))


@triton.jit
def count_up(counter):
    tl.atomic_add(counter, 1)  # fault


@faulty("unwritten read")
def counter_that_nobody_set_to_zero() -> None:
    count_up[(3,)](torch.empty(1, dtype=torch.int32))


@right
def bytes_that_torch_wrote() -> None:
    """Every value that a byte can have, the one among them that marks memory as unwritten."""
    everything = torch.arange(-128, 128, dtype=torch.int8)
    x, y = torch.empty(256, dtype=torch.int8), torch.empty(256, dtype=torch.int8)
    x.copy_(everything)
    double[(8,)](x, y, 256, BLOCK=32)
    same(y, 2 * everything)


@triton.jit
def store_bytes(x, n, BLOCK: tl.constexpr):
    places = tl.arange(0, BLOCK)
    tl.store(x + places, places.to(tl.int8), mask=places < n)


@triton.jit
def load_words(x, y, BLOCK: tl.constexpr):
    words = x.to(tl.pointer_type(tl.int32))
    places = tl.arange(0, BLOCK)
    tl.store(y + places, tl.load(words + places))  # fault


@faulty("unwritten read")
def last_byte_of_a_word_unwritten() -> None:
    x, y = torch.empty(16, dtype=torch.int8), torch.zeros(4, dtype=torch.int32)
    store_bytes[(1,)](x, 15, BLOCK=16)
    load_words[(1,)](x, y, BLOCK=4)
    same(y[:3], torch.arange(12, dtype=torch.int8).view(torch.int32))


@right
def words_of_bytes() -> None:
    x, y = torch.empty(16, dtype=torch.int8), torch.empty(4, dtype=torch.int32)
    store_bytes[(1,)](x, 16, BLOCK=16)
    load_words[(1,)](x, y, BLOCK=4)
    same(y, torch.arange(16, dtype=torch.int8).view(torch.int32))
