"""Forward pass of the local rows: the band's blocks of keys, then the gathered global keys."""

import triton
import triton.language as tl

from trueband.optimized.attention.triton.kernels.tiles import (
    add_keys,
    load_rows,
    place_on_strip,
    sequence_and_head,
    store_rows,
)


@triton.jit
def band_forward(
    query,
    key,
    value,
    output,
    log_sums,
    states,
    positions,
    counts,
    weights,
    dilations,
    query_b,
    query_h,
    query_n,
    key_b,
    key_h,
    key_n,
    value_b,
    value_h,
    value_n,
    output_b,
    output_h,
    output_n,
    heads,
    tokens,
    most,
    blocks,
    window,
    log2_scale,
    HEAD_DIM: tl.constexpr,
    WIDTH: tl.constexpr,
    QUERIES: tl.constexpr,
    KEYS: tl.constexpr,
    GLOBALS: tl.constexpr,
    CAUSAL: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Output of one block of queries of one head. Writes 0 into the rows of tokens that are not local.

    Args:
        query, key, value, output: (b, h, n, d) by strides.
        log_sums: (b, h, n) float32, log2 of the sum of exp2(scores); 0 where a token is not local.
        weights: (h,) float32, of the heads. dilations: (h,) int32.
        blocks: the number of blocks of queries, in the head that has most.
    """
    program = tl.program_id(0)
    b, h = sequence_and_head(program // blocks, heads)
    dilation = tl.load(dilations + h)
    strip, start, length = place_on_strip(program % blocks, tokens, dilation, QUERIES)
    query += b * query_b + h * query_h
    key += b * key_b + h * key_h
    value += b * value_b + h * value_h
    states += b * tokens

    steps = start + tl.arange(0, QUERIES)
    rows = strip + steps.to(tl.int64) * dilation
    inside = steps < length
    is_local = tl.load(states + rows, mask=inside, other=0) == 1
    q = load_rows(query, rows, query_n, is_local, HEAD_DIM, WIDTH)
    top = tl.full([QUERIES], float("-inf"), tl.float32)
    total = tl.zeros([QUERIES], tl.float32)
    mean = tl.zeros([QUERIES, WIDTH], tl.float32)

    first = (tl.maximum(start - window, 0) // KEYS) * KEYS
    last = tl.minimum(start + QUERIES + (0 if CAUSAL else window), length)
    for key_start in range(first, last, KEYS):
        key_steps = key_start + tl.arange(0, KEYS)
        key_rows = strip + key_steps.to(tl.int64) * dilation
        state = tl.load(states + key_rows, mask=key_steps < length, other=0)
        k = load_rows(key, key_rows, key_n, state == 1, HEAD_DIM, WIDTH)
        v = load_rows(value, key_rows, value_n, state == 1, HEAD_DIM, WIDTH)
        back = steps[:, None] - key_steps[None, :]
        seen = (state == 1)[None, :] & (back <= window) & (back >= (0 if CAUSAL else -window))
        scores = tl.dot(q, tl.trans(k), input_precision=PRECISION) * log2_scale
        scores = tl.where(seen, scores, float("-inf"))
        top, total, mean = add_keys(scores, v, top, total, mean, PRECISION)

    count = tl.load(counts + b)
    for global_start in range(0, count, GLOBALS):
        places = global_start + tl.arange(0, GLOBALS)
        key_rows = tl.load(positions + b * most + places, mask=places < count, other=0).to(tl.int64)
        k = load_rows(key, key_rows, key_n, places < count, HEAD_DIM, WIDTH)
        v = load_rows(value, key_rows, value_n, places < count, HEAD_DIM, WIDTH)
        scores = tl.dot(q, tl.trans(k), input_precision=PRECISION) * log2_scale
        scores = tl.where((places < count)[None, :], scores, float("-inf"))
        top, total, mean = add_keys(scores, v, top, total, mean, PRECISION)

    # A local row sees itself: its total is not 0, and what is not finite in it has to show.
    total = tl.where(is_local, total, 1.0)
    result = mean / total[:, None] * tl.load(weights + h)
    result = tl.where(is_local[:, None], result, 0.0)
    store_rows(output + b * output_b + h * output_h, rows, output_n, inside, result, HEAD_DIM, WIDTH)
    log_sum = tl.where(is_local, top + tl.math.log2(total), 0.0)
    tl.store(log_sums + (b * heads + h) * tokens + rows, log_sum, mask=inside)
