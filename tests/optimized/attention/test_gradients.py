"""First and second derivatives against finite differences, in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from trueband.optimized import band_attention
from trueband.optimized.attention.operators.full_op import full_op
from trueband.optimized.attention.operators.projected_op import projected_op
from trueband.optimized.attention.operators.relative_op import relative_op

NAMES = ("query", "key", "value", "query_global", "key_global", "value_global")


def flags(*rows: str) -> Tensor:
    return torch.tensor([[letter == "x" for letter in row] for row in rows])


CASES: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "window": (NAMES[:3], {"window": 1}),
    "causal dilated": (NAMES[:3], {"window": 1, "causal": True, "dilation": (1, 2)}),
    "padding and globals": (
        (*NAMES, "head_mask"),
        {
            "window": 1,
            "attention_mask": flags("xxxx.", "x.xxx"),
            "global_attention_mask": flags("x...x", ".xx.x"),
            "dilation": (1, 2),
        },
    ),
    "globals that share the inputs": (
        (*NAMES[:3], "value_global"),
        {"window": 1, "global_attention_mask": flags("x....", "....."), "scale": 0.7},
    ),
    "dropout": (
        (*NAMES[:3], "head_mask"),
        {"window": 2, "dropout_p": 0.4, "global_attention_mask": flags("x....", "..x..")},
    ),
    "nothing real": (NAMES[:3], {"window": 2, "attention_mask": flags(".....", ".....")}),
}


@pytest.mark.evidence
@pytest.mark.parametrize("name", CASES, ids=lambda name: name.replace(" ", "-"))
def test_first_and_second_derivatives(name: str) -> None:
    inputs, options = CASES[name]
    shapes = [(2,) if each == "head_mask" else (2, 2, 5, 2) for each in inputs]
    tensors = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]

    def call(*given: Tensor) -> Tensor:
        torch.manual_seed(5)  # the same dropout in every call
        query, key, value, *rest = given
        separate: dict[str, Any] = dict(zip(inputs[3:], rest, strict=True))
        return band_attention(query, key, value, **separate, **options)

    assert gradcheck(call, tensors)
    assert gradgradcheck(call, tensors)


def test_one_tensor_as_query_key_and_value() -> None:
    x = torch.randn(1, 1, 4, 2, dtype=torch.float64, requires_grad=True)
    call: Callable[[Tensor], Tensor] = lambda x: band_attention(x, x, x, window=1)  # noqa: E731
    assert gradcheck(call, (x,))
    assert gradgradcheck(call, (x,))


def test_third_derivatives() -> None:
    x = torch.randn(1, 1, 3, 1, dtype=torch.float64, requires_grad=True)

    def first(x: Tensor) -> Tensor:
        output = band_attention(x, x * x, x + 1, window=1)
        return torch.autograd.grad(output.square().sum(), x, create_graph=True)[0]

    assert gradgradcheck(first, (x,))


@pytest.mark.parametrize("seed", [None, 3])
def test_full_attention(seed: int | None) -> None:
    tensors = [torch.randn(2, 2, 4, 2, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    tensors.append(torch.rand(2, dtype=torch.float64, requires_grad=True))
    rest = (flags("xxx.", "...."), None if seed is None else torch.tensor(seed), 0.7, 0.0 if seed is None else 0.4)
    assert gradcheck(lambda *given: full_op(*given, *rest), tensors)
    assert gradgradcheck(lambda *given: full_op(*given, *rest), tensors)


@pytest.mark.evidence
@pytest.mark.parametrize("queries", [1, 3, 4])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("seed", [None, 3])
def test_full_attention_of_some_queries(seed: int | None, causal: bool, queries: int) -> None:
    """Cross-attention, and the steps of a decoder; the second row has its first real token behind a query."""
    tensors = [torch.randn(2, 2, n, 2, dtype=torch.float64, requires_grad=True) for n in (queries, 4, 4)]
    tensors.append(torch.rand(2, dtype=torch.float64, requires_grad=True))
    rest = (flags("xx.x", "..xx"), None if seed is None else torch.tensor(seed), 0.7, 0.0 if seed is None else 0.4)
    assert gradcheck(lambda *given: full_op(*given, *rest, causal), tensors)
    assert gradgradcheck(lambda *given: full_op(*given, *rest, causal), tensors)


@pytest.mark.evidence
@pytest.mark.parametrize("of_keys", [False, True])
@pytest.mark.parametrize(("queries", "causal"), [(4, False), (4, True), (2, True)])
@pytest.mark.parametrize("seed", [None, 3])
def test_relative_attention(seed: int | None, queries: int, causal: bool, of_keys: bool) -> None:
    tensors = [torch.randn(2, 2, n, 2, dtype=torch.float64, requires_grad=True) for n in (queries, 4, 4)]
    tensors.append(torch.randn(9, 2, dtype=torch.float64, requires_grad=True))
    tensors.append(torch.rand(2, dtype=torch.float64, requires_grad=True))
    rest = (flags("xx.x", "..xx"), None if seed is None else torch.tensor(seed), 0.7, 0.0 if seed is None else 0.4)
    assert gradcheck(lambda *given: relative_op(*given, *rest, causal, of_keys), tensors)
    assert gradgradcheck(lambda *given: relative_op(*given, *rest, causal, of_keys), tensors)


@pytest.mark.parametrize("seed", [None, 3])
def test_projected_global_rows(seed: int | None) -> None:
    shapes = [(2, 4, 4), *[(4, 4), (4,)] * 3, (2,)]
    tensors = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    masks = (flags("xxx.", "x.xx"), flags("x..x", "...."))
    rest = (*masks, None if seed is None else torch.tensor(seed), 2, 0.7, 0.0 if seed is None else 0.4)
    assert gradcheck(lambda *given: projected_op(*given, *rest), tensors)
    assert gradgradcheck(lambda *given: projected_op(*given, *rest), tensors)


def test_second_order_training_step_under_anomaly_detection() -> None:
    """A gradient penalty: no operation overwrites what another one has saved."""
    leaves = [torch.randn(2, 2, 9, 4, requires_grad=True) for _ in range(6)]
    options: dict[str, Any] = {"window": 2, "global_attention_mask": flags("x........", ".x....x..")}
    query, key, value, *rest = leaves
    separate: dict[str, Any] = dict(zip(NAMES[3:], rest, strict=True))
    with torch.autograd.set_detect_anomaly(True, check_nan=True):
        output = band_attention(query, key, value, **separate, **options, dropout_p=0.1)
        grads = torch.autograd.grad(output.square().sum(), leaves, create_graph=True)
        torch.stack([grad.square().sum() for grad in grads]).sum().backward()
    assert all(leaf.grad is not None and bool(leaf.grad.abs().sum() > 0) for leaf in leaves)
