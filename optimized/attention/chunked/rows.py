"""Rows that attend every real token: the global rows, and full attention.

Shapes: c heads at a time, x such rows, m tokens of the row of the batch, d head dim.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from trueband.optimized.attention.chunked.blanks import Blank, Blanks
from trueband.optimized.attention.chunked.block import Part, Setting, block_backward, block_forward
from trueband.optimized.attention.chunked.plan import most_scores
from trueband.optimized.attention.chunked.tensors import Unit


def row_blocks(count: int, unit: Unit) -> Iterator[slice]:
    """A few of the `count` rows at a time: a block of scores of bounded size."""
    heads = unit.heads.stop - unit.heads.start
    step = max(1, most_scores() // (heads * unit.row.length))
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


def row_blanks(unit: Unit) -> Blanks:
    """Masked tokens are not attended."""
    masked = unit.row.masked
    return [] if masked is None else [Blank(slice(0, unit.row.length), masked[None, :])]


def rows_forward(query: Tensor, key: Tensor, value: Tensor, unit: Unit, setting: Setting) -> Tensor:
    """Output (c, x, d) of the queries (c, x, d) on keys and values (c, m, d)."""
    output = query.new_empty(query.shape)
    for rows in row_blocks(query.shape[1], unit):
        output[:, rows] = block_forward(query[:, rows], [Part(key, value)], row_blanks(unit), unit.heads, setting)
    return output


def rows_backward(
    query: Tensor, part: Part, unit: Unit, setting: Setting, grad_output: Tensor, grad_head_mask: Tensor
) -> Tensor:
    """Gradient of the queries (c, x, d); adds to those of the part and of the head mask. `grad_output`: (c, x, d)."""
    grad_query = query.new_empty(query.shape)
    for rows in row_blocks(query.shape[1], unit):
        grad_query[:, rows] = block_backward(
            query[:, rows], [part], row_blanks(unit), unit.heads, setting, grad_output[:, rows], None, grad_head_mask
        )
    return grad_query
