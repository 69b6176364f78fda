"""Right kernels: tensors in tuples and descriptors, which triton has since 3.4. Run by `planted.py`."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from planted_registry import right, same
from triton.tools.tensor_descriptor import TensorDescriptor


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
def descriptors(source, target, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    row = tl.program_id(0) * ROWS
    target.store([row, 0], source.load([row, 0]))


@right
def tensor_descriptors() -> None:
    x, y = torch.arange(24.0).view(3, 8), torch.empty(3, 8)
    source, target = (TensorDescriptor.from_tensor(each, [2, 8]) for each in (x, y))
    descriptors[(2,)](source, target, ROWS=2, COLUMNS=8)
    same(y, x)
