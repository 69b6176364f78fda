"""What the kernels of spans share: where rows stand, which keys a block walks, and one tile of scores.

Query i of row b of the batch stands at starts[b] + i, and reads the keys of head h // group. Scores are natural, not in
units of log2: the lse that is handed out is what the backward pass reads.

Positions are 64-bit. Within a tile they count from its first query and its first key, whose distance is cut to 2^30:
limits are smaller than 2^29, so what is cut off is farther than any limit.
"""

import triton
import triton.language as tl


@triton.jit
def states_of_queries(states, at, inside, tokens, MASKED: tl.constexpr):
    """Which of the queries at the tokens `at` are real; those beyond the keys are."""
    real = inside
    if MASKED:
        there = inside & (at >= 0) & (at < tokens)
        real = inside & (tl.load(states + at, mask=there, other=1) != 0)
    return real


@triton.jit
def first_key(at, left, tokens, HAS_LEFT: tl.constexpr):
    """The first key that a query at the token `at` (int64) reaches, in 0..tokens."""
    first = at * 0
    if HAS_LEFT:
        first = tl.minimum(tl.maximum(at - left, 0), tokens)
    return first.to(tl.int32)


@triton.jit
def stop_of_keys(at, right, tokens, HAS_RIGHT: tl.constexpr):
    """One beyond the last key that a query at the token `at` (int64) reaches, in 0..tokens."""
    stop = at * 0 + tokens
    if HAS_RIGHT:
        stop = tl.minimum(tl.maximum(at + right + 1, 0), tokens)
    return stop.to(tl.int32)


@triton.jit
def ahead_of(at, key_start):
    """How far the first query of a tile, at the token `at` (int64), stands behind its first key, cut to 2^30."""
    return tl.minimum(tl.maximum(at - key_start, -1073741824), 1073741824).to(tl.int32)


@triton.jit
def in_limits(back, left, right, HAS_LEFT: tl.constexpr, HAS_RIGHT: tl.constexpr):
    """Whether a key so many tokens before its query is within the limits."""
    seen = back == back
    if HAS_LEFT:
        seen = seen & (back <= left)
    if HAS_RIGHT:
        seen = seen & (back >= -right)
    return seen


@triton.jit
def tanh(x):
    """By a sigmoid, whose exponential may overflow to infinity."""
    return 2.0 / (1.0 + tl.exp(-2.0 * x)) - 1.0


@triton.jit
def capped(products, cap, CAPPED: tl.constexpr):
    """Scores of products that are already scaled, and tanh(product / cap), which is 0 without a softcap."""
    tangent = products * 0.0
    if CAPPED:
        tangent = tanh(products / cap)
        products = cap * tangent
    return products, tangent


@triton.jit
def distances(at, key_start, apart):
    """Float distances in tokens; `apart`: query less key, counted from the first of the tile."""
    return tl.abs((at - key_start).to(tl.float32) + apart.to(tl.float32))
