"""Attention within spans of keys, block by block (docs/contract.md, section 1).

Memory beyond inputs and outputs: a few tiles; with half types, padding, or rows that are no whole lines of 64 bytes
also the keys and values of a few heads, as far as the queries of a row of the batch reach.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from trueband.optimized.attention.chunked.block import Part, working_dtype
from trueband.optimized.attention.chunked.span.arguments import SpanArguments
from trueband.optimized.attention.chunked.span.blocks import Block, Keys, Plan, plan
from trueband.optimized.attention.chunked.tensors import Unit, load


def span_forward(*arguments: Any) -> tuple[Tensor, Tensor]:
    """Output (b, h, m, e) and lse (b, h, m) of `SpanArguments`."""
    call = SpanArguments(*arguments)
    work, inputs = plan(call), call.inputs
    output, lse = new_results(call.query, call.value)
    if call.attention_mask is not None:  # not all rows are written
        output.zero_()
        lse.fill_(float("-inf"))
    for row, piece in work.pieces():
        unit = Unit(row, piece.key_heads)
        keys = load_keys(work, unit, inputs.key, inputs.value, front=True)
        for block in work.local_blocks(row, piece):
            write(work, block, inputs.query, keys, output, lse)
        if row.global_positions is not None:
            keys = load_keys(work, unit, inputs.key_global, inputs.value_global)
            for block in work.global_blocks(row, piece):
                write(work, block, inputs.query_global, keys, output, lse)
    return output, lse


def new_results(query: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """Output (b, h, m, e), stored as (b, m, h, e), and lse (b, h, m); not set to anything."""
    batch, heads, queries, _ = query.shape
    output = query.new_empty(batch, queries, heads, value.shape[3]).transpose(1, 2)
    return output, query.new_empty(batch, heads, queries, dtype=working_dtype(query.dtype))


def load_keys(work: Plan, unit: Unit, key: Tensor, value: Tensor, front: bool = False) -> Keys:
    """The keys and values of a unit on lines, 0 in masked tokens; with `front` those of global tokens once more."""
    space, positions = work.space, unit.row.global_positions
    own = Part(load("key", key, unit, space), load("value", value, unit, space))
    if positions is None or not front:
        return Keys(own)
    near = (
        space.copied(f"front {name}", each[:, positions]) for name, each in zip(("key", "value"), own[:2], strict=True)
    )
    return Keys(own, Part(*near))


def write(work: Plan, block: Block, query: Tensor, keys: Keys, output: Tensor, lse: Tensor) -> None:
    """Computes the rows of a block; those that are skipped it leaves as those of masked tokens."""
    own = block.stacked("query", query, work.space)
    result, result_lse = work.attention.forward(own, keys.columns(block), block.run.heads, output.shape[3])
    block.skip(result, 0)
    block.skip(result_lse, float("-inf"))
    block.put(result, output)
    block.put(result_lse, lse[..., None])
