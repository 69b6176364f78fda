"""Kernels with planted faults, and right ones that come near: `TRITON_INTERPRET=1 python planted.py MODE`.

Prints {name: what went wrong}. MODE is plain: in Triton's interpreter alone; sanitized; or mended: sanitized, in the
interpreter as the package mends it. A line with a fault ends in the words "# fault".
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable

import numpy as np
import torch
import triton
import triton.language as tl
from triton.tools.tensor_descriptor import TensorDescriptor

from trueband.adapters.interpreter import mend
from trueband.properties.gpu.sanitizer import sanitized

FAULTY: dict[str, Callable[[], None]] = {}
KIND: dict[str, str] = {}
RIGHT: dict[str, Callable[[], None]] = {}


def faulty(kind: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    def register(function: Callable[[], None]) -> Callable[[], None]:
        FAULTY[function.__name__], KIND[function.__name__] = function, kind
        return function

    return register


def right(function: Callable[[], None]) -> Callable[[], None]:
    RIGHT[function.__name__] = function
    return function


def same(found: torch.Tensor, expected: torch.Tensor) -> None:
    """A fault that the numbers tell is not what is planted here."""
    assert torch.equal(found, expected), f"expected {expected}, got {found}"


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
def count_then_store(x, parts, y, counter, BLOCK: tl.constexpr, PROGRAMS: tl.constexpr):
    program = tl.program_id(0)
    part = tl.sum(tl.load(x + program * BLOCK + tl.arange(0, BLOCK)), 0)
    is_last = tl.atomic_add(counter, 1) == PROGRAMS - 1
    tl.store(parts + program, part)  # fault
    if is_last:
        tl.store(y, tl.sum(tl.load(parts + tl.arange(0, PROGRAMS)), 0))  # fault


@faulty("read/write race")
def part_stored_after_it_is_counted() -> None:
    x, parts, y, counter = torch.arange(64.0), torch.zeros(4), torch.zeros(1), torch.zeros(1, dtype=torch.int32)
    count_then_store[(4,)](x, parts, y, counter, BLOCK=16, PROGRAMS=4)
    same(y, x.sum().view(1))


@triton.jit
def relaxed_count(x, parts, y, counter, BLOCK: tl.constexpr, PROGRAMS: tl.constexpr):
    program = tl.program_id(0)
    tl.store(parts + program, tl.sum(tl.load(x + program * BLOCK + tl.arange(0, BLOCK)), 0))
    if tl.atomic_add(counter, 1, sem="relaxed") == PROGRAMS - 1:
        tl.store(y, tl.sum(tl.load(parts + tl.arange(0, PROGRAMS)), 0))  # fault


@faulty("read/write race")
def counted_without_an_order() -> None:
    x, parts, y, counter = torch.arange(64.0), torch.zeros(4), torch.zeros(1), torch.zeros(1, dtype=torch.int32)
    relaxed_count[(4,)](x, parts, y, counter, BLOCK=16, PROGRAMS=4)
    same(y, x.sum().view(1))


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


@triton.jit
def count_up(counter):
    tl.atomic_add(counter, 1)  # fault


@faulty("unwritten read")
def counter_that_nobody_set_to_zero() -> None:
    count_up[(3,)](torch.empty(1, dtype=torch.int32))


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


@right
def in_place() -> None:
    x = torch.arange(40.0)
    double[(3,)](x, x, 40, BLOCK=16)
    same(x, 2 * torch.arange(40.0))


@right
def parts_that_are_all_written() -> None:
    x, parts, y = torch.arange(40.0), torch.empty(4), torch.empty(1)
    store_parts[(3,)](x, parts, 40, BLOCK=16)
    parts[3] = 0
    add_parts[(1,)](parts, y, 4, BLOCK=4)
    same(y, x.sum().view(1))


@right
def bytes_that_torch_wrote() -> None:
    """Every value that a byte can have, the one among them that marks memory as unwritten."""
    everything = torch.arange(-128, 128, dtype=torch.int8)
    x, y = torch.empty(256, dtype=torch.int8), torch.empty(256, dtype=torch.int8)
    x.copy_(everything)
    double[(8,)](x, y, 256, BLOCK=32)
    same(y, 2 * everything)


@triton.jit
def copy_rows(x, y, x_row, x_column, y_row, y_column, columns, WIDTH: tl.constexpr):
    row, places = tl.program_id(0), tl.arange(0, WIDTH)
    value = tl.load(x + row * x_row + places * x_column, mask=places < columns, other=0.0)
    tl.store(y + row * y_row + places * y_column, value, mask=places < columns)


@right
def strides_of_all_kinds() -> None:
    table = torch.arange(60.0).view(6, 10)
    for x in (table[:, 2:7], table[:, ::2], table[0, :5].expand(6, 5), table.view(5, 12)[:, :6].T):
        y = torch.zeros(6, 9)[:, 3:8]
        copy_rows[(6,)](x, y, *x.stride(), *y.stride(), 5, WIDTH=8)
        same(y, x)


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


@triton.jit
def last_adds_up(x, parts, y, counter, BLOCK: tl.constexpr, PROGRAMS: tl.constexpr):
    program = tl.program_id(0)
    tl.store(parts + program, tl.sum(tl.load(x + program * BLOCK + tl.arange(0, BLOCK)), 0))
    if tl.atomic_add(counter, 1) == PROGRAMS - 1:
        tl.store(y, tl.sum(tl.load(parts + tl.arange(0, PROGRAMS)), 0))


@right
def sum_by_the_last_program() -> None:
    x, parts, y, counter = torch.arange(64.0), torch.empty(4), torch.empty(1), torch.zeros(1, dtype=torch.int32)
    last_adds_up[(4,)](x, parts, y, counter, BLOCK=16, PROGRAMS=4)
    same(y, x.sum().view(1))


@triton.jit
def add_pair(pair, y, n, BLOCK: tl.constexpr):
    places = tl.arange(0, BLOCK)
    inside = places < n
    tl.store(y + places, tl.load(pair[0] + places, mask=inside) + tl.load(pair[1] + places, mask=inside), mask=inside)


@right
def tuple_of_tensors() -> None:
    x, y = torch.arange(5.0), torch.empty(5)
    add_pair[(1,)]((x, x), y, 5, BLOCK=8)
    same(y, 2 * x)


@triton.jit
def through_a_table(table, y, BLOCK: tl.constexpr):
    x = tl.load(table + tl.program_id(0)).to(tl.pointer_type(tl.float32))
    places = tl.arange(0, BLOCK)
    tl.store(y + tl.program_id(0) * BLOCK + places, tl.load(x + places))


@right
def addresses_from_memory() -> None:
    tensors = [torch.arange(4.0), torch.ones(4)]
    y = torch.empty(2, 4)
    through_a_table[(2,)](torch.tensor([each.data_ptr() for each in tensors]), y, BLOCK=4)
    same(y, torch.stack(tensors))


@triton.jit
def block_pointers(x, y, rows, columns, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    source = tl.make_block_ptr(x, (rows, columns), (columns, 1), (0, 0), (ROWS, COLUMNS), (1, 0))
    target = tl.make_block_ptr(y, (rows, columns), (columns, 1), (0, 0), (ROWS, COLUMNS), (1, 0))
    tl.store(target, tl.load(source, boundary_check=(0, 1)), boundary_check=(0, 1))


@right
def block_pointers_with_checked_edges() -> None:
    x, y = torch.arange(15.0).view(3, 5), torch.empty(3, 5)
    block_pointers[(1,)](x, y, 3, 5, ROWS=4, COLUMNS=8)
    same(y, x)


@triton.jit
def descriptors(source, target, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    row = tl.program_id(0) * ROWS
    target.store([row, 0], source.load([row, 0]))


@right
def tensor_descriptors() -> None:
    x, y = torch.arange(24.0).view(3, 8), torch.empty(3, 8)
    source, target = (TensorDescriptor.from_tensor(each, [2, 8]) for each in (x, y))
    descriptors[(2,)](source, target, ROWS=2, COLUMNS=8)
    same(y, x)


def plain(function: Callable[[], None]) -> str | None:
    try:
        function()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def watched(function: Callable[[], None]) -> list[list[str]]:
    """[kind, the line of the source, tensor] of each finding."""
    with sanitized() as report, contextlib.suppress(AssertionError):  # an access that is refused changes the numbers
        function()
    return [[finding.kind, finding.place.source, finding.tensor] for finding in report.findings]


if __name__ == "__main__":
    np.seterr(all="ignore")
    torch.set_num_threads(1)
    if sys.argv[1] == "mended":
        mend()
    look = plain if sys.argv[1] == "plain" else watched
    print(json.dumps({name: look(function) for name, function in {**FAULTY, **RIGHT}.items()}))
