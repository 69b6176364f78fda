"""Which bytes are elements of a tensor, and which element, against every element of it counted one by one."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from trueband.properties.gpu.sanitizer.argument import TAG_SHIFT, Argument
from trueband.properties.gpu.sanitizer.memory import Memory


@st.composite
def tensors(draw: st.DrawFn) -> torch.Tensor:
    """A slice of a permuted table, with steps, and axes that are expanded or have one element."""
    sizes = draw(st.lists(st.integers(0, 4), min_size=0, max_size=3))
    table = torch.arange(float(np.prod(sizes, dtype=int)), dtype=draw(st.sampled_from([torch.float32, torch.int8])))
    table = table.view(sizes).permute(draw(st.permutations(range(len(sizes)))))
    for axis, size in enumerate(table.shape):
        start, step = draw(st.integers(0, 2)), draw(st.integers(1, 2))
        index = [slice(None)] * table.dim()
        index[axis] = slice(min(start, size), size, step)
        table = table[tuple(index)]
    return table.unsqueeze(0).expand(2, *table.shape) if draw(st.booleans()) else table


def argument(tensor: torch.Tensor, number: int = 3) -> Argument:
    return Argument("x", tensor, number, Memory(tensor.untyped_storage(), tensor.element_size(), None))


def places(tensor: torch.Tensor) -> dict[int, list[tuple[int, ...]]]:
    """Offset in bytes from the first element: indices of the elements that lie there."""
    found: dict[int, list[tuple[int, ...]]] = {}
    for index in itertools.product(*(range(size) for size in tensor.shape)):
        offset = sum(i * stride for i, stride in zip(index, tensor.stride(), strict=True)) * tensor.element_size()
        found.setdefault(offset, []).append(index)
    return found


@given(tensors())
def test_exactly_the_elements_are_contained(tensor: torch.Tensor) -> None:
    item, known = tensor.element_size(), places(tensor)
    offsets = np.arange(-3 * item, 70 * item, item)
    assert argument(tensor).contains(offsets, item).tolist() == [int(offset) in known for offset in offsets]


@given(tensors())
def test_the_index_of_an_element(tensor: torch.Tensor) -> None:
    for offset, indices in places(tensor).items():
        assert argument(tensor).index(offset) in indices or tensor.dim() == 0


@given(tensors(), st.integers(1, 2))
def test_an_access_that_reaches_beyond_the_last_byte(tensor: torch.Tensor, elements: int) -> None:
    """Twice as wide as an element: both halves have to be elements."""
    item, known = tensor.element_size(), places(tensor)
    offsets = np.array(sorted(known), dtype=np.int64)
    wide = [all(int(offset) + k * item in known for k in range(elements)) for offset in offsets]
    assert argument(tensor).contains(offsets, elements * item).tolist() == wide


def test_overlapping_windows_are_elements_all_over() -> None:
    windows = torch.arange(10.0).unfold(0, 4, 1)
    assert argument(windows).contains(4 * np.arange(-1, 11), 4).tolist() == [False, *[True] * 10, False]


def test_an_index_out_of_bounds_is_told_along_the_widest_stride() -> None:
    table = argument(torch.zeros(3, 5))
    assert (table.index(4 * 15), table.index(4 * 17), table.index(-4)) == ((3, 0), (3, 2), (-1, 4))
    assert argument(torch.zeros(())).index(8) == (2,)
    assert argument(torch.zeros(1, 1)).index(8) == (0, 2)


def test_the_address_tells_the_argument() -> None:
    tensor = torch.zeros(4)
    found = argument(tensor, number=3)
    assert found.tagged >> TAG_SHIFT == 3
    assert found.tagged & ((1 << TAG_SHIFT) - 1) == tensor.data_ptr()
