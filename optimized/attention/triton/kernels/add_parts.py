"""Adds up what the parts of a sequence gave to the rows of global tokens, in the order of the parts."""

import triton
import triton.language as tl

from trueband.optimized.attention.triton.kernels.tiles import load_rows, sequence_and_head, store_rows


@triton.jit
def add_parts(
    part_tables,
    table,
    positions,
    counts,
    table_b,
    table_h,
    table_n,
    heads,
    most,
    blocks,
    parts,
    HEAD_DIM: tl.constexpr,
    WIDTH: tl.constexpr,
    GLOBALS: tl.constexpr,
):
    """A block of global tokens of one head: from (b, h, parts, most, d) float32 into their rows of (b, h, n, d)."""
    program = tl.program_id(0)
    b, h = sequence_and_head(program // blocks, heads)
    places = program % blocks * GLOBALS + tl.arange(0, GLOBALS)
    is_row = places < tl.load(counts + b)
    total = tl.zeros([GLOBALS, WIDTH], tl.float32)
    for part in range(0, parts):
        of_part = ((b * heads + h) * parts + part) * most + places
        total += load_rows(part_tables, of_part, HEAD_DIM, is_row, HEAD_DIM, WIDTH)
    rows = tl.load(positions + b * most + places, mask=is_row, other=0).to(tl.int64)
    store_rows(table + b * table_b + h * table_h, rows, table_n, is_row, total, HEAD_DIM, WIDTH)
