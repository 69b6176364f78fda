"""Right kernels: all forms in which tensors are handed over and addressed. Run by `planted.py`."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from planted_lanes import double
from planted_registry import right, same


@right
def in_place() -> None:
    x = torch.arange(40.0)
    double[(3,)](x, x, 40, BLOCK=16)
    same(x, 2 * torch.arange(40.0))


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
