"""Backward pass of the local rows: the gradient of their queries, and what the other kernels need of each row."""

import triton
import triton.language as tl

from trueband.optimized.attention.triton.kernels.tiles import (
    load_rows,
    place_on_strip,
    sequence_and_head,
    store_rows,
)


@triton.jit
def score_gradient(q, k, v, do, log_sum, delta, seen, weight, log2_scale, PRECISION: tl.constexpr):
    """(rows, keys): gradient of the scores, and p * dp before the weight of the head; 0 where a key is not seen.

    What is not seen is replaced, not multiplied by 0: its products may have overflowed.
    """
    scores = tl.dot(q, tl.trans(k), input_precision=PRECISION) * log2_scale
    p = tl.where(seen, tl.math.exp2(scores - log_sum[:, None]), 0.0)
    dp = tl.dot(do, tl.trans(v), input_precision=PRECISION)
    return tl.where(seen, p * (dp * weight - delta[:, None]), 0.0), tl.where(seen, p * dp, 0.0)


@triton.jit
def band_backward_query(
    query,
    key,
    value,
    output,
    grad_output,
    log_sums,
    deltas,
    row_sums,
    grad_query,
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
    grad_b,
    grad_h,
    grad_n,
    result_b,
    result_h,
    result_n,
    heads,
    tokens,
    most,
    blocks,
    window,
    log2_scale,
    scale,
    HEAD_DIM: tl.constexpr,
    WIDTH: tl.constexpr,
    QUERIES: tl.constexpr,
    KEYS: tl.constexpr,
    GLOBALS: tl.constexpr,
    CAUSAL: tl.constexpr,
    WEIGHTED: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Gradients of one block of queries of one head. Rows of tokens that are not local become 0.

    Args:
        grad_query: (b, h, n, d) by the strides `result_*`; grad_output by `grad_*`.
        deltas: (b, h, n) float32, written: sum_c dO_ic o_ic, where o is already weighted.
        row_sums: (b, h, n) float32, written if WEIGHTED: sum_j p_ij dO_i.v_j, the row's share of the gradient of the
            head mask. It cannot be had from o, which may be weighted by 0.
    """
    program = tl.program_id(0)
    b, h = sequence_and_head(program // blocks, heads)
    dilation = tl.load(dilations + h)
    weight = tl.load(weights + h)
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
    o = load_rows(output + b * output_b + h * output_h, rows, output_n, is_local, HEAD_DIM, WIDTH)
    do = load_rows(grad_output + b * grad_b + h * grad_h, rows, grad_n, is_local, HEAD_DIM, WIDTH)
    of_row = (b * heads + h) * tokens + rows
    log_sum = tl.load(log_sums + of_row, mask=inside, other=0.0)
    delta = tl.sum(o.to(tl.float32) * do.to(tl.float32), 1)
    tl.store(deltas + of_row, delta, mask=inside)
    dq = tl.zeros([QUERIES, WIDTH], tl.float32)
    row_sum = tl.zeros([QUERIES], tl.float32)

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
        seen = seen & is_local[:, None]
        ds, products = score_gradient(q, k, v, do, log_sum, delta, seen, weight, log2_scale, PRECISION)
        dq = tl.dot(ds.to(k.dtype), k, dq, input_precision=PRECISION)
        if WEIGHTED:
            row_sum += tl.sum(products, 1)

    count = tl.load(counts + b)
    for global_start in range(0, count, GLOBALS):
        places = global_start + tl.arange(0, GLOBALS)
        key_rows = tl.load(positions + b * most + places, mask=places < count, other=0).to(tl.int64)
        k = load_rows(key, key_rows, key_n, places < count, HEAD_DIM, WIDTH)
        v = load_rows(value, key_rows, value_n, places < count, HEAD_DIM, WIDTH)
        seen = is_local[:, None] & (places < count)[None, :]
        ds, products = score_gradient(q, k, v, do, log_sum, delta, seen, weight, log2_scale, PRECISION)
        dq = tl.dot(ds.to(k.dtype), k, dq, input_precision=PRECISION)
        if WEIGHTED:
            row_sum += tl.sum(products, 1)

    store_rows(grad_query + b * result_b + h * result_h, rows, result_n, inside, dq * scale, HEAD_DIM, WIDTH)
    if WEIGHTED:
        tl.store(row_sums + of_row, row_sum, mask=inside)
