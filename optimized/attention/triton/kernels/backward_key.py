"""Backward pass of the local rows: gradients of the keys and values that they see.

Each program owns a block of keys and walks the rows that see them, so that nothing is added from two places.
"""

import triton
import triton.language as tl

from trueband.optimized.attention.triton.kernels.tiles import (
    load_rows,
    place_on_strip,
    sequence_and_head,
    store_rows,
)


@triton.jit
def add_rows(q, k, v, do, log_sum, delta, seen, weight, log2_scale, dk, dv, PRECISION: tl.constexpr):
    """Adds what a block of rows gives to dk (before the scale) and dv. `seen`: (keys, rows)."""
    scores = tl.dot(k, tl.trans(q), input_precision=PRECISION) * log2_scale
    p = tl.where(seen, tl.math.exp2(scores - log_sum[None, :]), 0.0)
    dv = tl.dot(p.to(do.dtype), do, dv, input_precision=PRECISION)
    dp = tl.dot(v, tl.trans(do), input_precision=PRECISION) * weight
    ds = tl.where(seen, p * (dp - delta[None, :]), 0.0)
    dk = tl.dot(ds.to(q.dtype), q, dk, input_precision=PRECISION)
    return dk, dv


@triton.jit
def band_backward_key(
    query,
    key,
    value,
    grad_output,
    log_sums,
    deltas,
    grad_key,
    grad_value,
    states,
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
    grad_b,
    grad_h,
    grad_n,
    result_b,
    result_h,
    result_n,
    heads,
    tokens,
    blocks,
    window,
    log2_scale,
    scale,
    HEAD_DIM: tl.constexpr,
    WIDTH: tl.constexpr,
    QUERIES: tl.constexpr,
    KEYS: tl.constexpr,
    CAUSAL: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Gradients of one block of keys of one head, as its band sees it. Keys that are not local become 0.

    Args:
        grad_key, grad_value: (b, h, n, d), both by the strides `result_*`; grad_output by `grad_*`.
        blocks: the number of blocks of keys, in the head that has most.
    """
    program = tl.program_id(0)
    b, h = sequence_and_head(program // blocks, heads)
    dilation = tl.load(dilations + h)
    weight = tl.load(weights + h)
    strip, start, length = place_on_strip(program % blocks, tokens, dilation, KEYS)
    query += b * query_b + h * query_h
    grad_output += b * grad_b + h * grad_h
    states += b * tokens

    steps = start + tl.arange(0, KEYS)
    rows = strip + steps.to(tl.int64) * dilation
    inside = steps < length
    is_local = tl.load(states + rows, mask=inside, other=0) == 1
    k = load_rows(key + b * key_b + h * key_h, rows, key_n, is_local, HEAD_DIM, WIDTH)
    v = load_rows(value + b * value_b + h * value_h, rows, value_n, is_local, HEAD_DIM, WIDTH)
    dk = tl.zeros([KEYS, WIDTH], tl.float32)
    dv = tl.zeros([KEYS, WIDTH], tl.float32)

    first = (tl.maximum(start - (0 if CAUSAL else window), 0) // QUERIES) * QUERIES
    last = tl.minimum(start + KEYS + window, length)
    for query_start in range(first, last, QUERIES):
        query_steps = query_start + tl.arange(0, QUERIES)
        query_rows = strip + query_steps.to(tl.int64) * dilation
        row_is_local = tl.load(states + query_rows, mask=query_steps < length, other=0) == 1
        q = load_rows(query, query_rows, query_n, row_is_local, HEAD_DIM, WIDTH)
        do = load_rows(grad_output, query_rows, grad_n, row_is_local, HEAD_DIM, WIDTH)
        of_row = (b * heads + h) * tokens + query_rows
        log_sum = tl.load(log_sums + of_row, mask=row_is_local, other=0.0)
        delta = tl.load(deltas + of_row, mask=row_is_local, other=0.0)
        back = query_steps[None, :] - steps[:, None]
        seen = is_local[:, None] & row_is_local[None, :]
        seen = seen & (back <= window) & (back >= (0 if CAUSAL else -window))
        dk, dv = add_rows(q, k, v, do, log_sum, delta, seen, weight, log2_scale, dk, dv, PRECISION)

    of_head = b * result_b + h * result_h
    store_rows(grad_key + of_head, rows, result_n, inside, dk * scale, HEAD_DIM, WIDTH)
    store_rows(grad_value + of_head, rows, result_n, inside, dv * weight, HEAD_DIM, WIDTH)


@triton.jit
def global_keys_backward(
    query,
    key,
    value,
    grad_output,
    log_sums,
    deltas,
    key_parts,
    value_parts,
    states,
    positions,
    counts,
    weights,
    query_b,
    query_h,
    query_n,
    key_b,
    key_h,
    key_n,
    value_b,
    value_h,
    value_n,
    grad_b,
    grad_h,
    grad_n,
    heads,
    tokens,
    most,
    blocks,
    parts,
    part_tokens,
    log2_scale,
    scale,
    HEAD_DIM: tl.constexpr,
    WIDTH: tl.constexpr,
    QUERIES: tl.constexpr,
    GLOBALS: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """A block of global keys of one head, as the local rows of one part of the sequence see them.

    Args:
        key_parts, value_parts: (b, h, parts, most, d) float32, to be added up in the order of the parts.
        blocks: the number of blocks of global keys. part_tokens: tokens in a part, a multiple of QUERIES.
    """
    program = tl.program_id(0)
    b, h = sequence_and_head(program // (parts * blocks), heads)
    part = program // blocks % parts
    weight = tl.load(weights + h)
    query += b * query_b + h * query_h
    grad_output += b * grad_b + h * grad_h
    states += b * tokens

    count = tl.load(counts + b)
    places = program % blocks * GLOBALS + tl.arange(0, GLOBALS)
    is_key = places < count
    rows = tl.load(positions + b * most + places, mask=is_key, other=0).to(tl.int64)
    k = load_rows(key + b * key_b + h * key_h, rows, key_n, is_key, HEAD_DIM, WIDTH)
    v = load_rows(value + b * value_b + h * value_h, rows, value_n, is_key, HEAD_DIM, WIDTH)
    dk = tl.zeros([GLOBALS, WIDTH], tl.float32)
    dv = tl.zeros([GLOBALS, WIDTH], tl.float32)

    last = tl.where(program % blocks * GLOBALS < count, tl.minimum((part + 1) * part_tokens, tokens), 0)
    for query_start in range(part * part_tokens, last, QUERIES):
        query_rows = query_start + tl.arange(0, QUERIES).to(tl.int64)
        row_is_local = tl.load(states + query_rows, mask=query_rows < tokens, other=0) == 1
        q = load_rows(query, query_rows, query_n, row_is_local, HEAD_DIM, WIDTH)
        do = load_rows(grad_output, query_rows, grad_n, row_is_local, HEAD_DIM, WIDTH)
        of_row = (b * heads + h) * tokens + query_rows
        log_sum = tl.load(log_sums + of_row, mask=row_is_local, other=0.0)
        delta = tl.load(deltas + of_row, mask=row_is_local, other=0.0)
        seen = is_key[:, None] & row_is_local[None, :]
        dk, dv = add_rows(q, k, v, do, log_sum, delta, seen, weight, log2_scale, dk, dv, PRECISION)

    of_part = ((b * heads + h) * parts + part) * most
    store_rows(key_parts, of_part + places, HEAD_DIM, is_key, dk * scale, HEAD_DIM, WIDTH)
    store_rows(value_parts, of_part + places, HEAD_DIM, is_key, dv * weight, HEAD_DIM, WIDTH)
