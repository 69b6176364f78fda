"""No address tells a row of the batch alone from the same row in a batch, so no BLAS that looks at addresses can.

Two ways to see it. What products are given: shapes, and addresses and strides modulo a line of 64 bytes, of every
operand and of every result, in order. And what comes out where the order of summation depends on exactly those.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from trueband.optimized.attention.chunked import band as chunked_band
from trueband.optimized.attention.chunked import plan as chunked_plan
from trueband.optimized.attention.chunked.space import LINE, Workspace, lies_on_lines
from trueband.optimized.attention.chunked.tensors import view

DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]
HEAD_DIMS = (1, 3, 4, 5, 8, 16, 24, 64)
HEADS, TOKENS, ROWS = 3, 75, 3  # two blocks of queries, one of a few
PRODUCTS = ("mm", "bmm", "addmm", "baddbmm", "matmul", "mv", "addmv", "dot")


def place(tensor: Tensor) -> tuple[Any, ...]:
    """All that a BLAS may see of an operand, and what torch looks at when it chooses a call."""
    bytes_apart = [step * tensor.element_size() % LINE for step in tensor.stride()]
    by_row = tensor.stride(-1) == 1 and tensor.stride(-2) >= tensor.shape[-1]
    by_column = tensor.stride(-2) == 1 and tensor.stride(-1) >= tensor.shape[-2]
    return tuple(tensor.shape), tensor.data_ptr() % LINE, *bytes_apart, by_row, by_column


class Products(TorchDispatchMode):
    """Records the places of all operands; with `awkward`, sums in an order that depends on them."""

    def __init__(self, awkward: bool = False) -> None:
        super().__init__()
        self.awkward = awkward
        self.seen: list[Any] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func.overloadpacket.__name__.rstrip("_") not in PRODUCTS:
            return func(*args, **kwargs)
        changed = kwargs.get("out", args[0])
        places = [place(t) for t in (*args, *kwargs.values()) if isinstance(t, Tensor)]
        self.seen.append((func.overloadpacket.__name__, *places, changed.is_contiguous()))
        if self.awkward:
            *before, a, b = args
            generator = torch.Generator().manual_seed(hash(self.seen[-1][1:]) % 2**32)
            order = torch.randperm(a.shape[-1], generator=generator)
            args = (*before, a.index_select(-1, order), b.index_select(-2, order))
        return func(*args, **kwargs)


class Kind(NamedTuple):
    """What a call has beside queries, keys and values."""

    padding: bool = False
    globals_: bool = False
    separate: bool = False
    weighted: bool = False
    dilations: tuple[int, ...] = (1, 1, 1)
    causal: bool = False
    window: int = 9


KINDS = {
    "plain": Kind(),
    "padding": Kind(padding=True),
    "globals": Kind(padding=True, globals_=True),
    "separate": Kind(globals_=True, separate=True),
    "weighted": Kind(padding=True, globals_=True, weighted=True),
    "dilated": Kind(padding=True, globals_=True, dilations=(2, 2, 3)),
    "causal": Kind(causal=True, window=100),
}


class Call(NamedTuple):
    """Arguments of the operator but for its options, and the gradient of the output."""

    floating: list[Tensor]  # (b, h, n, d), grad_output last
    head_mask: Tensor | None
    masks: list[Tensor | None]  # (b, n)
    kind: Kind

    def rows(self, some: slice, lay: Callable[[Tensor], Tensor]) -> Call:
        """Some rows of the batch, laid anew."""
        masks = [None if mask is None else mask[some] for mask in self.masks]
        return self._replace(floating=[lay(tensor[some]) for tensor in self.floating], masks=masks)

    def arguments(self) -> Any:
        given: list[Tensor | None] = [*self.floating[:-1]]
        given += [] if self.kind.separate else [None, None, None]
        options = (self.kind.window, list(self.kind.dilations), self.kind.causal, 0.5, 0.0, True)
        return (*given, self.head_mask, *self.masks, None, *options)

    def forward(self) -> list[Tensor]:
        """The output."""
        return [chunked_band.band_forward(*self.arguments())]

    def backward(self) -> list[Tensor]:
        """Gradients of queries, keys and values, local and global; that of the head mask is no matter of a row."""
        grads = chunked_band.band_backward(self.floating[-1], *self.arguments())[:6]
        return [grad for grad in grads if grad.numel()]


def draw(kind: Kind, dtype: torch.dtype, head_dim: int) -> Call:
    floating = [torch.randn(ROWS, HEADS, TOKENS, head_dim).to(dtype) for _ in range(7 if kind.separate else 4)]
    real = torch.ones(ROWS, TOKENS, dtype=torch.bool)
    real[0, 70:], real[1, :6], real[2, 30:33] = False, False, False
    is_global = torch.zeros_like(real)
    is_global[0, [0, 3, 40]], is_global[1, 66] = True, True
    masks = [real if kind.padding else None, is_global if kind.globals_ else None]
    return Call(floating, torch.tensor([0.3, 1.7, 0.9], dtype=dtype) if kind.weighted else None, masks, kind)


class Layouts:
    """Copies of (b, h, n, d) tensors in storages that begin on a line: each a little further off, in turn laid out as
    (b, h, n, d), (b, n, h, d) and (b, h, d, n), with rows as long as they are or in wider ones."""

    def __init__(self) -> None:
        self.offsets = itertools.cycle(range(1, 33, 2))
        self.orders = itertools.cycle([(0, 1, 2, 3), (0, 2, 1, 3), (0, 1, 3, 2)])
        self.wider = itertools.cycle([0, 0, 0, 0, 7])

    def __call__(self, tensor: Tensor) -> Tensor:
        order, offset, wider = next(self.orders), next(self.offsets), next(self.wider)
        shape = [tensor.shape[axis] for axis in order]
        shape[-1] += wider
        storage = tensor.new_empty(offset + torch.Size(shape).numel())
        laid = storage[offset:].view(shape)[..., : shape[-1] - wider]
        inverse = [order.index(axis) for axis in range(4)]
        return laid.permute(inverse).copy_(tensor)


def as_allocated(tensor: Tensor) -> Tensor:
    return tensor.clone(memory_format=torch.contiguous_format)


def calls(dtype: torch.dtype, kind: str, head_dims: Sequence[int] = HEAD_DIMS) -> Iterator[tuple[Call, list[Call]]]:
    """A batch, and its rows one by one; everything lies somewhere else each time."""
    lay = Layouts()
    for head_dim in head_dims:
        whole = draw(KINDS[kind], dtype, head_dim)
        for first in (as_allocated, lay):
            batch = whole.rows(slice(None), first)
            yield batch, [batch.rows(slice(b, b + 1), lay) for b in range(ROWS)]


PASSES: tuple[Callable[[Call], list[Tensor]], ...] = (Call.forward, Call.backward)


def same_places(batch: Call, rows: list[Call]) -> bool:
    """Whether the products of the batch are those of its rows alone, one after the other, in the same places."""

    def products(run: Callable[[Call], list[Tensor]], call: Call) -> list[Any]:
        with Products() as seen:
            run(call)
        return seen.seen

    return all(products(run, batch) == [one for row in rows for one in products(run, row)] for run in PASSES)


def same_results(batch: Call, rows: list[Call], awkward: bool) -> bool:
    """Whether output and gradients of each row alone are those of the row in the batch."""

    def results(run: Callable[[Call], list[Tensor]], call: Call) -> list[Tensor]:
        if not awkward:
            return run(call)
        with Products(awkward=True):
            return run(call)

    for run in PASSES:
        together = results(run, batch)
        for b, row in enumerate(rows):
            if not all(torch.equal(w[b : b + 1], part) for w, part in zip(together, results(run, row), strict=True)):
                return False
    return True


def wherever_it_lies(space: Workspace, name: str, part: Tensor, blank: Tensor | None = None) -> Tensor:
    """Wrong: what products can take is taken, wherever it lies."""
    part = part.to(space.dtype)
    part = part if blank is None else part.masked_fill(blank[:, None], 0)
    return part if part.stride(-1) == 1 and part.stride(-2) >= part.shape[-1] else part.contiguous()


def if_its_first_byte_does(space: Workspace, name: str, part: Tensor, blank: Tensor | None = None) -> Tensor:
    """Wrong: one byte on a line does not put the rows there."""
    part = wherever_it_lies(space, name, part, blank)
    return part if part.data_ptr() % LINE == 0 else part.clone()


WRONG = pytest.mark.parametrize("wrong", [wherever_it_lies, if_its_first_byte_does], ids=lambda each: each.__name__)
EVERY = pytest.mark.parametrize("kind", KINDS)
IN_ALL = pytest.mark.parametrize("dtype", DTYPES, ids=str)


@pytest.mark.evidence
@EVERY
@IN_ALL
def test_products_of_a_row_are_given_the_same_places(dtype: torch.dtype, kind: str) -> None:
    for batch, rows in calls(dtype, kind):
        assert same_places(batch, rows), batch.floating[0].shape


def test_a_few_heads_and_global_rows_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunked_plan, "SCORES", 2 * TOKENS)
    for batch, rows in calls(torch.float32, "globals"):
        assert same_places(batch, rows), batch.floating[0].shape


@pytest.mark.evidence
@EVERY
@IN_ALL
@pytest.mark.parametrize("awkward", [False, True], ids=["this machine", "awkward"])
def test_a_row_alone_is_the_row_in_a_batch(dtype: torch.dtype, kind: str, awkward: bool) -> None:
    for batch, rows in calls(dtype, kind, (1, 5, 24, 64)):
        assert same_results(batch, rows, awkward), batch.floating[0].shape


@WRONG
@IN_ALL
def test_other_rules_are_told_by_their_places(
    dtype: torch.dtype, wrong: Callable[..., Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Workspace, "operand", wrong)
    assert not all(same_places(*call) for call in calls(dtype, "plain"))


@WRONG
@IN_ALL
def test_other_rules_are_told_by_their_results(
    dtype: torch.dtype, wrong: Callable[..., Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Workspace, "operand", wrong)
    assert not all(same_results(*call, awkward=True) for call in calls(dtype, "plain"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_accumulators_in_the_target_are_told(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunked_band, "accumulator", lambda name, target, unit, space: view(target, unit))
    assert not all(same_places(*call) for call in calls(dtype, "plain"))


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 2, 1, 3)], ids=["heads first", "tokens first"])
@pytest.mark.parametrize(("dtype", "head_dim"), [(torch.float32, 16), (torch.float32, 64), (torch.float64, 8)], ids=str)
def test_whole_lines_are_not_copied(order: tuple[int, ...], dtype: torch.dtype, head_dim: int) -> None:
    shape = [(2, HEADS, TOKENS, head_dim)[axis] for axis in order]
    tensor = torch.randn(shape, dtype=dtype).permute(order)  # each order is its own inverse
    space = Workspace(dtype, tensor.device)
    for b, tokens in itertools.product(range(2), (slice(None), slice(5, 60), slice(1, None, 3))):
        part = tensor[b, 1:, tokens]
        assert space.operand("taken", part) is part
    assert not space.buffers


@IN_ALL
@pytest.mark.parametrize("head_dim", HEAD_DIMS)
def test_copies_lie_on_lines_and_hold_the_values(dtype: torch.dtype, head_dim: int) -> None:
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    space, blank = Workspace(wide, torch.device("cpu")), torch.arange(TOKENS) % 4 == 1
    tensor, lay = torch.randn(1, HEADS, TOKENS, head_dim).to(dtype), Layouts()
    for _ in range(96):  # every layout at every offset
        part = lay(tensor)[0]
        for hidden in (None, blank):
            got = space.operand("taken", part, hidden)
            assert lies_on_lines(got)
            assert got.dtype == wide
            expected = part.to(wide) if hidden is None else part.to(wide).masked_fill(hidden[:, None], 0)
            assert torch.equal(got, expected)


def test_rows_that_are_one_row_are_copied() -> None:
    """Expanded tensors: products want rows of their own; heads may be one head."""
    space = Workspace(torch.float32, torch.device("cpu"))
    row, head = torch.randn(2, 1, 64).expand(2, 5, 64), torch.randn(1, 5, 64).expand(2, 5, 64)
    assert space.operand("taken", head) is head
    assert torch.equal(space.operand("taken", row), row)
    assert space.buffers["taken"].numel() == row.numel()
