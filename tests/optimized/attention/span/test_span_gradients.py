"""First and second derivatives, through the output and through lse, against finite differences in float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from trueband.optimized import band_attention

NAMES = ("query", "key", "value", "query_global", "key_global", "value_global")
SHAPES = {"query": (2, 2, 3, 2), "key": (2, 1, 4, 2), "value": (2, 1, 4, 3)}
SQUARE = {"query": (2, 4, 4, 2), "key": (2, 2, 4, 2), "value": (2, 2, 4, 3)}


def flags(*rows: str) -> Tensor:
    return torch.tensor([[letter == "x" for letter in row] for row in rows])


CASES: dict[str, tuple[dict[str, Any], tuple[str, ...], dict[str, Any]]] = {
    "offsets": (SHAPES, NAMES[:3], {"window": (1, 0), "offset": torch.tensor([-1, 2])}),
    "everything of the scores": (
        SHAPES,
        (*NAMES[:3], "sinks", "slopes", "head_mask"),
        {"window": (None, 1), "softcap": 1.5, "offset": 1, "attention_mask": flags("x.xx", "xxx.")},
    ),
    "sinks alone": (SHAPES, (*NAMES[:3], "sinks"), {"window": 0, "offset": 9}),
    "segments and dilations": (
        SQUARE,
        NAMES[:3],
        {"window": (None, None), "segments": torch.tensor([[7, 7, 3, 7], [1, 2, 2, 2]]), "dilation": (1, 2, 1, 1)},
    ),
    "globals": (
        SQUARE,
        (*NAMES, "head_mask"),
        {"window": (1, 0), "softcap": 2.0, "global_attention_mask": flags("..x.", "x..x"), "scale": 0.7},
    ),
    "globals that share the inputs": (
        SQUARE,
        (*NAMES[:3], "value_global"),
        {"window": (0, 1), "global_attention_mask": flags("x...", "...."), "attention_mask": flags("xx.x", "xxxx")},
    ),
    "dropout": (SHAPES, (*NAMES[:3], "sinks", "head_mask"), {"window": (None, 0), "offset": 1, "dropout_p": 0.4}),
    "nothing real": (SHAPES, NAMES[:3], {"window": 2, "attention_mask": flags("....", "....")}),
}


@pytest.mark.evidence
@pytest.mark.parametrize("name", CASES, ids=lambda name: name.replace(" ", "-"))
def test_first_and_second_derivatives(name: str) -> None:
    shapes, inputs, options = CASES[name]
    heads = (shapes["query"][1],)
    tensors = [
        torch.randn(shapes.get(each.removesuffix("_global"), heads), dtype=torch.float64, requires_grad=True)
        for each in inputs
    ]

    def call(*given: Tensor) -> tuple[Tensor, Tensor]:
        torch.manual_seed(5)  # the same dropout in every call
        query, key, value, *rest = given
        more: dict[str, Any] = dict(zip(inputs[3:], rest, strict=True))
        output, lse = band_attention(query, key, value, **more, **options, return_lse=True)
        return output, lse.masked_fill(lse == float("-inf"), 0)  # finite differences know no infinity

    assert gradcheck(call, tensors)
    assert gradgradcheck(call, tensors)


def test_gradients_where_no_key_is_seen() -> None:
    """All are 0, but for that of the sink through lse."""
    query, key = torch.randn(1, 2, 3, 4, requires_grad=True), torch.randn(1, 1, 5, 4, requires_grad=True)
    sinks = torch.randn(2, requires_grad=True)
    for offset in (50, -50):
        options: dict[str, Any] = {"offset": offset}
        output, lse = band_attention(query, key, key, window=3, sinks=sinks, return_lse=True, **options)
        assert not output.any()
        assert torch.equal(lse, sinks.detach()[None, :, None].expand(1, 2, 3))
        grads = torch.autograd.grad((output.sum() + lse.sum()), (query, key, sinks))
        assert not grads[0].any()
        assert not grads[1].any()
        assert grads[2].tolist() == [3, 3]
        output, lse = band_attention(query, key, key, window=3, return_lse=True, **options)
        assert torch.isneginf(lse).all()
        grads = torch.autograd.grad((output.sum() + lse.sum()), (query, key))
        assert not any(grad.any() for grad in grads)
