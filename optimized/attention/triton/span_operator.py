"""The operator `trueband::span_attention_triton`; second and higher orders differentiate the composite of `span_op`."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from trueband.optimized.attention.chunked.span.arguments import SpanArguments
from trueband.optimized.attention.operators.pair import register_pair
from trueband.optimized.attention.operators.span_op import DEFINITION
from trueband.optimized.attention.triton.places import place_of
from trueband.optimized.attention.triton.requirements import span_refusal


def forward(*arguments: Any) -> tuple[Tensor, Tensor]:
    """Output (b, h, m, e) and lse (b, h, m); arguments as those of `span_op`."""
    from trueband.optimized.attention.triton import span_launch

    call = SpanArguments(*arguments)
    return span_launch.forward(read(call), call.query, call.key, call.value, call.sinks is not None)


def backward(grad_output: Tensor, grad_lse: Tensor, output: Tensor, lse: Tensor, *arguments: Any) -> list[Tensor]:
    """A gradient for each differentiable argument, empty where it is None."""
    from trueband.optimized.attention.triton import span_launch

    call = SpanArguments(*arguments)
    found = span_launch.backward(read(call), call.query, call.key, call.value, output, lse, grad_output, grad_lse)
    empty = call.query.new_empty(0)
    sinks = empty.clone()
    if call.sinks is not None:
        seen = lse.masked_fill(lse == float("-inf"), float("inf"))  # of masked rows
        share = (call.sinks.detach().to(lse.dtype)[:, None] - seen).exp()
        sinks = -(share * found.deltas).sum(dim=(0, 2)).to(call.sinks.dtype)
    per_head = [
        empty.clone() if given is None or grad is None else grad.to(given.dtype)
        for given, grad in ((call.head_mask, found.head_mask), (call.slopes, found.slopes))
    ]
    unused = (empty.clone() for _ in range(3))  # there are no global tokens
    return [found.query, found.key, found.value, *unused, per_head[0], sinks, per_head[1]]


def read(call: SpanArguments) -> Any:
    """Read what a launch needs. Raises ValueError for what the kernels do not take."""
    from trueband.optimized.attention.triton import span_launch

    reason = span_refusal(call)
    if reason is not None:
        raise ValueError(reason)
    return span_launch.setting(call, place_of(call.query.device))


span_triton = register_pair(DEFINITION._replace(name="span_attention_triton", forward=forward, backward=backward))
