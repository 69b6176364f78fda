"""Two programs and one element. Run by `planted.py`."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from planted_registry import faulty, right, same


@triton.jit
def store_own_number(y):
    tl.store(y, tl.program_id(0))  # fault


@faulty("write/write race")
def last_program_wins() -> None:
    y = torch.zeros(1, dtype=torch.int32)
    store_own_number[(1,)](y)
    store_own_number[(8,)](y)


@triton.jit
def add_to_total(x, y, BLOCK: tl.constexpr):
    part = tl.sum(tl.load(x + tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)), 0)
    tl.store(y, tl.load(y) + part)  # fault


@faulty("read/write race")
def sum_in_one_place() -> None:
    x, y = torch.arange(64.0), torch.zeros(1)
    add_to_total[(4,)](x, y, BLOCK=16)
    same(y, x.sum().view(1))


@triton.jit
def shift_left(x, n, BLOCK: tl.constexpr):
    places = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    following = tl.load(x + places + 1, mask=places + 1 < n, other=0.0)  # fault
    tl.store(x + places, following, mask=places < n)  # fault


@faulty("read/write race")
def shift_in_place() -> None:
    x = torch.arange(40.0)
    shift_left[(3,)](x, 40, BLOCK=16)
    same(x, torch.tensor([*range(1, 40), 0.0]))


@triton.jit
def read_or_write(x, y, WRITER: tl.constexpr):
    program = tl.program_id(0)
    value = tl.load(x, mask=program != WRITER, other=0.0)  # fault
    tl.store(y + program, value)
    tl.store(x, 1.0, mask=program == WRITER)  # fault


@faulty("read/write race")
def written_by_the_first_program() -> None:
    """With the next one: whatever the order of two programs, the reader comes first in one of them."""
    x, y = torch.zeros(1), torch.zeros(2)
    read_or_write[(2,)](x, y, WRITER=0)


@faulty("read/write race")
def written_by_the_second_program() -> None:
    x, y = torch.zeros(1), torch.zeros(2)
    read_or_write[(2,)](x, y, WRITER=1)
    same(y, torch.zeros(2))


@triton.jit
def read_all_write_one(x, y, WRITER: tl.constexpr):
    program = tl.program_id(0)
    tl.store(y + program, tl.load(x))  # fault
    tl.store(x, 1.0, mask=program == WRITER)  # fault


@faulty("read/write race")
def read_by_both_written_by_the_first() -> None:
    x, y = torch.zeros(1), torch.zeros(2)
    read_all_write_one[(2,)](x, y, WRITER=0)


@faulty("read/write race")
def read_by_both_written_by_the_second() -> None:
    x, y = torch.zeros(1), torch.zeros(2)
    read_all_write_one[(2,)](x, y, WRITER=1)
    same(y, torch.zeros(2))


@triton.jit
def word_or_byte(x):
    program = tl.program_id(0)
    tl.store(x.to(tl.pointer_type(tl.int32)), 1 << 24, mask=program == 0)  # fault
    tl.store(x + 3, 1, mask=program == 1)  # fault


@faulty("write/write race")
def last_byte_of_a_word_by_another_program() -> None:
    x = torch.zeros(4, dtype=torch.int8)
    word_or_byte[(2,)](x)
    same(x, torch.tensor([0, 0, 0, 1], dtype=torch.int8))


@triton.jit
def count_words_in_halves(x, shift):
    program = tl.program_id(0)
    value = tl.load(x + program)  # fault
    place = 2 * ((program + shift) % tl.num_programs(0))
    tl.store(x.to(tl.pointer_type(tl.int16)) + place, (value + 1).to(tl.int16))  # fault


@faulty("read/write race")
def half_of_the_next_programs_word() -> None:
    x = torch.zeros(4, dtype=torch.int32)
    count_words_in_halves[(4,)](x, 1)


@right
def half_of_the_own_word() -> None:
    x = torch.zeros(4, dtype=torch.int32)
    count_words_in_halves[(4,)](x, 0)
    same(x, torch.ones(4, dtype=torch.int32))


@triton.jit
def store_half(x, shift):
    halves = x.to(tl.pointer_type(tl.int16))
    program = tl.program_id(0)
    tl.store(halves + (program >> shift), (program + 1).to(tl.int16))  # fault


@faulty("write/write race")
def one_half_of_a_number_by_two_programs() -> None:
    x = torch.zeros(2, dtype=torch.int32)
    store_half[(4,)](x, 1)
    same(x, torch.tensor([2 + (4 << 16), 0], dtype=torch.int32))


@right
def halves_of_numbers_by_different_programs() -> None:
    x = torch.zeros(2, dtype=torch.int32)
    store_half[(4,)](x, 0)
    same(x, torch.tensor([1 + (2 << 16), 3 + (4 << 16)], dtype=torch.int32))
