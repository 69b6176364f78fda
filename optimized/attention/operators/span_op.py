"""The operator `trueband::span_attention`: the output and the lse of what `trueband::band_attention` does not take."""

from __future__ import annotations

from trueband.optimized.attention.chunked.span.backward import span_backward
from trueband.optimized.attention.chunked.span.forward import new_results, span_forward
from trueband.optimized.attention.chunked.tensors import new_like
from trueband.optimized.attention.operators.pair import register_pair
from trueband.optimized.attention.operators.registration import Definition
from trueband.optimized.attention.operators.span_composite import span_composite

DEFINITION = Definition(
    name="span_attention",
    differentiable=[
        ("query", False),
        ("key", False),
        ("value", False),
        ("query_global", True),
        ("key_global", True),
        ("value_global", True),
        ("head_mask", True),
        ("sinks", True),
        ("slopes", True),
    ],
    tensors=["attention_mask", "global_attention_mask", "segments", "offsets", "seed"],
    values="SymInt? left, SymInt? right, SymInt[] dilations, bool causal, float scale, float? softcap, SymInt offset, "
    "float dropout_p",
    forward=span_forward,
    backward=span_backward,
    composite=span_composite,
    new_output=lambda query, key, value, *rest: new_results(query, value),
    new_gradient=lambda tensor: new_like(tensor) if tensor.ndim == 4 else tensor.new_empty(tensor.shape),
)
span_op = register_pair(DEFINITION)
