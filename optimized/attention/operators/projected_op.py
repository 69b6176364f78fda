"""The operator `trueband::projected_global_rows`: rows of global tokens, straight from the hidden states.

Queries are projected for the global tokens only, keys and values only in rows of the batch that have many, and nothing
at all when no token is global; for few, the projections are absorbed (`absorbed_rows`).
Shapes: b batch, n tokens, D = h * d hidden size, m tokens looked at, x global tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn.functional import linear

from trueband.optimized.attention.chunked.block import Part, setting, working_dtype
from trueband.optimized.attention.chunked.plan import Row, plan_heads, plan_rows
from trueband.optimized.attention.chunked.rows import rows_backward, rows_forward
from trueband.optimized.attention.chunked.tensors import Unit
from trueband.optimized.attention.operators import absorbed_rows, dense
from trueband.optimized.attention.operators.differentiable import Weights, output, row_weights
from trueband.optimized.attention.operators.registration import Definition, register


def global_rows(
    hidden_states: Tensor, attention_mask: Tensor | None, global_attention_mask: Tensor | None
) -> list[Row]:
    """Rows of the batch that hold a global token."""
    rows = plan_rows(attention_mask, global_attention_mask, hidden_states.shape[:2])
    return [row for row in rows if row.global_positions is not None]


def states(hidden_states: Tensor, row: Row) -> tuple[Tensor, Tensor]:
    """The row's hidden states (m, D), 0 in masked tokens, and those of its global tokens (x, D)."""
    own = hidden_states[row.index, row.tokens]
    own = own if row.masked is None else own.masked_fill(row.masked[:, None], 0)
    return own, own[row.global_positions]


def split(projected: Tensor, heads: int) -> Tensor:
    """(m, h * d) -> (h, m, d) in the working dtype."""
    return projected.unflatten(-1, (heads, -1)).transpose(0, 1).to(working_dtype(projected.dtype))


def merge(per_head: Tensor) -> Tensor:
    """(h, m, d) -> (m, h * d)."""
    return per_head.transpose(0, 1).flatten(1)


def units(row: Row, heads: int) -> Iterator[Unit]:
    for some, _ in plan_heads([1] * heads, row.global_count * row.length):
        yield Unit(row, some)


def forward(
    hidden_states: Tensor,
    query_weight: Tensor,
    query_bias: Tensor,
    key_weight: Tensor,
    key_bias: Tensor,
    value_weight: Tensor,
    value_bias: Tensor,
    head_mask: Tensor | None,
    attention_mask: Tensor | None,
    global_attention_mask: Tensor | None,
    seed: Tensor | None,
    heads: int,
    scale: float,
    dropout_p: float,
) -> Tensor:
    """Output (b, n, D), 0 in all rows that are not global."""
    work = setting(scale, head_mask, dropout_p, seed, hidden_states.dtype, hidden_states.device)
    result = torch.zeros_like(hidden_states, memory_format=torch.contiguous_format)
    projections = (query_weight, query_bias, key_weight, key_bias, value_weight, value_bias)
    for row in global_rows(hidden_states, attention_mask, global_attention_mask):
        own, asking = states(hidden_states, row)
        if absorbed_rows.pays(row, heads, own.shape[1], work):
            parts = absorbed_rows.weights_of(projections, heads, work.space.dtype)
            output = absorbed_rows.forward(own.to(parts.key.dtype), asking.to(parts.key.dtype), parts, row, work)
            result[row.index, row.tokens][row.global_positions] = merge(output).to(result.dtype)
            continue
        q = split(linear(asking, query_weight, query_bias), heads)
        k, v = split(linear(own, key_weight, key_bias), heads), split(linear(own, value_weight, value_bias), heads)
        outputs = [rows_forward(q[unit.heads], k[unit.heads], v[unit.heads], unit, work) for unit in units(row, heads)]
        result[row.index, row.tokens][row.global_positions] = merge(torch.cat(outputs)).to(result.dtype)
    return result


