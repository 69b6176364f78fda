"""The operator `trueband::full_attention`: every row, that of a masked token included, attends every real token.

Blocks of rows at a time: memory grows linearly. A sequence without a real token gets zeros.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from trueband.optimized.attention.chunked_block import Part, setting
from trueband.optimized.attention.chunked_plan import QUERIES, plan_heads, plan_rows
from trueband.optimized.attention.chunked_rows import rows_backward, rows_forward
from trueband.optimized.attention.chunked_tensors import Unit, accumulator, load, new_like, store
from trueband.optimized.attention.differentiable import Weights, output, row_weights
from trueband.optimized.attention.registration import Definition, register


def units(query: Tensor, attention_mask: Tensor | None) -> Iterator[Unit]:
    heads, tokens = query.shape[1:3]
    for row in plan_rows(attention_mask, None, (query.shape[0], tokens)):
        for some, _ in plan_heads([1] * heads, min(QUERIES, tokens) * row.length):
            yield Unit(row, some)


def forward(
    query: Tensor, key: Tensor, value: Tensor, head_mask: Tensor | None, attention_mask: Tensor | None,
    seed: Tensor | None, scale: float, dropout_p: float,
) -> Tensor:  # fmt: skip
    """Output (b, h, n, d)."""
    work = setting(scale, head_mask, dropout_p, seed, query.dtype, query.device)
    result = new_like(query)
    for unit in units(query, attention_mask):
        k, v = load(key, unit), load(value, unit)
        own = query[unit.row.index, unit.heads].to(k.dtype)
        result[unit.row.index, unit.heads] = rows_forward(own, k, v, unit, work).to(result.dtype)
    return result


def backward(
    grad_output: Tensor, query: Tensor, key: Tensor, value: Tensor, head_mask: Tensor | None,
    attention_mask: Tensor | None, seed: Tensor | None, scale: float, dropout_p: float,
) -> list[Tensor]:  # fmt: skip
    """Gradients of query, key, value and head_mask; the last is empty where there is none."""
    work = setting(scale, head_mask, dropout_p, seed, query.dtype, query.device)
    grads = [new_like(query) for _ in range(3)]
    grad_head_mask = torch.zeros(query.shape[1], dtype=work.space.dtype, device=query.device)
    for unit in units(query, attention_mask):
        k, v = load(key, unit), load(value, unit)
        own, own_grad = (t[unit.row.index, unit.heads].to(k.dtype) for t in (query, grad_output))
        part = Part(k, v, accumulator(grads[1], unit), accumulator(grads[2], unit))
        grad_query = rows_backward(own, part, unit, work, own_grad, grad_head_mask)
        grads[0][unit.row.index, unit.heads] = grad_query.to(query.dtype)
        for done, target in zip(part[2:], grads[1:], strict=True):
            assert done is not None
            store(done, target, unit)
    return [*grads, query.new_empty(0) if head_mask is None else grad_head_mask.to(head_mask.dtype)]


def weights(
    query: Tensor, key: Tensor, value: Tensor, head_mask: Tensor | None, attention_mask: Tensor | None,
    seed: Tensor | None, scale: float, dropout_p: float,
) -> Iterator[Weights]:  # fmt: skip
    """What multiplies the values, in the order of the plan; differentiable."""
    work = setting(scale, head_mask, dropout_p, seed, query.dtype, query.device)
    positions = torch.arange(query.shape[2], device=query.device)
    for unit in units(query, attention_mask):
        k, v = load(key, unit), load(value, unit)
        own = query[unit.row.index, unit.heads].to(k.dtype)
        yield from row_weights(own, k, v, positions, head_mask, work, unit)


full_op = register(
    Definition(
        name="full_attention",
        differentiable=[("query", False), ("key", False), ("value", False), ("head_mask", True)],
        tensors=["attention_mask", "seed"],
        values="float scale, float dropout_p",
        forward=forward,
        backward=backward,
        composite=lambda query, *rest: output(weights(query, *rest), query),
        new_output=lambda query, *rest: new_like(query),
        new_gradient=lambda tensor: new_like(tensor) if tensor.ndim == 4 else tensor.new_empty(tensor.shape),
    )
)
