"""The operator `trueband::band_attention`."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from trueband.optimized.attention.chunked import band as chunked_band
from trueband.optimized.attention.chunked.arguments import BandArguments
from trueband.optimized.attention.chunked.tensors import new_like
from trueband.optimized.attention.operators import dense
from trueband.optimized.attention.operators.differentiable import band_weights, output
from trueband.optimized.attention.operators.registration import Definition, register


def composite(*arguments: Any) -> Tensor:
    """The operator from differentiable torch operations; same arguments."""
    call = BandArguments(*arguments)
    return output(band_weights(call.inputs, call.head_mask, chunked_band.plan(call)), call.query)


DEFINITION = Definition(
    name="band_attention",
    differentiable=[
        ("query", False),
        ("key", False),
        ("value", False),
        ("query_global", True),
        ("key_global", True),
        ("value_global", True),
        ("head_mask", True),
    ],
    tensors=["attention_mask", "global_attention_mask", "seed"],
    values="SymInt window, SymInt[] dilations, bool causal, float scale, float dropout_p, bool global_rows",
    forward=chunked_band.band_forward,
    backward=chunked_band.band_backward,
    composite=composite,
    new_output=lambda query, *rest: new_like(query),
    new_gradient=lambda tensor: new_like(tensor) if tensor.ndim == 4 else tensor.new_empty(tensor.shape),
    dense=dense.band,
)
band_op = register(DEFINITION)