def backward(
    grad_output: Tensor,
    hidden_states: Tensor,
    query_weight: Tensor,
    query_bias: Tensor,
    key_weight: Tensor,
    key_bias: Tensor,
    value_weight: Tensor,
    value_bias: Tensor,
    head_mask: Tensor | None,
    attention_mask: Tensor | None,
    global_attention_mask: Tensor | None,
    seed: Tensor | None,
    heads: int,
    scale: float,
    dropout_p: float,
) -> list[Tensor]:
    """Gradients of hidden_states, the six projections' weights and biases, and head_mask; the last may be empty."""
    work = setting(scale, head_mask, dropout_p, seed, hidden_states.dtype, hidden_states.device)
    grad_hidden = torch.zeros_like(hidden_states, memory_format=torch.contiguous_format)
    projections = (query_weight, query_bias, key_weight, key_bias, value_weight, value_bias)
    grads = [torch.zeros_like(t, dtype=work.space.dtype, memory_format=torch.contiguous_format) for t in projections]
    grad_head_mask = torch.zeros(heads, dtype=work.space.dtype, device=hidden_states.device)
    for row in global_rows(hidden_states, attention_mask, global_attention_mask):
        own, asking = states(hidden_states, row)
        grad_rows = split(grad_output[row.index, row.tokens][row.global_positions], heads)
        if absorbed_rows.pays(row, heads, own.shape[1], work):
            parts = absorbed_rows.weights_of(projections, heads, work.space.dtype)
            own, asking = own.to(parts.key.dtype), asking.to(parts.key.dtype)
            grad_own, grad_asking = absorbed_rows.backward(
                grad_rows, own, asking, parts, row, work, grads, grad_head_mask
            )
            put_gradient(grad_own, grad_asking, row, grad_hidden)
            continue
        q = split(linear(asking, query_weight, query_bias), heads)
        k, v = split(linear(own, key_weight, key_bias), heads), split(linear(own, value_weight, value_bias), heads)
        grad_q, grad_k, grad_v = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
        for unit in units(row, heads):
            some = unit.heads
            part = Part(k[some], v[some], grad_k[some], grad_v[some])
            grad_q[some] = rows_backward(q[some], part, unit, work, grad_rows[some], grad_head_mask)
        grad_own = torch.zeros_like(own, dtype=work.space.dtype)
        grad_asking = projection_backward(merge(grad_q), asking, query_weight, *grads[0:2])
        grad_own += projection_backward(merge(grad_k), own, key_weight, *grads[2:4])
        grad_own += projection_backward(merge(grad_v), own, value_weight, *grads[4:6])
        put_gradient(grad_own, grad_asking, row, grad_hidden)
    done = [grad.to(tensor.dtype) for grad, tensor in zip(grads, projections, strict=True)]
    return [grad_hidden, *done, grad_hidden.new_empty(0) if head_mask is None else grad_head_mask.to(head_mask.dtype)]


def put_gradient(grad_own: Tensor, grad_asking: Tensor, row: Row, grad_hidden: Tensor) -> None:
    """Write the gradients of the row's states (m, D) and of its global tokens' (x, D) into that of all (b, n, D)."""
    grad_own[row.global_positions] += grad_asking
    if row.masked is not None:
        grad_own.masked_fill_(row.masked[:, None], 0)
    grad_hidden[row.index, row.tokens] = grad_own.to(grad_hidden.dtype)


def projection_backward(grad: Tensor, states: Tensor, weight: Tensor, grad_weight: Tensor, grad_bias: Tensor) -> Tensor:
    """Gradient (m, D) of the states, from that (m, D) of their projection; adds to those of the weight and bias."""
    grad_weight.addmm_(grad.T, states.to(grad.dtype))
    grad_bias += grad.sum(dim=0)
    return grad @ weight.to(grad.dtype)


def weights(
    hidden_states: Tensor,
    query_weight: Tensor,
    query_bias: Tensor,
    key_weight: Tensor,
    key_bias: Tensor,
    value_weight: Tensor,
    value_bias: Tensor,
    head_mask: Tensor | None,
    attention_mask: Tensor | None,
    global_attention_mask: Tensor | None,
    seed: Tensor | None,
    heads: int,
    scale: float,
    dropout_p: float,
) -> Iterator[Weights]:
    """Yield the factors of the values, in the order of the plan; differentiable."""
    work = setting(scale, head_mask, dropout_p, seed, hidden_states.dtype, hidden_states.device)
    for row in global_rows(hidden_states, attention_mask, global_attention_mask):
        own, asking = states(hidden_states, row)
        q = split(linear(asking, query_weight, query_bias), heads)
        k, v = split(linear(own, key_weight, key_bias), heads), split(linear(own, value_weight, value_bias), heads)
        assert row.global_positions is not None
        positions = row.global_positions + row.tokens.start
        for unit in units(row, heads):
            some = unit.heads
            yield from row_weights(q[some], k[some], v[some], positions, head_mask, work, unit)


def composite(hidden_states: Tensor, *rest: object) -> Tensor:
    """The operator from differentiable torch operations; same arguments."""
    heads = rest[-3]
    assert isinstance(heads, int)
    per_head = hidden_states.unflatten(-1, (heads, -1)).transpose(1, 2)
    return output(weights(hidden_states, *rest), per_head).transpose(1, 2).flatten(2)  # type: ignore[arg-type]


PROJECTIONS: Sequence[str] = ("query_weight", "query_bias", "key_weight", "key_bias", "value_weight", "value_bias")

projected_op = register(
    Definition(
        name="projected_global_rows",
        differentiable=[("hidden_states", False), *((name, False) for name in PROJECTIONS), ("head_mask", True)],
        tensors=["attention_mask", "global_attention_mask", "seed"],
        values="SymInt heads, float scale, float dropout_p",
        forward=forward,
        backward=backward,
        composite=composite,
        new_output=lambda hidden_states, *rest: hidden_states.new_empty(hidden_states.shape),
        new_gradient=lambda tensor: tensor.new_empty(tensor.shape),
        dense=dense.projected,
    )
)
