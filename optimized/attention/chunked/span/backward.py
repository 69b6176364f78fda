"""The vector-Jacobian product of attention within spans of keys."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from trueband.optimized.attention.chunked.block import Part
from trueband.optimized.attention.chunked.span.arguments import SpanArguments
from trueband.optimized.attention.chunked.span.blocks import Block, Keys, Plan, plan
from trueband.optimized.attention.chunked.span.forward import load_keys
from trueband.optimized.attention.chunked.span.softmax import Gradients, Rows
from trueband.optimized.attention.chunked.tensors import Unit, accumulator, new_like, store

NAMES = ("key", "value")


class Given(NamedTuple):
    """What comes from the forward pass and from behind: (b, h, m, e) or (b, h, m)."""

    grad_output: Tensor
    grad_lse: Tensor
    output: Tensor
    lse: Tensor


def span_backward(*arguments: Any) -> list[Tensor]:
    """Gradients of query, key, value, query_global, key_global, value_global, head_mask, sinks and slopes.

    Those of what is not given are empty. Arguments: `Given`, then `SpanArguments`.
    """
    given, call = Given(*arguments[:4]), SpanArguments(*arguments[4:])
    work, inputs, separate = plan(call), call.inputs, call.separate
    of_local = [new_like(tensor) for tensor in inputs[:3]]
    of_global = [own if each is None else new_like(each) for own, each in zip(of_local, separate, strict=True)]
    options = (call.head_mask, call.sinks, call.slopes)
    sums = Gradients(*(None if each is None else each.new_zeros(len(each), dtype=work.space.dtype) for each in options))
    for row, piece in work.pieces():
        unit = Unit(row, piece.key_heads)
        grads = [
            accumulator(f"{name} gradients", target, unit, work.space)
            for name, target in zip(NAMES, of_local[1:], strict=True)
        ]
        keys = with_gradients(work, load_keys(work, unit, inputs.key, inputs.value, front=True), grads)
        for block in work.local_blocks(row, piece):
            differentiate(work, block, inputs.query, keys, given, of_local[0], sums)
        if row.global_positions is not None:
            if keys.front is not None and keys.front.grad_key is not None and keys.front.grad_value is not None:
                grads[0][:, row.global_positions] += keys.front.grad_key
                grads[1][:, row.global_positions] += keys.front.grad_value
            grads_g = [
                own if each is None else accumulator(f"global {name} gradients", target, unit, work.space)
                for name, own, each, target in zip(NAMES, grads, separate[1:], of_global[1:], strict=True)
            ]
            keys = with_gradients(work, load_keys(work, unit, inputs.key_global, inputs.value_global), grads_g)
            for block in work.global_blocks(row, piece):
                differentiate(work, block, inputs.query_global, keys, given, of_global[0], sums)
            for part, each, target in zip(grads_g, separate[1:], of_global[1:], strict=True):
                if each is not None:
                    store(part, target, unit)
        for part, target in zip(grads, of_local[1:], strict=True):
            store(part, target, unit)
    empty = call.query.new_empty(0)
    return [
        *of_local,
        *(empty.clone() if each is None else grad for grad, each in zip(of_global, separate, strict=True)),
        *(
            empty.clone() if each is None or grad is None else grad.to(each.dtype)
            for grad, each in zip(sums, options, strict=True)
        ),
    ]


def with_gradients(work: Plan, keys: Keys, grads: list[Tensor]) -> Keys:
    """The same, with where to add up gradients: `grads`, and for global tokens buffers of their own."""
    own, front = keys.own._replace(grad_key=grads[0], grad_value=grads[1]), keys.front
    if front is not None:
        zeros = (
            work.space.rows(f"front {name} gradients", *each.shape).zero_()
            for name, each in zip(NAMES, front[:2], strict=True)
        )
        front = Part(*front[:2], *zeros)
    return Keys(own, front)


def differentiate(
    work: Plan, block: Block, query: Tensor, keys: Keys, given: Given, grad_query: Tensor, sums: Gradients
) -> None:
    """Writes the gradient of the queries of a block; adds to those of its keys, and to `sums`."""
    space = work.space
    own = block.stacked("query", query, space)
    grad_output = block.stacked("output gradient", given.grad_output, space)
    saved = block.stacked("saved output", given.output, space)
    delta = torch.mul(grad_output, saved, out=space.take("products", *saved.shape)).sum(dim=-1, keepdim=True)
    lse, grad_lse = (block.of(each).to(space.dtype).reshape(delta.shape) for each in (given.lse, given.grad_lse))
    lse = lse.masked_fill(lse == float("-inf"), float("inf"))  # rows that attend nothing: exp(s - lse) is 0
    block.skip(lse, float("inf"))
    delta -= grad_lse.masked_fill(lse == float("inf"), 0)
    rows = Rows(own, block.run.heads, grad_output, lse, delta)
    result = work.attention.backward(rows, keys.columns(block), sums)
    block.skip(result, 0)
    block.put(result, grad_query)
