"""Attention within spans of keys from differentiable torch operations: for gradients of gradients.

It walks the plan of the chunked attention, so it draws the same dropout. No table is larger than a block of queries
times the keys it attends.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from trueband.optimized.attention.chunked.blanks import as_one
from trueband.optimized.attention.chunked.block import Part, working_dtype
from trueband.optimized.attention.chunked.span.arguments import SpanArguments
from trueband.optimized.attention.chunked.span.blocks import Block, Keys, Plan, plan
from trueband.optimized.attention.chunked.span.softmax import per_head
from trueband.optimized.attention.chunked.tensors import Unit, load_as_it_lies
from trueband.optimized.attention.operators.differentiable import scatter_rows

Piece = tuple[Unit, Tensor, Tensor]  # see `scatter_rows`


def span_composite(*arguments: Any) -> tuple[Tensor, Tensor]:
    """Output (b, h, m, e) and lse (b, h, m); arguments as those of the operator."""
    call = SpanArguments(*arguments)
    work, inputs = plan(call), call.inputs
    outputs: list[Piece] = []
    lses: list[Piece] = []

    def attend(block: Block, query: Tensor, keys: Keys) -> None:
        if block.tiles or call.sinks is not None:
            unit, rows, output, lse = attend_block(work, call, block, query, keys)
            outputs.append((unit, rows, output))
            lses.append((unit, rows, lse))

    for row, piece in work.pieces():
        unit, positions = Unit(row, piece.key_heads), row.global_positions
        own = Part(load_as_it_lies(inputs.key, unit), load_as_it_lies(inputs.value, unit))
        front = None if positions is None else Part(own.key[:, positions], own.value[:, positions])
        for block in work.local_blocks(row, piece):
            attend(block, inputs.query, Keys(own, front))
        if positions is not None:
            own = Part(load_as_it_lies(inputs.key_global, unit), load_as_it_lies(inputs.value_global, unit))
            for block in work.global_blocks(row, piece):
                attend(block, inputs.query_global, Keys(own))
    batch, heads, queries, _ = call.query.shape
    output = scatter_rows(outputs, (batch, heads, queries, call.value.shape[3]), call.query)
    like = call.query.new_empty(0, dtype=working_dtype(call.query.dtype))
    return output, scatter_rows(lses, (batch, heads, queries, 1), like, float("-inf"))[..., 0]


def attend_block(
    work: Plan, call: SpanArguments, block: Block, query: Tensor, keys: Keys
) -> tuple[Unit, Tensor, Tensor, Tensor]:
    """The unit, the rows (r,) of the sequence that are not skipped, their output (h, r, e) and lse (h, r, 1)."""
    heads, dropout = block.run.heads, work.attention.work.dropout
    own = block.of(query).to(work.space.dtype)
    if block.skipped is not None:
        own = own.masked_fill(block.skipped[:, None], 0)
    own = own.unflatten(0, (-1, block.group))  # (c, r, rows, d)
    scores, blanks, kept = [own[..., :0]], [own.new_zeros(own.shape[2], 0, dtype=torch.bool)], [own[..., :0]]
    values = [keys.own.value[:, :0]]
    for part, blank, ahead in keys.columns(block):
        scores.append(products(work, call, heads, own, part.key, ahead))
        blanks.append(as_one(blank, own.shape[2], part.key.shape[1], query.device))
        values.append(part.value)
        if dropout.generator is not None:
            noise = own.new_empty(len(own), own.shape[1] * own.shape[2], part.key.shape[1])
            kept.append(dropout.draw(noise).view_as(scores[-1]))
    p, lse = softmax(torch.cat(scores, dim=-1), torch.cat(blanks, dim=-1), call.sinks, heads)
    if dropout.generator is not None:
        p = p * (torch.cat(kept, dim=-1) / dropout.keep)
    if call.head_mask is not None:
        p = p * per_head(call.head_mask[heads].to(p.dtype), p)
    output = (p.flatten(1, 2) @ torch.cat(values, dim=1)).unflatten(1, p.shape[1:3])
    wanted = slice(None) if block.skipped is None else ~block.skipped
    rows = torch.arange(block.row.queries.start, block.row.queries.stop, device=query.device)[block.rows][wanted]
    output, lse = (table.flatten(0, 1)[:, wanted] for table in (output, lse))
    return Unit(block.row, heads), rows, output, lse


def products(work: Plan, call: SpanArguments, heads: slice, query: Tensor, key: Tensor, ahead: int) -> Tensor:
    """Scores (c, r, rows, columns) of all columns, blank or not."""
    scores = call.scale * (query @ key[:, None].mT)
    if call.softcap is not None:
        scores = call.softcap * (scores / call.softcap).tanh()
    if call.slopes is None:
        return scores
    return scores - per_head(call.slopes[heads].to(scores.dtype), scores) * work.attention.distances(scores, ahead)


def softmax(scores: Tensor, blank: Tensor, sinks: Tensor | None, heads: slice) -> tuple[Tensor, Tensor]:
    """Probabilities (c, r, rows, columns), exactly 0 where `blank` (rows, columns), and lse (c, r, rows, 1)."""
    if sinks is None:
        empty = blank.all(dim=-1, keepdim=True)
        # A row without keys is computed from other scores, so that no gradient is NaN, and then thrown away.
        lse = scores.masked_fill(blank & ~empty, float("-inf")).logsumexp(dim=-1, keepdim=True)
        seen = lse.masked_fill(empty, 0)
        lse = lse.masked_fill(empty, float("-inf"))
    else:
        own = per_head(sinks[heads].to(scores.dtype), scores).expand(*scores.shape[:3], 1)
        lse = torch.cat([scores.masked_fill(blank, float("-inf")), own], dim=-1).logsumexp(dim=-1, keepdim=True)
        seen = lse
    # The second fill changes no probability: it keeps an overflow in a key that is not attended out of the gradients.
    return (scores.masked_fill(blank, float("-inf")) - seen).exp().masked_fill(blank, 0), lse
