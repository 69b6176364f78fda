"""The parts that the kernels share: where a program works, how tiles move, one step of the online softmax."""

import triton
import triton.language as tl


@triton.jit
def sequence_and_head(index, heads):
    """(b, h) of a program, int64 so that a product with a stride does not overflow."""
    return (index // heads).to(tl.int64), (index % heads).to(tl.int64)


@triton.jit
def place_on_strip(block, tokens, dilation, SIZE: tl.constexpr):
    """The strip of a block (its first token), the block's first step, and the length of the strip."""
    blocks = tl.cdiv(tl.cdiv(tokens, dilation), SIZE)  # in the longest strip
    strip = block // blocks
    length = tl.where(strip < dilation, tl.cdiv(tokens - strip, dilation), 0)
    return strip, (block % blocks) * SIZE, length


@triton.jit
def load_rows(table, rows, stride, wanted, HEAD_DIM: tl.constexpr, WIDTH: tl.constexpr):
    """(rows, WIDTH): rows of a table, 0 where they are not wanted. `rows`: int64."""
    columns = tl.arange(0, WIDTH)
    mask = wanted[:, None]
    if HEAD_DIM != WIDTH:
        mask = mask & (columns < HEAD_DIM)[None, :]
    return tl.load(table + (rows * stride)[:, None] + columns[None, :], mask=mask, other=0.0)


@triton.jit
def store_rows(table, rows, stride, wanted, tile, HEAD_DIM: tl.constexpr, WIDTH: tl.constexpr):
    """Stores the wanted rows of a tile."""
    columns = tl.arange(0, WIDTH)
    mask = wanted[:, None]
    if HEAD_DIM != WIDTH:
        mask = mask & (columns < HEAD_DIM)[None, :]
    tl.store(table + (rows * stride)[:, None] + columns[None, :], tile.to(table.dtype.element_ty), mask=mask)


@triton.jit
def add_keys(scores, v, top, total, mean, PRECISION: tl.constexpr):
    """One step of the online softmax: the rows' largest score, their sum, and their weighted values so far.

    Scores that are not attended are -inf. A row that has seen no key yet has top -inf, total 0 and mean 0.
    """
    new_top = tl.maximum(top, tl.max(scores, 1))
    finite_top = tl.where(new_top == float("-inf"), 0.0, new_top)  # -inf - -inf would be NaN
    p = tl.math.exp2(scores - finite_top[:, None])
    shrink = tl.math.exp2(top - finite_top)
    total = total * shrink + tl.sum(p, 1)
    mean = tl.dot(p.to(v.dtype), v, mean * shrink[:, None], input_precision=PRECISION)
    return new_top, total, mean
