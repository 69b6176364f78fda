"""Forward pass of attention within spans of keys."""

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
def span_forward(
    query,
    key,
    value,
    output,
    lse,
    states,
    starts,
    segments,
    weights,
    sinks,
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
    SINKS: tl.constexpr,
    SLOPES: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Output and lse of one block of queries of one head; 0 and -inf in the rows of masked tokens.

    Args:
        query, output: (b, h, m, d) and (b, h, m, e); key, value: (b, k, n, d) and (b, k, n, e), by strides.
        lse: (b, h, m) float32. states: (b, n) int8. starts: (b,) int64. segments: (b, n) int64.
        weights, sinks, slopes: (h,) float32.
        blocks: the number of blocks of queries.
    """
    program = tl.program_id(0)
    b, h = sequence_and_head(program // blocks, heads)
    start = program % blocks * QUERIES
    of_keys = h // group
    query += b * query_b + h * query_h
    key += b * key_b + of_keys * key_h
    value += b * value_b + of_keys * value_h
    states += b * tokens
    segments += b * tokens

    steps = tl.arange(0, QUERIES)
    rows = (start + steps).to(tl.int64)
    inside = rows < queries
    at = tl.load(starts + b) + start  # of the first query
    is_real = states_of_queries(states, at + steps, inside, tokens, MASKED)
    q = load_rows(query, rows, query_n, is_real, HEAD_DIM, WIDTH)
    top = tl.full([QUERIES], float("-inf"), tl.float32)
    total = tl.zeros([QUERIES], tl.float32)
    if SINKS:
        top = total + tl.load(sinks + h)
        total += 1.0
    mean = tl.zeros([QUERIES, VALUE_WIDTH], tl.float32)
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
        if SEGMENTS:
            seen = seen & (own_segments[:, None] == tl.load(segments + key_rows, mask=there, other=0)[None, :])
        scores = tl.dot(q, tl.trans(k), input_precision=PRECISION) * scale
        scores, _ = capped(scores, cap, CAPPED)
        if SLOPES:
            scores -= tl.load(slopes + h) * distances(at, key_start, apart)
        scores = tl.where(seen, scores, float("-inf"))
        new_top = tl.maximum(top, tl.max(scores, 1))
        finite_top = tl.where(new_top == float("-inf"), 0.0, new_top)  # -inf - -inf would be NaN
        p = tl.exp(scores - finite_top[:, None])
        shrink = tl.exp(top - finite_top)
        total = total * shrink + tl.sum(p, 1)
        mean = tl.dot(p.to(v.dtype), v, mean * shrink[:, None], input_precision=PRECISION)
        top = new_top

    total = tl.where(total == 0.0, 1.0, total)  # no key, and no sink: top is -inf, mean is 0
    result = mean / total[:, None] * tl.load(weights + h)
    result = tl.where(is_real[:, None], result, 0.0)
    store_rows(output + b * output_b + h * output_h, rows, output_n, inside, result, VALUE_DIM, VALUE_WIDTH)
    log_sum = tl.where(is_real, top + tl.log(total), float("-inf"))
    tl.store(lse + (b * heads + h) * queries + rows, log_sum, mask=inside)
