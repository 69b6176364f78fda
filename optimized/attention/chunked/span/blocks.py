"""The order of the work: rows of the batch, heads of keys, then blocks of queries against their tiles of keys.

The forward pass, the backward pass and the differentiable form walk it alike, so they draw the same dropout.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from torch import Tensor

from trueband.optimized.attention.chunked.blanks import Blank
from trueband.optimized.attention.chunked.block import Part, setting
from trueband.optimized.attention.chunked.plan import QUERIES
from trueband.optimized.attention.chunked.space import Workspace
from trueband.optimized.attention.chunked.span.arguments import SpanArguments
from trueband.optimized.attention.chunked.span.rows import SpanRow, plan_rows, strips
from trueband.optimized.attention.chunked.span.softmax import Attention, Columns, by_head
from trueband.optimized.attention.chunked.span.tiles import Piece, Run, Span, Tile, cut, pieces, tile_width


class Plan(NamedTuple):
    """The order of the work, and its settings."""

    rows: list[SpanRow]
    span: Span
    group: int
    dilations: list[int]
    attention: Attention

    @property
    def space(self) -> Workspace:
        return self.attention.space

    def pieces(self) -> Iterator[tuple[SpanRow, Piece]]:
        """A few heads of a row of the batch."""
        for row in self.rows:
            for piece in pieces(self.dilations, self.group, self.span.scores(row, self.group)):
                yield row, piece

    def local_blocks(self, row: SpanRow, piece: Piece) -> Iterator[Block]:
        """Blocks of the local rows."""
        for run in piece.runs:
            group = piece.group(run)
            for strip in strips(row, run.dilation):
                first, step = strip.queries.start, strip.queries.step
                for queries, skipped, tiles in self.span.blocks(row, strip, group):
                    start, stop = first + queries.start * step, min(first + queries.stop * step, row.count)
                    yield Block(row, run, group, slice(start, stop, step), skipped, tiles, strip.keys)

    def global_blocks(self, row: SpanRow, piece: Piece) -> Iterator[Block]:
        """Blocks of the rows of global tokens, which attend every real token."""
        if row.global_positions is None:
            return
        for run in piece.runs:
            group = piece.group(run)
            for positions in row.global_positions.split(QUERIES):
                tiles = []
                for keys in cut(slice(0, row.length), tile_width(len(positions) * group)):
                    masked = None if row.masked is None else row.masked[None, keys]
                    blanks = [] if masked is None else [Blank(slice(0, masked.shape[1]), masked)]
                    tiles.append(Tile(False, keys, blanks, 0))
                yield Block(row, run, group, positions, None, tiles, slice(0, row.length))


class Block(NamedTuple):
    """Some queries of the heads of a run.

    Attributes:
        group: the heads of the run for each head of keys.
        rows: a slice of the queries of the row, or their positions.
        skipped: (rows,) bool, queries of another kind; None when the block has none.
        tiles: what they attend.
        keys: the keys of the row that the tiles are slices of, but for those of global tokens.
    """

    row: SpanRow
    run: Run
    group: int
    rows: slice | Tensor
    skipped: Tensor | None
    tiles: list[Tile]
    keys: slice

    def of(self, tensor: Tensor) -> Tensor:
        """Its rows (c * r, rows, ...) of a (b, h, m, ...) tensor; shared with it if they are a slice."""
        return self.whole(tensor)[:, self.rows]

    def put(self, table: Tensor, target: Tensor) -> None:
        """Write rows (c, R, width) to a (b, h, m, width) tensor."""
        self.whole(target)[:, self.rows] = by_head(table, self.run.heads).flatten(0, 1).to(target.dtype)

    def whole(self, tensor: Tensor) -> Tensor:
        return tensor[self.row.index, self.run.heads, self.row.queries]

    def stacked(self, name: str, tensor: Tensor, space: Workspace) -> Tensor:
        """Its rows (c, R, width) on lines, head by head, 0 where they are skipped; never to be written to."""
        part = self.of(tensor)
        if self.group == 1:
            return space.operand(name, part, self.skipped)
        copy = space.rows(name, len(part) // self.group, self.group * part.shape[1], part.shape[2])
        by_head(copy, self.run.heads).copy_(part.unflatten(0, (-1, self.group)))
        self.skip(copy, 0)
        return copy

    def skip(self, table: Tensor, value: float) -> None:
        """Write a value over the rows of a table (c, R, width) that are skipped."""
        if self.skipped is not None:
            by_head(table, self.run.heads).masked_fill_(self.skipped[:, None], value)


class Keys(NamedTuple):
    """Keys and values (c, n, width) of a piece, and those of its global tokens; with their gradients or without."""

    own: Part
    front: Part | None = None

    def columns(self, block: Block) -> Iterator[Columns]:
        """What a block attends, tile by tile."""
        strip = part_of(self.own, block.keys)
        for tile in block.tiles:
            source = self.front if tile.front else strip
            assert source is not None
            yield Columns(part_of(source, tile.keys), tile.blanks, tile.ahead)


def part_of(part: Part, keys: slice) -> Part:
    grad_key, grad_value = (None if grad is None else grad[:, keys] for grad in part[2:])
    return Part(part.key[:, keys], part.value[:, keys], grad_key, grad_value)


def plan(call: SpanArguments) -> Plan:
    rows = plan_rows(call)
    work = setting(call.scale, call.head_mask, call.dropout_p, call.seed, call.query.dtype, call.query.device)
    return Plan(rows, Span(*call.reach, call.query.device), call.group, call.dilations, Attention(work, call))
