"""Accesses of memory that is no element of the tensor. Run by `planted.py`."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from planted_memory import load_words
from planted_registry import faulty, same


@triton.jit
def double_without_mask(x, y, n, BLOCK: tl.constexpr):
    places = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(y + places, 2 * tl.load(x + places), mask=places < n)  # fault


@faulty("out-of-bounds load")
def load_beyond_the_end() -> None:
    memory = torch.arange(128.0)
    x, y = memory[:100], torch.zeros(100)
    double_without_mask[(4,)](x, y, 100, BLOCK=32)
    same(y, 2 * x)


@triton.jit
def double_and_store_all(x, y, n, BLOCK: tl.constexpr):
    places = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(y + places, 2 * tl.load(x + places, mask=places < n, other=0.0))  # fault


@faulty("out-of-bounds store")
def store_beyond_the_end() -> None:
    x, y = torch.arange(100.0), torch.zeros(128)[:100]
    double_and_store_all[(4,)](x, y, 100, BLOCK=32)
    same(y, 2 * x)


@triton.jit
def load_before(x, y, BLOCK: tl.constexpr):
    places = tl.arange(0, BLOCK)
    back = tl.load(x + places - 1)  # fault
    tl.store(y + places, tl.where(places > 0, back, 0.0))


@faulty("out-of-bounds load")
def load_before_the_start() -> None:
    memory = torch.arange(17.0)
    x, y = memory[1:], torch.zeros(16)
    load_before[(1,)](x, y, BLOCK=16)
    same(y[1:], x[:-1])


@triton.jit
def fill_rows(x, stride, columns, WIDTH: tl.constexpr):
    places = tl.arange(0, WIDTH)
    tl.store(x + tl.program_id(0) * stride + places, 1.0, mask=places < columns + 1)  # fault


@faulty("out-of-bounds store")
def store_between_the_rows() -> None:
    x = torch.zeros(4, 8)[:, :5]
    fill_rows[(4,)](x, x.stride(0), 5, WIDTH=8)
    same(x, torch.ones(4, 5))


@triton.jit
def store_into_another(x, y, BLOCK: tl.constexpr):
    places = tl.arange(0, BLOCK)
    tl.store(y + places, 1.0)
    tl.store(x + BLOCK + places, 2.0)  # fault


@faulty("out-of-bounds store")
def store_into_the_next_tensor() -> None:
    memory = torch.zeros(32)
    x, y = memory[:16], memory[16:]
    store_into_another[(1,)](x, y, BLOCK=16)
    same(y, torch.full((16,), 2.0))


@triton.jit
def count_all(counts, values, n, BLOCK: tl.constexpr):
    places = tl.arange(0, BLOCK)
    which = tl.load(values + places, mask=places < n, other=0)
    tl.atomic_add(counts + which, 1, mask=places < n)  # fault


@faulty("out-of-bounds atomic")
def atomic_beyond_the_end() -> None:
    memory = torch.zeros(8, dtype=torch.int32)
    values = torch.tensor([0, 1, 1, 3, 4], dtype=torch.int32)
    count_all[(1,)](memory[:4], values, 5, BLOCK=8)
    same(memory[:4], torch.tensor([1, 2, 0, 1], dtype=torch.int32))


@faulty("out-of-bounds load")
def last_byte_of_a_word_out_of_bounds() -> None:
    x, y = torch.arange(16, dtype=torch.int8), torch.zeros(4, dtype=torch.int32)
    load_words[(1,)](x[:15], y, BLOCK=4)
    same(y, x.view(torch.int32))
