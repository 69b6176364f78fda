"""The operators as torch sees them: schema, fake and meta tensors, autograd, compilation, autocast."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from trueband.optimized import band_attention
from trueband.optimized.attention.operators.band_op import band_op
from trueband.optimized.attention.operators.full_op import full_op
from trueband.optimized.attention.operators.projected_op import projected_op
from trueband.optimized.attention.operators.relative_op import relative_op
from trueband.optimized.layers.inputs import checked_ids, checked_mask, counted_positions, first_separator, last_end


def leaf(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, requires_grad=True)


REAL = torch.tensor([[True, True, True, False], [True, False, True, True]])
GLOBAL = torch.tensor([[True, False, False, True], [False, False, True, False]])


def band_arguments(everything: bool) -> tuple[Any, ...]:
    given = [leaf(2, 2, 4, 2) for _ in range(6 if everything else 3)]
    if everything:
        return (*given, leaf(2), REAL, GLOBAL, torch.tensor(5), 1, [1, 2], False, 0.5, 0.3, True)
    return (*given, None, None, None, None, None, None, None, 1, [1, 1], True, 0.5, 0.0, True)


OPERATORS: dict[str, Any] = {
    "band with everything": lambda: (band_op, band_arguments(True)),
    "band with nothing": lambda: (band_op, band_arguments(False)),
    "full with everything": lambda: (
        full_op,
        (*(leaf(2, 2, 4, 2) for _ in range(3)), leaf(2), REAL, torch.tensor(5), 0.5, 0.3),
    ),
    "full, causal, after others": lambda: (
        full_op,
        (leaf(2, 2, 2, 2), leaf(2, 2, 4, 2), leaf(2, 2, 4, 2), leaf(2), REAL, torch.tensor(5), 0.5, 0.3, True),
    ),
    "relative": lambda: (
        relative_op,
        (*(leaf(2, 2, 4, 2) for _ in range(3)), leaf(9, 2), leaf(2), REAL, torch.tensor(5), 0.5, 0.3, True, True),
    ),
    "full with nothing": lambda: (full_op, (*(leaf(2, 2, 4, 2) for _ in range(3)), None, None, None, 0.5, 0.0)),
    "projected": lambda: (
        projected_op,
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
    "ids": lambda: (checked_ids, (torch.tensor([[1, 2]]), "input_ids", 3)),
    "mask": lambda: (checked_mask, (torch.tensor([[1, 0]]), "attention_mask")),
    "positions": lambda: (counted_positions, (REAL, torch.tensor([3, 0]), "input_ids", 2, 9)),
    "last end": lambda: (last_end, (torch.tensor([[2, 5, 2, 1]]), 2)),
    "first separator": lambda: (first_separator, (torch.tensor([[0, 2, 2, 2]]), 2)),
}


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
