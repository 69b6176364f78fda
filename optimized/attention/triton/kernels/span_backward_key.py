"""Backward pass within spans: gradients of the keys and values.

Each program owns a block of keys of one head of keys and walks the rows that see them, one query head after the other,
so that nothing is added from two places.
"""

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
def span_backward_key(
    query,
    key,
    value,
    grad_output,
    lse,
    deltas,
    grad_key,
    grad_value,
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
    grad_b,
    grad_h,
    grad_n,
    dk_b,
    dk_h,
    dk_n,
    dv_b,
    dv_h,
    dv_n,
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
    PRECISION: tl.constexpr,
):
    """Gradients of one block of keys of one head of keys. Masked keys become 0.

    Args:
        lse, deltas: (b, h, m) float32. grad_key, grad_value: (b, k, n, d) and (b, k, n, e), by `dk_*` and `dv_*`.
        heads: query heads. blocks: the number of blocks of keys.
    """
    program = tl.program_id(0)
    b, of_keys = sequence_and_head(program // blocks, heads // group)
    start = program % blocks * KEYS
    states += b * tokens
    segments += b * tokens

    steps = tl.arange(0, KEYS)
    rows = (start + steps).to(tl.int64)
    inside = rows < tokens
    there = inside
    if MASKED:
        there = there & (tl.load(states + rows, mask=inside, other=0) != 0)
    k = load_rows(key + b * key_b + of_keys * key_h, rows, key_n, there, HEAD_DIM, WIDTH)
    v = load_rows(value + b * value_b + of_keys * value_h, rows, value_n, there, VALUE_DIM, VALUE_WIDTH)
    dk = tl.zeros([KEYS, WIDTH], tl.float32)
    dv = tl.zeros([KEYS, VALUE_WIDTH], tl.float32)
    if SEGMENTS:
        own_segments = tl.load(segments + rows, mask=there, other=0)

    # Seen from the keys the sides are exchanged, and the query that stands at token 0 is number -starts[b].
    shift = tl.load(starts + b)
    first = first_key(start - shift, right, queries, HAS_RIGHT) // QUERIES * QUERIES
    last = stop_of_keys(tl.minimum(start + KEYS, tokens) - 1 - shift, left, queries, HAS_LEFT)
    for member in range(0, group):
        h = of_keys * group + member
        weight = tl.load(weights + h)
        for query_start in range(first, last, QUERIES):
            query_steps = tl.arange(0, QUERIES)
            query_rows = (query_start + query_steps).to(tl.int64)
            at = shift + query_start
            is_real = states_of_queries(states, at + query_steps, query_rows < queries, tokens, MASKED)
            q = load_rows(query + b * query_b + h * query_h, query_rows, query_n, is_real, HEAD_DIM, WIDTH)
            of_row = (b * heads + h) * queries + query_rows
            log_sum = tl.load(lse + of_row, mask=is_real, other=float("-inf"))
            attends = log_sum != float("-inf")
            do = load_rows(grad_output + b * grad_b + h * grad_h, query_rows, grad_n, attends, VALUE_DIM, VALUE_WIDTH)
            delta = tl.load(deltas + of_row, mask=is_real, other=0.0)
            apart = query_steps[None, :] - steps[:, None]
            seen = there[:, None] & in_limits(ahead_of(at, start) + apart, left, right, HAS_LEFT, HAS_RIGHT)
            seen = seen & attends[None, :]
            if SEGMENTS:
                of_queries = tl.load(segments + at + query_steps, mask=is_real, other=0)
                seen = seen & (own_segments[:, None] == of_queries[None, :])
            scores = tl.dot(k, tl.trans(q), input_precision=PRECISION) * scale
            scores, tangent = capped(scores, cap, CAPPED)
            if SLOPES:
                scores -= tl.load(slopes + h) * distances(at, start, apart)
            p = tl.where(seen, tl.exp(scores - log_sum[None, :]), 0.0)
            dv = tl.dot((p * weight).to(do.dtype), do, dv, input_precision=PRECISION)
            dp = tl.dot(v, tl.trans(do), input_precision=PRECISION) * weight
            ds = tl.where(seen, p * (dp - delta[None, :]), 0.0)
            if CAPPED:
                ds = tl.where(seen, ds * (1.0 - tangent * tangent), 0.0)
            dk = tl.dot(ds.to(q.dtype), q, dk, input_precision=PRECISION)

    store_rows(grad_key + b * dk_b + of_keys * dk_h, rows, dk_n, inside, dk * scale, HEAD_DIM, WIDTH)
    store_rows(grad_value + b * dv_b + of_keys * dv_h, rows, dv_n, inside, dv, VALUE_DIM, VALUE_WIDTH)
