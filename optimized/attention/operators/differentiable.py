"""The same attention from differentiable torch operations, block by block: for gradients of gradients, and for the
probabilities when they are asked for. Slower than the operators, but memory grows linearly here as well.

It walks the plan of `chunked_plan`, so it draws the same dropout.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from trueband.optimized.attention.chunked.arguments import Inputs
from trueband.optimized.attention.chunked.band import Plan
from trueband.optimized.attention.chunked.blanks import Blanks, as_one
from trueband.optimized.attention.chunked.block import Setting
from trueband.optimized.attention.chunked.plan import Layout
from trueband.optimized.attention.chunked.rows import row_blanks, row_blocks
from trueband.optimized.attention.chunked.tensors import Unit, load_as_it_lies


class Weights(NamedTuple):
    """The factors of the values, for some rows of one unit.

    Attributes:
        unit: the heads and the row of the batch.
        rows: (r,) int64, positions of the rows in the sequence; those of the kind asked for only.
        keys: (k,) int64, positions of the keys: `front` global ones, then the others, `step` tokens apart.
        probabilities: (c, r, k), with head mask and dropout; exactly 0 for keys that are not attended.
        value: (c, k, d), what they multiply.
    """

    unit: Unit
    rows: Tensor
    keys: Tensor
    front: int
    step: int
    probabilities: Tensor
    value: Tensor


def block_probabilities(
    query: Tensor, key: Tensor, blanks: Blanks, wanted: Tensor, unit: Unit, work: Setting, head_mask: Tensor | None
) -> Tensor:
    """Rows `wanted` (r,) bool of softmax(scores) over the keys that are not blank, times dropout and head mask."""
    blank = as_one(blanks, query.shape[1], key.shape[1], query.device)[wanted]
    scores = work.scale * (query[:, wanted] @ key.mT)
    # The second fill changes no probability: it keeps an overflow in a key that is not attended out of the gradients.
    p = scores.masked_fill(blank, float("-inf")).softmax(dim=-1).masked_fill(blank, 0)
    if work.dropout.generator is not None:
        kept = work.dropout.draw(p.new_empty(*query.shape[:2], key.shape[1]))
        p = p * (kept[:, wanted] / work.dropout.keep)
    return p if head_mask is None else p * head_mask[unit.heads, None, None].to(p.dtype)


def local_weights(
    inputs: Inputs, head_mask: Tensor | None, work: Plan, unit: Unit, dilation: int, layout: Layout
) -> Iterator[Weights]:
    """Weights of the local rows."""
    row = unit.row
    query, key, value = (load_as_it_lies(tensor, unit) for tensor in (inputs.query, inputs.key, inputs.value))
    tokens = torch.arange(row.length, device=query.device)
    local = torch.ones_like(tokens, dtype=torch.bool) if row.not_local is None else ~row.not_local
    first = tokens[:0] if row.global_positions is None else row.global_positions
    front = len(first)
    for strip, blocks in layout:
        for block in blocks:
            rows, keys = tokens[strip][block.queries], torch.cat([first, tokens[strip][block.keys]])
            blanks = [blank.shifted(front) for blank in block.blanks]
            p = block_probabilities(query[:, rows], key[:, keys], blanks, local[rows], unit, work.setting, head_mask)
            start = row.tokens.start
            yield Weights(unit, rows[local[rows]] + start, keys + start, front, dilation, p, value[:, keys])


def row_weights(
    query: Tensor, key: Tensor, value: Tensor, positions: Tensor, head_mask: Tensor | None, work: Setting, unit: Unit
) -> Iterator[Weights]:
    """Weights of rows that attend every real token.

    Shapes: query (c, x, d); key, value (c, m, d); positions (x,), of the rows in the sequence.
    """
    keys = torch.arange(unit.row.tokens.start, unit.row.tokens.stop, device=query.device)
    for rows in row_blocks(query.shape[1], unit):
        wanted = torch.ones_like(positions[rows], dtype=torch.bool)
        p = block_probabilities(query[:, rows], key, row_blanks(unit), wanted, unit, work, head_mask)
        yield Weights(unit, positions[rows], keys, 0, 1, p, value)


def band_weights(inputs: Inputs, head_mask: Tensor | None, work: Plan) -> Iterator[Weights]:
    """Weights of all rows, in the order of the plan."""
    for unit, dilation, layout in work.units():
        yield from local_weights(inputs, head_mask, work, unit, dilation, layout)
        positions = unit.row.global_positions
        if positions is not None and work.global_rows:
            query = load_as_it_lies(inputs.query_global, unit)[:, positions]
            key, value = load_as_it_lies(inputs.key_global, unit), load_as_it_lies(inputs.value_global, unit)
            positions = positions + unit.row.tokens.start
            yield from row_weights(query, key, value, positions, head_mask, work.setting, unit)


def output(pieces: Iterable[Weights], like: Tensor) -> Tensor:
    """probabilities @ value, in the shape (b, h, n, d) and dtype of `like`. Rows that no piece holds are 0."""
    return scatter_rows(((w.unit, w.rows, w.probabilities @ w.value) for w in pieces), like.shape, like)


def scatter_rows(
    pieces: Iterable[tuple[Unit, Tensor, Tensor]], shape: Sequence[int], like: Tensor, rest: float = 0.0
) -> Tensor:
    """A (b, h, rows, width) tensor from (unit, rows (r,), table (c, r, width)) pieces; `rest` in all other rows."""
    batch, heads, count, width = shape
    places, tables = [], []
    for unit, rows, table in pieces:
        head = torch.arange(unit.heads.start, unit.heads.stop, device=like.device)
        places.append(((unit.row.index * heads + head[:, None]) * count + rows).flatten())
        tables.append(table.to(like.dtype).flatten(0, 1))
    result = like.new_full((batch * heads * count, width), rest)
    if tables:
        result = result.index_copy(0, torch.cat(places), torch.cat(tables))
    return result.view(batch, heads, count, width)
