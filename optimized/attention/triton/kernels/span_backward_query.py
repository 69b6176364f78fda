"""Backward pass within spans: the gradient of the queries, and what the other kernels and sums need of each row."""

import triton
import triton.language as tl

from trueband.optimized.attention.triton.kernels.spans import (
    ahead_of,
    capped,
    distances,
    first_key,
    in_limits,
    states_of_queries,
    stop_of_keys,
)
from trueband.optimized.attention.triton.kernels.tiles import load_rows, sequence_and_head, store_rows


@triton.jit
def span_backward_query(
    query,
    key,
    value,
    output,
    grad_output,
    lse,
    grad_lse,
    deltas,
    row_sums,
    slope_sums,
    grad_query,
    states,
    starts,
    segments,
    weights,
    slopes,
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
    grad_b,
    grad_h,
    grad_n,
    result_b,
    result_h,
    result_n,
    heads,
    group,
    queries,
    tokens,
    blocks,
    left,
    right,
    scale,
    cap,
    HEAD_DIM: tl.constexpr,
    WIDTH: tl.constexpr,
    VALUE_DIM: tl.constexpr,
    VALUE_WIDTH: tl.constexpr,
    QUERIES: tl.constexpr,
    KEYS: tl.constexpr,
    HAS_LEFT: tl.constexpr,
    HAS_RIGHT: tl.constexpr,
    MASKED: tl.constexpr,
    SEGMENTS: tl.constexpr,
    CAPPED: tl.constexpr,
    SLOPES: tl.constexpr,
    WEIGHTED: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Gradients of one block of queries of one head. Rows of masked tokens become 0.

    Args:
        lse, grad_lse: (b, h, m) float32.
        deltas: (b, h, m) float32, written: sum_c dO_ic o_ic - dl_i, where o is already weighted; 0 in rows that attend
            nothing.
        row_sums: the same, written if WEIGHTED: sum_j p_ij dO_i.v_j. slope_sums: if SLOPES, sum_j dS_ij |a_i - j|.
        grad_query: (b, h, m, d) by the strides `result_*`; grad_output by `grad_*`.
    """
    program = tl.program_id(0)
    b, h = sequence_and_head(program // blocks, heads)
    start = program % blocks * QUERIES
    of_keys = h // group
    weight = tl.load(weights + h)
    query += b * query_b + h * query_h
    key += b * key_b + of_keys * key_h
    value += b * value_b + of_keys * value_h
    states += b * tokens
    segments += b * tokens

    steps = tl.arange(0, QUERIES)
    rows = (start + steps).to(tl.int64)
    inside = rows < queries
    at = tl.load(starts + b) + start
    is_real = states_of_queries(states, at + steps, inside, tokens, MASKED)
    q = load_rows(query, rows, query_n, is_real, HEAD_DIM, WIDTH)
    o = load_rows(output + b * output_b + h * output_h, rows, output_n, is_real, VALUE_DIM, VALUE_WIDTH)
    do = load_rows(grad_output + b * grad_b + h * grad_h, rows, grad_n, is_real, VALUE_DIM, VALUE_WIDTH)
    of_row = (b * heads + h) * queries + rows
    log_sum = tl.load(lse + of_row, mask=is_real, other=float("-inf"))
    attends = log_sum != float("-inf")
    log_sum = tl.where(attends, log_sum, float("inf"))  # exp(score - log_sum) is 0
    delta = tl.sum(o.to(tl.float32) * do.to(tl.float32), 1) - tl.load(grad_lse + of_row, mask=is_real, other=0.0)
    delta = tl.where(attends, delta, 0.0)
    tl.store(deltas + of_row, delta, mask=inside)
    dq = tl.zeros([QUERIES, WIDTH], tl.float32)
    row_sum = tl.zeros([QUERIES], tl.float32)
    slope_sum = tl.zeros([QUERIES], tl.float32)
    if SEGMENTS:
        own_segments = tl.load(segments + at + steps, mask=inside, other=0)

    first = first_key(at, left, tokens, HAS_LEFT) // KEYS * KEYS
    last = stop_of_keys(at + tl.minimum(QUERIES, queries - start) - 1, right, tokens, HAS_RIGHT)
    for key_start in range(first, last, KEYS):
        key_steps = tl.arange(0, KEYS)
        key_rows = (key_start + key_steps).to(tl.int64)
        there = key_rows < tokens
        if MASKED:
            there = there & (tl.load(states + key_rows, mask=there, other=0) != 0)
        k = load_rows(key, key_rows, key_n, there, HEAD_DIM, WIDTH)
        v = load_rows(value, key_rows, value_n, there, VALUE_DIM, VALUE_WIDTH)
        apart = steps[:, None] - key_steps[None, :]
        seen = there[None, :] & in_limits(ahead_of(at, key_start) + apart, left, right, HAS_LEFT, HAS_RIGHT)
        seen = seen & attends[:, None]
        if SEGMENTS:
            seen = seen & (own_segments[:, None] == tl.load(segments + key_rows, mask=there, other=0)[None, :])
        scores = tl.dot(q, tl.trans(k), input_precision=PRECISION) * scale
        scores, tangent = capped(scores, cap, CAPPED)
        if SLOPES:
            far = distances(at, key_start, apart)
            scores -= tl.load(slopes + h) * far
        # What is not seen is replaced, not multiplied by 0: its products may have overflowed.
        p = tl.where(seen, tl.exp(scores - log_sum[:, None]), 0.0)
        dp = tl.dot(do, tl.trans(v), input_precision=PRECISION)
        ds = tl.where(seen, p * (dp * weight - delta[:, None]), 0.0)
        if WEIGHTED:
            row_sum += tl.sum(tl.where(seen, p * dp, 0.0), 1)
        if SLOPES:
            slope_sum += tl.sum(ds * far, 1)
        if CAPPED:
            ds = tl.where(seen, ds * (1.0 - tangent * tangent), 0.0)
        dq = tl.dot(ds.to(k.dtype), k, dq, input_precision=PRECISION)

    store_rows(grad_query + b * result_b + h * result_h, rows, result_n, inside, dq * scale, HEAD_DIM, WIDTH)
    if WEIGHTED:
        tl.store(row_sums + of_row, row_sum, mask=inside)
    if SLOPES:
        tl.store(slope_sums + of_row, slope_sum, mask=inside)
