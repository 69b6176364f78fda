"""The operators as torch sees them: schema, fake and meta tensors, autograd, compilation, autocast."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from trueband.optimized import band_attention


def leaf(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, requires_grad=True)


REAL = torch.tensor([[True, True, True, False], [True, False, True, True]])
GLOBAL = torch.tensor([[True, False, False, True], [False, False, True, False]])


def band_arguments(everything: bool) -> tuple[Any, ...]:
    given = [leaf(2, 2, 4, 2) for _ in range(6 if everything else 3)]
    if everything:
        return (*given, leaf(2), REAL, GLOBAL, torch.tensor(5), 1, [1, 2], False, 0.5, 0.3, True)
    return (*given, None, None, None, None, None, None, None, 1, [1, 1], True, 0.5, 0.0, True)


def span_arguments(everything: bool) -> tuple[Any, ...]:
    query, key, value = leaf(2, 2, 3, 2), leaf(2, 1, 4, 2), leaf(2, 1, 4, 3)
    segments, offsets = torch.tensor([[1, 1, 1, 2], [5, 5, 5, 5]]), torch.tensor([0, 1])
    if everything:
        given = (None, None, None, leaf(2), leaf(2), leaf(2), REAL, None, segments, offsets, torch.tensor(5))
        return (query, key, value, *given, None, 1, [1, 1], False, 0.5, 2.0, 0, 0.3)
    return (query, key, value, *[None] * 11, 1, None, [1, 2], True, 0.5, None, -1, 0.0)


OPS = torch.ops.trueband
OPERATORS: dict[str, Any] = {
    "span with everything": lambda: (OPS.span_attention.default, span_arguments(True)),
    "span with nothing": lambda: (OPS.span_attention.default, span_arguments(False)),
    "band with everything": lambda: (OPS.band_attention.default, band_arguments(True)),
    "band with nothing": lambda: (OPS.band_attention.default, band_arguments(False)),
    "full with everything": lambda: (
        OPS.full_attention.default,
        (*(leaf(2, 2, 4, 2) for _ in range(3)), leaf(2), REAL, torch.tensor(5), 0.5, 0.3),
    ),
    "full, causal, after others": lambda: (
        OPS.full_attention.default,
        (leaf(2, 2, 2, 2), leaf(2, 2, 4, 2), leaf(2, 2, 4, 2), leaf(2), REAL, torch.tensor(5), 0.5, 0.3, True),
    ),
    "relative": lambda: (
        OPS.relative_attention.default,
        (*(leaf(2, 2, 4, 2) for _ in range(3)), leaf(9, 2), leaf(2), REAL, torch.tensor(5), 0.5, 0.3, True, True),
    ),
    "full with nothing": lambda: (
        OPS.full_attention.default,
        (*(leaf(2, 2, 4, 2) for _ in range(3)), None, None, None, 0.5, 0.0),
    ),
    "projected": lambda: (
        OPS.projected_global_rows.default,
        (
            leaf(2, 4, 4),
            *(t for _ in range(3) for t in (leaf(4, 4), leaf(4))),
            leaf(2),
            REAL,
            GLOBAL,
            None,
            2,
            0.5,
            0.0,
        ),
    ),
    "ids": lambda: (OPS.checked_ids.default, (torch.tensor([[1, 2]]), "input_ids", 3)),
    "mask": lambda: (OPS.checked_mask.default, (torch.tensor([[1, 0]]), "attention_mask")),
    "positions": lambda: (OPS.counted_positions.default, (REAL, torch.tensor([3, 0]), "input_ids", 2, 9)),
    "last end": lambda: (OPS.last_end.default, (torch.tensor([[2, 5, 2, 1]]), 2)),
    "first separator": lambda: (OPS.first_separator.default, (torch.tensor([[0, 2, 2, 2]]), 2)),
}


@pytest.mark.evidence
@pytest.mark.parametrize("name", OPERATORS, ids=lambda name: name.replace(" ", "-"))
def test_opcheck(name: str) -> None:
    results = torch.library.opcheck(*OPERATORS[name]())
    assert set(results.values()) == {"SUCCESS"}
    assert len(results) == 4


def test_meta_and_fake_tensors() -> None:
    x = torch.empty(2, 3, 7, 4, device="meta", dtype=torch.bfloat16, requires_grad=True)
    output = band_attention(x, x, x, window=1)
    assert (output.shape, output.dtype, output.device.type) == (x.shape, x.dtype, "meta")
    assert torch.autograd.grad(output.sum(), x)[0].shape == x.shape
    with FakeTensorMode():
        mask = torch.ones(2, 7, dtype=torch.bool)
        x = torch.empty(2, 3, 7, 4)
        fake = band_attention(x, x, x, window=1, attention_mask=mask, global_attention_mask=mask)
    x = torch.zeros(2, 3, 7, 4)
    assert fake.stride() == band_attention(x, x, x, window=1).stride()


def call(query: Tensor, key: Tensor, real: Tensor, is_global: Tensor) -> Tensor:
    options: dict[str, Any] = {"attention_mask": real, "global_attention_mask": is_global, "query_global": key}
    return band_attention(query * 2, key, query + key, window=2, **options).tanh()


def test_compiled_once_for_all_shapes() -> None:
    """Whole graph, dynamic batch and length, different numbers of globals: the same bits as eager, gradients too."""
    graphs = []

    def backend(graph: Any, example: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    torch._dynamo.reset()
    compiled = torch.compile(call, fullgraph=True, dynamic=True, backend=backend)
    functions: list[Callable[..., Tensor]] = [compiled, call]
    for batch, tokens in ((3, 9), (2, 5), (6, 150)):  # at first all sizes differ, or they count as one
        real, is_global = torch.rand(2, batch, tokens) > 0.3
        inputs = [torch.randn(batch, 2, tokens, 4, requires_grad=True) for _ in range(2)]
        outputs = [function(*inputs, real, is_global) for function in functions]
        assert torch.equal(outputs[0], outputs[1])
        grads = [torch.autograd.grad(output.sum(), inputs) for output in outputs]
        assert all(torch.equal(a, b) for a, b in zip(*grads, strict=True))
    assert len(graphs) == 1


def span_call(query: Tensor, key: Tensor, value: Tensor, real: Tensor, offset: Tensor) -> tuple[Tensor, Tensor]:
    options: dict[str, Any] = {"attention_mask": real, "offset": offset, "softcap": 3.0, "return_lse": True}
    output, lse = band_attention(query * 2, key, value, window=(7, 0), **options)
    return output.tanh(), lse.exp()


def test_spans_compiled_once_for_all_shapes() -> None:
    """Key heads, other numbers of queries and keys, an offset for each row: one graph, the bits of eager."""
    graphs = []

    def backend(graph: Any, example: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    torch._dynamo.reset()
    compiled = torch.compile(span_call, fullgraph=True, dynamic=True, backend=backend)
    functions: list[Callable[..., tuple[Tensor, Tensor]]] = [compiled, span_call]
    for batch, queries, tokens in ((3, 5, 9), (2, 7, 12), (6, 70, 150)):
        real, offset = torch.rand(batch, tokens) > 0.3, torch.arange(batch)
        inputs = [
            torch.randn(batch, *size, requires_grad=True) for size in ((4, queries, 8), (2, tokens, 8), (2, tokens, 16))
        ]
        results = [function(*inputs, real, offset) for function in functions]
        assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
        grads = [torch.autograd.grad(output.sum() + lse.sum(), inputs) for output, lse in results]
        assert all(torch.equal(a, b) for a, b in zip(*grads, strict=True))
    assert len(graphs) == 1


def test_spans_of_meta_tensors_and_under_autocast() -> None:
    query, key = torch.randn(2, 4, 3, 8), torch.randn(2, 2, 7, 8)
    value = torch.randn(2, 2, 7, 5)
    right = band_attention(query, key, value, window=(None, 0), offset=4, return_lse=True)
    meta = [tensor.to("meta") for tensor in (query, key, value)]
    for found, like in zip(band_attention(*meta, window=(None, 0), offset=4, return_lse=True), right, strict=True):
        assert (found.shape, found.dtype, found.stride()) == (like.shape, like.dtype, like.stride())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = band_attention(query, key, value, window=(None, 0), offset=4, return_lse=True)
    assert all(torch.equal(a, b) for a, b in zip(inside, right, strict=True))


class Decoder(torch.nn.Module):
    """A step with a cache."""

    def forward(self, query: Tensor, key: Tensor, value: Tensor, sinks: Tensor) -> tuple[Tensor, Tensor]:
        offset = key.shape[2] - query.shape[2]
        return band_attention(query, key, value, window=(3, 0), offset=offset, sinks=sinks, return_lse=True)


def test_spans_exported_with_dynamic_lengths() -> None:
    def given(batch: int, queries: int, tokens: int) -> tuple[Tensor, ...]:
        sizes = ((4, queries, 8), (2, tokens, 8), (2, tokens, 6))
        return (*(torch.randn(batch, *size) for size in sizes), torch.randn(4))

    batch, queries, tokens = (torch.export.Dim(name, min=2) for name in ("batch", "queries", "tokens"))
    shapes = ({0: batch, 2: queries}, {0: batch, 2: tokens}, {0: batch, 2: tokens}, None)
    program = torch.export.export(Decoder(), given(3, 5, 9), dynamic_shapes=shapes).module()
    for sizes in ((3, 5, 9), (2, 4, 33), (5, 70, 71)):
        inputs = given(*sizes)
        assert all(torch.equal(a, b) for a, b in zip(program(*inputs), Decoder()(*inputs), strict=True))


@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")  # inductor's own
def test_compiled_by_inductor() -> None:
    torch._dynamo.reset()
    compiled = torch.compile(lambda x, m: band_attention(x, x, x, window=1, attention_mask=m), fullgraph=True)
    x, mask = torch.randn(1, 2, 6, 4), torch.rand(1, 6) > 0.3
    assert torch.equal(compiled(x, mask), band_attention(x, x, x, window=1, attention_mask=mask))


def test_errors_that_depend_on_contents_come_from_compiled_code_too() -> None:
    compiled = torch.compile(
        lambda x, m: band_attention(x, x, x, window=1, causal=True, global_attention_mask=m),
        fullgraph=True,
        backend="eager",
    )
    x, mask = torch.randn(1, 1, 3, 2), torch.tensor([[False, True, False]])
    assert torch.equal(compiled(x, ~mask & mask), band_attention(x, x, x, window=1, causal=True))
    with pytest.raises(ValueError, match="causal: expected False with global tokens"):
        compiled(x, mask)


def test_autocast_does_not_reach_inside() -> None:
    x = torch.randn(1, 2, 9, 4, requires_grad=True)
    outside = band_attention(x, x, x, window=2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = band_attention(x, x, x, window=2)
        assert torch.equal(inside, outside)
        assert torch.equal(*(torch.autograd.grad(o.sum(), x)[0] for o in (inside, outside)))
