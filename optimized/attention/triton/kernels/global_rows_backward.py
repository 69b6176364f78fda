"""Backward pass of the rows of global tokens."""

import triton
import triton.language as tl

from trueband.optimized.attention.triton.kernels.backward_key import add_rows
from trueband.optimized.attention.triton.kernels.backward_query import score_gradient
from trueband.optimized.attention.triton.kernels.tiles import load_rows, sequence_and_head, store_rows


@triton.jit
def global_rows_backward_query(
    query,
    key,
    value,
    output,
    grad_output,
    log_sums,
    deltas,
    row_sums,
    query_parts,
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
    output_b,
    output_h,
    output_n,
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
    KEYS: tl.constexpr,
    GLOBALS: tl.constexpr,
    WEIGHTED: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Gradient of a block of global queries of one head by the keys of one part of the sequence.

    Args:
        query_parts: (b, h, parts, most, d) float32, to be added up in the order of the parts.
        log_sums: (b, h, n) float32. deltas: the same; the rows of global tokens are written, by the first part.
        row_sums: (b, h, parts, most) float32, written if WEIGHTED: as those of the local rows.
    """
    program = tl.program_id(0)
    b, h = sequence_and_head(program // (parts * blocks), heads)
    part = program // blocks % parts
    weight = tl.load(weights + h)
    key += b * key_b + h * key_h
    value += b * value_b + h * value_h
    states += b * tokens

    count = tl.load(counts + b)
    places = program % blocks * GLOBALS + tl.arange(0, GLOBALS)
    is_row = places < count
    rows = tl.load(positions + b * most + places, mask=is_row, other=0).to(tl.int64)
    q = load_rows(query + b * query_b + h * query_h, rows, query_n, is_row, HEAD_DIM, WIDTH)
    o = load_rows(output + b * output_b + h * output_h, rows, output_n, is_row, HEAD_DIM, WIDTH)
    do = load_rows(grad_output + b * grad_b + h * grad_h, rows, grad_n, is_row, HEAD_DIM, WIDTH)
    of_row = (b * heads + h) * tokens + rows
    log_sum = tl.load(log_sums + of_row, mask=is_row, other=0.0)
    delta = tl.sum(o.to(tl.float32) * do.to(tl.float32), 1)
    tl.store(deltas + of_row, delta, mask=is_row & (part == 0))
    dq = tl.zeros([GLOBALS, WIDTH], tl.float32)
    row_sum = tl.zeros([GLOBALS], tl.float32)

    last = tl.where(program % blocks * GLOBALS < count, tl.minimum((part + 1) * part_tokens, tokens), 0)
    for key_start in range(part * part_tokens, last, KEYS):
        key_rows = key_start + tl.arange(0, KEYS).to(tl.int64)
        is_real = tl.load(states + key_rows, mask=key_rows < tokens, other=0) != 0
        k = load_rows(key, key_rows, key_n, is_real, HEAD_DIM, WIDTH)
        v = load_rows(value, key_rows, value_n, is_real, HEAD_DIM, WIDTH)
        seen = is_row[:, None] & is_real[None, :]
        ds, products = score_gradient(q, k, v, do, log_sum, delta, seen, weight, log2_scale, PRECISION)
        dq = tl.dot(ds.to(k.dtype), k, dq, input_precision=PRECISION)
        if WEIGHTED:
            row_sum += tl.sum(products, 1)

    of_part = ((b * heads + h) * parts + part) * most + places
    store_rows(query_parts, of_part, HEAD_DIM, is_row, dq * scale, HEAD_DIM, WIDTH)
    if WEIGHTED:
        tl.store(row_sums + of_part, row_sum, mask=is_row)


@triton.jit
def global_rows_backward_key(
    query,
    key,
    value,
    grad_output,
    log_sums,
    deltas,
    grad_key,
    grad_value,
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
    result_b,
    result_h,
    result_n,
    heads,
    tokens,
    most,
    blocks,
    log2_scale,
    scale,
    HEAD_DIM: tl.constexpr,
    WIDTH: tl.constexpr,
    KEYS: tl.constexpr,
    GLOBALS: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Gradients of a block of keys and values of one head by all global rows. Masked keys become 0.

    Args:
        grad_key, grad_value: (b, h, n, d), both by the strides `result_*`; grad_output by `grad_*`.
        blocks: the number of blocks of keys.
    """
    program = tl.program_id(0)
    b, h = sequence_and_head(program // blocks, heads)
    weight = tl.load(weights + h)
    query += b * query_b + h * query_h
    grad_output += b * grad_b + h * grad_h

    rows = program % blocks * KEYS + tl.arange(0, KEYS).to(tl.int64)
    inside = rows < tokens
    is_real = tl.load(states + b * tokens + rows, mask=inside, other=0) != 0
    k = load_rows(key + b * key_b + h * key_h, rows, key_n, is_real, HEAD_DIM, WIDTH)
    v = load_rows(value + b * value_b + h * value_h, rows, value_n, is_real, HEAD_DIM, WIDTH)
    dk = tl.zeros([KEYS, WIDTH], tl.float32)
    dv = tl.zeros([KEYS, WIDTH], tl.float32)

    count = tl.load(counts + b)
    for global_start in range(0, count, GLOBALS):
        places = global_start + tl.arange(0, GLOBALS)
        is_row = places < count
        query_rows = tl.load(positions + b * most + places, mask=is_row, other=0).to(tl.int64)
        q = load_rows(query, query_rows, query_n, is_row, HEAD_DIM, WIDTH)
        do = load_rows(grad_output, query_rows, grad_n, is_row, HEAD_DIM, WIDTH)
        of_row = (b * heads + h) * tokens + query_rows
        log_sum = tl.load(log_sums + of_row, mask=is_row, other=0.0)
        delta = tl.load(deltas + of_row, mask=is_row, other=0.0)
        seen = is_real[:, None] & is_row[None, :]
        dk, dv = add_rows(q, k, v, do, log_sum, delta, seen, weight, log2_scale, dk, dv, PRECISION)

    of_head = b * result_b + h * result_h
    store_rows(grad_key + of_head, rows, result_n, inside, dk * scale, HEAD_DIM, WIDTH)
    store_rows(grad_value + of_head, rows, result_n, inside, dv * weight, HEAD_DIM, WIDTH)
