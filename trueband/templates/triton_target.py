"""A target: a causal Triton kernel with grouped heads.

Put yours in the place of `kernel`, look at `target`, and

    trueband check THIS_FILE.py:target --cases 60

It runs on the CPU, in Triton's interpreter, for some minutes; on a GPU with --device cuda and without the line of
TRITON_INTERPRET.

Windows: trueband's window says how many keys a row sees before itself, itself not counted. A sliding_window=W that
counts the token itself is window = W - 1.
"""

import os

os.environ["TRITON_INTERPRET"] = "1"  # before triton is imported

import torch
import triton
import triton.language as tl

import trueband


@triton.jit
def rows(q, k, v, out, scale, window, queries, tokens, group, d, D: tl.constexpr, M: tl.constexpr, N: tl.constexpr):
    head, row = tl.program_id(1), tl.program_id(0) * M + tl.arange(0, M)
    place, column = row + tokens - queries, tl.arange(0, D)  # the last query stands at the last key
    here = (row[:, None] < queries) & (column < d)
    query = tl.load(q + (head * queries + row[:, None]) * d + column, mask=here, other=0.0)
    top, total = tl.full((M,), float("-inf"), tl.float32), tl.zeros((M,), tl.float32)
    sums = tl.zeros((M, D), tl.float32)
    first = tl.program_id(0) * M + tokens - queries
    for start in range(tl.maximum(first - window, 0) // N * N, tl.minimum(first + M, tokens), N):
        token = start + tl.arange(0, N)
        there = (head // group * tokens + token[:, None]) * d + column
        loaded = (token[:, None] < tokens) & (column < d)
        key, value = tl.load(k + there, mask=loaded, other=0.0), tl.load(v + there, mask=loaded, other=0.0)
        behind = place[:, None] - token
        seen = (behind >= 0) & (behind <= window) & (token < tokens)
        scores = tl.where(seen, scale * tl.dot(query, tl.trans(key), input_precision="ieee"), float("-inf"))
        higher = tl.maximum(top, tl.max(scores, 1))
        base = tl.where(higher > float("-inf"), higher, 0.0)  # a row that has seen no key yet
        weights, shrunk = tl.exp(scores - base[:, None]), tl.exp(top - base)
        total, top = total * shrunk + tl.sum(weights, 1), higher
        sums = sums * shrunk[:, None] + tl.dot(weights.to(value.dtype), value, input_precision="ieee")
    result = sums / total[:, None]
    tl.store(out + (head * queries + row[:, None]) * d + column, result.to(query.dtype), mask=here)


# Yours. q is (b, h, m, d), k and v are (b, k, n, d), and k divides h.
def kernel(q, k, v, scale, window):
    q, k, v = q.contiguous(), k.contiguous(), v.contiguous()
    batch, heads, queries, d = q.shape
    tokens, group, out = k.shape[2], heads // k.shape[1], torch.empty_like(q)
    sizes = {"D": max(16, triton.next_power_of_2(d)), "M": 64, "N": 128}
    grid = (triton.cdiv(queries, sizes["M"]), batch * heads)
    rows[grid](q, k, v, out, scale, min(window, tokens), queries, tokens, group, d, **sizes)
    return out


def attention(query, key, value, *, window, scale=None):
    return kernel(query, key, value, query.shape[-1] ** -0.5 if scale is None else scale, window)


target = trueband.Target(
    attention,
    dtypes=("float32",),  # more: float16, bfloat16
    features={  # take out what your kernel does not have; `trueband check` lists all others
        "causal_only",
        "scale",
        "gqa",  # fewer heads of keys than of queries
        "bottom_right",  # fewer queries than keys: the last ones
        "deterministic",  # the same call gives the same bits
    },
)
