"""The operator `trueband::full_attention`: every row, that of a masked token included, attends every real token.

With `causal`, those up to itself: the queries are the last of the tokens that the keys stand for. Otherwise queries and
keys may be of two sequences (cross-attention). Blocks of rows at a time: memory grows linearly. A row that sees no real
token gets zeros. Shapes: b batch, h heads, t queries, n keys, d head dim.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from trueband.optimized.attention.chunked.blanks import Blank, Blanks
from trueband.optimized.attention.chunked.block import Part, block_backward, block_forward, setting
from trueband.optimized.attention.chunked.plan import QUERIES, Block, plan_heads, plan_rows
from trueband.optimized.attention.chunked.rows import row_blanks, row_blocks
from trueband.optimized.attention.chunked.tensors import Unit, accumulator, load, load_as_it_lies, new_like, store
from trueband.optimized.attention.operators import dense
from trueband.optimized.attention.operators.differentiable import Weights, block_probabilities, output
from trueband.optimized.attention.operators.registration import Definition, register


def units(query: Tensor, key: Tensor, attention_mask: Tensor | None) -> Iterator[Unit]:
    """Rows of the batch and heads; a row's tokens are those of the keys."""
    heads, tokens = query.shape[1:3]
    for row in plan_rows(attention_mask, None, (key.shape[0], key.shape[2])):
        for some, _ in plan_heads([1] * heads, min(QUERIES, tokens) * row.length):
            yield Unit(row, some)


def blocks(unit: Unit, queries: int, ahead: int | None, device: torch.device) -> Iterator[Block]:
    """A few of the queries at a time against the keys they may see. Queries before every real key are left out.

    `ahead`: None, or of a causal attention how many keys stand before the first query.
    """
    row = unit.row
    if ahead is None:
        for rows in row_blocks(queries, unit):
            yield Block(rows, slice(0, row.length), list(row_blanks(unit)))
        return
    shift = ahead - row.tokens.start  # query r sees the keys up to r + shift
    for start in range(max(0, -shift), queries, QUERIES):
        stop = min(start + QUERIES, queries)
        seen = min(row.length, stop + shift)
        blanks: list[Blank] = []
        if stop - start > 1:
            own = torch.arange(start, stop, device=device)[:, None] + shift
            blanks = [Blank(slice(0, seen), torch.arange(seen, device=device) > own)]
        blanks += [Blank(slice(0, seen), blank.mask[:, :seen]) for blank in row_blanks(unit)]
        yield Block(slice(start, stop), slice(0, seen), blanks)


def plan(unit: Unit, query: Tensor, key: Tensor, causal: bool) -> Iterator[tuple[slice, slice, Blanks]]:
    """(queries, keys, blanks) of each block."""
    ahead = key.shape[2] - query.shape[2] if causal else None
    for block in blocks(unit, query.shape[2], ahead, query.device):
        yield block.queries, block.keys, block.blanks


def forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    head_mask: Tensor | None,
    attention_mask: Tensor | None,
    seed: Tensor | None,
    scale: float,
    dropout_p: float,
    causal: bool = False,
) -> Tensor:
    """Output (b, h, t, d)."""
    work = setting(scale, head_mask, dropout_p, seed, query.dtype, query.device)
    result = new_like(query)
    for unit in units(query, key, attention_mask):
        k, v = load("key", key, unit, work.space), load("value", value, unit, work.space)
        for rows, keys, blanks in plan(unit, query, key, causal):
            own = work.space.operand("query", query[unit.row.index, unit.heads, rows])
            context = block_forward(own, [Part(k[:, keys], v[:, keys])], blanks, unit.heads, work)
            result[unit.row.index, unit.heads, rows] = context.to(result.dtype)
    return result


def backward(
    grad_output: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    head_mask: Tensor | None,
    attention_mask: Tensor | None,
    seed: Tensor | None,
    scale: float,
    dropout_p: float,
    causal: bool = False,
) -> list[Tensor]:
    """Gradients of query, key, value and head_mask; the last is empty where there is none."""
    work = setting(scale, head_mask, dropout_p, seed, query.dtype, query.device)
    grads = [new_like(tensor) for tensor in (query, key, value)]
    grad_head_mask = torch.zeros(query.shape[1], dtype=work.space.dtype, device=query.device)
    for unit in units(query, key, attention_mask):
        whole = Part(
            load("key", key, unit, work.space),
            load("value", value, unit, work.space),
            accumulator("key gradients", grads[1], unit, work.space),
            accumulator("value gradients", grads[2], unit, work.space),
        )
        for rows, keys, blanks in plan(unit, query, key, causal):
            place = (unit.row.index, unit.heads, rows)
            own = work.space.operand("query", query[place])
            own_grad = work.space.operand("output gradient", grad_output[place])
            part = Part(*(tensor[:, keys] for tensor in whole if tensor is not None))
            grad = block_backward(own, [part], blanks, unit.heads, work, own_grad, None, grad_head_mask)
            grads[0][place] = grad.to(query.dtype)
        for done, target in zip(whole[2:], grads[1:], strict=True):
            assert done is not None
            store(done, target, unit)
    return [*grads, query.new_empty(0) if head_mask is None else grad_head_mask.to(head_mask.dtype)]


def weights(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    head_mask: Tensor | None,
    attention_mask: Tensor | None,
    seed: Tensor | None,
    scale: float,
    dropout_p: float,
    causal: bool = False,
) -> Iterator[Weights]:
    """Yield the factors of the values, in the order of the plan; differentiable."""
    work = setting(scale, head_mask, dropout_p, seed, query.dtype, query.device)
    for unit in units(query, key, attention_mask):
        k, v = load_as_it_lies(key, unit), load_as_it_lies(value, unit)
        for rows, keys, blanks in plan(unit, query, key, causal):
            own = query[unit.row.index, unit.heads, rows].to(k.dtype)
            positions = torch.arange(rows.start, rows.stop, device=query.device)
            seen = torch.arange(keys.start, keys.stop, device=query.device)
            every = torch.ones_like(positions, dtype=torch.bool)
            p = block_probabilities(own, k[:, keys], blanks, every, unit, work, head_mask)
            yield Weights(unit, positions, seen + unit.row.tokens.start, 0, 1, p, v[:, keys])


full_op = register(
    Definition(
        name="full_attention",
        differentiable=[("query", False), ("key", False), ("value", False), ("head_mask", True)],
        tensors=["attention_mask", "seed"],
        values="float scale, float dropout_p, bool causal=False",
        forward=forward,
        backward=backward,
        composite=lambda query, *rest: output(weights(query, *rest), query),
        new_output=lambda query, *rest: new_like(query),
        new_gradient=lambda tensor: new_like(tensor) if tensor.ndim == 4 else tensor.new_empty(tensor.shape),
        dense=dense.full,
    )
)
