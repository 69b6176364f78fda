"""No address tells a row of the batch alone from the same row in a batch, see `test_addresses`: its meters are used."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from trueband.optimized.attention.chunked import plan as chunked_plan
from trueband.optimized.attention.chunked.space import Workspace
from trueband.optimized.attention.chunked.span import tiles
from trueband.optimized.attention.chunked.span.backward import span_backward
from trueband.optimized.attention.chunked.span.forward import span_forward

_SPEC = importlib.util.spec_from_file_location("addresses", Path(__file__).parents[1] / "test_addresses.py")
assert _SPEC is not None
assert _SPEC.loader is not None
addresses: Any = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(addresses)

ROWS, HEADS, KEY_HEADS, QUERIES, TOKENS = 3, 4, 2, 70, 90


class Kind(NamedTuple):
    """What a call has beside queries, keys and values."""

    key_heads: int = KEY_HEADS
    queries: int = QUERIES
    left: int | None = 20
    right: int | None = 0
    globals_: bool = False
    padding: bool = False
    segments: bool = False
    scores: bool = False
    dilations: tuple[int, ...] = (1,) * HEADS
    offsets: bool = True


KINDS = {
    "plain": Kind(),
    "one head each": Kind(key_heads=HEADS, left=None, padding=True),
    "no limit": Kind(left=None, right=None, scores=True),
    "step": Kind(queries=1),
    "dilated": Kind(padding=True, dilations=(2, 2, 1, 3)),
    "segments": Kind(padding=True, segments=True, left=None, offsets=False),
    "globals": Kind(queries=TOKENS, globals_=True, padding=True, offsets=False),
}


class Call(NamedTuple):
    """Arguments of the operator but for its options, and the gradient of the output."""

    floating: list[Tensor]  # query, key, value, grad_output
    others: list[Tensor | None]  # masks, segments, offsets
    per_head: Tensor
    kind: Kind

    def rows(self, some: slice, lay: Callable[[Tensor], Tensor]) -> Call:
        """Some rows of the batch, laid anew."""
        others = [None if each is None else each[some] for each in self.others]
        return self._replace(floating=[lay(tensor[some]) for tensor in self.floating], others=others)

    def arguments(self) -> Any:
        kind, options = self.kind, [self.per_head if self.kind.scores else None] * 2
        cap = 2.0 if kind.scores else None
        given = (None, None, None, self.per_head, *options, *self.others, None)
        return (*self.floating[:3], *given, kind.left, kind.right, list(kind.dilations), False, 0.5, cap, 0, 0.0)

    def forward(self) -> list[Tensor]:
        return list(span_forward(*self.arguments()))

    def backward(self) -> list[Tensor]:
        """Gradients of queries, keys and values. Any output and lse will do; these have no products of their own."""
        query, grad_output = self.floating[0], self.floating[3]
        lse = torch.ones(query.shape[:3], dtype=torch.float64 if query.dtype == torch.float64 else torch.float32)
        return span_backward(grad_output, lse, grad_output, lse, *self.arguments())[:3]


def draw(kind: Kind, dtype: torch.dtype, head_dim: int) -> Call:
    shapes = [(HEADS, kind.queries), (kind.key_heads, TOKENS), (kind.key_heads, TOKENS), (HEADS, kind.queries)]
    floating = [torch.randn(ROWS, *shape, head_dim).to(dtype) for shape in shapes]
    real = torch.ones(ROWS, TOKENS, dtype=torch.bool)
    real[0, 70:], real[1, :6], real[2, 30:33] = False, False, False
    is_global = torch.zeros_like(real)
    is_global[0, [0, 3, 40]], is_global[1, 66] = True, True
    others = [
        real if kind.padding else None,
        is_global if kind.globals_ else None,
        torch.arange(TOKENS).expand(ROWS, TOKENS) // torch.tensor([[31], [20], [45]]) if kind.segments else None,
        torch.tensor([20, -5, 60]) if kind.offsets else None,
    ]
    return Call(floating, others, torch.tensor([0.3, 1.7, 0.9, 0.1], dtype=dtype), kind)


def calls(dtype: torch.dtype, kind: str, head_dims: tuple[int, ...]) -> Iterator[tuple[Call, list[Call]]]:
    """A batch, and its rows one by one; everything lies somewhere else each time."""
    lay = addresses.Layouts()
    for head_dim in head_dims:
        whole = draw(KINDS[kind], dtype, head_dim)
        for first in (addresses.as_allocated, lay):
            batch = whole.rows(slice(None), first)
            yield batch, [batch.rows(slice(b, b + 1), lay) for b in range(ROWS)]


@pytest.fixture(autouse=True)
def passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "PASSES", (Call.forward, Call.backward))


EVERY = pytest.mark.parametrize("kind", KINDS)
IN_SOME = pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)


@pytest.mark.evidence
@EVERY
@IN_SOME
def test_products_of_a_row_are_given_the_same_places(dtype: torch.dtype, kind: str) -> None:
    for batch, rows in calls(dtype, kind, (1, 5, 16)):
        assert addresses.same_places(batch, rows), batch.floating[0].shape


@pytest.mark.evidence
@EVERY
def test_in_small_tiles(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles, "LEAST", 16)
    monkeypatch.setattr(chunked_plan, "SCORES", 16)
    for batch, rows in calls(torch.float32, kind, (5, 16)):
        assert addresses.same_places(batch, rows), batch.floating[0].shape


@EVERY
@pytest.mark.parametrize("awkward", [False, True], ids=["this machine", "awkward"])
def test_a_row_alone_is_the_row_in_a_batch(kind: str, awkward: bool) -> None:
    for batch, rows in calls(torch.float32, kind, (5, 16)):
        assert addresses.same_results(batch, rows, awkward), batch.floating[0].shape


def test_other_rules_are_told_by_their_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Workspace, "operand", addresses.wherever_it_lies)
    assert not all(addresses.same_places(*call) for call in calls(torch.float32, "plain", (5, 16)))
