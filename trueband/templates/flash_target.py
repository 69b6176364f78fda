"""A target: a kernel that is called like FlashAttention.

Put yours in the place of `kernel`, look at `target`, and

    trueband check THIS_FILE.py:target --cases 60

Windows: trueband's (left, right) says how many keys a row sees to each side, itself not counted; None is no limit.
FlashAttention's window_size counts alike, with -1 for no limit. A sliding_window=W that counts the token itself, as in
models, is left = W - 1.
"""

import torch

import trueband


# Yours: for instance `from flash_attn import flash_attn_func as kernel`. q is (b, m, h, d); k and v are (b, n, k, d),
# and k divides h. The last query stands at the last key.
def kernel(q, k, v, softmax_scale=None, causal=False, window_size=(-1, -1), softcap=0.0):
    tokens, queries, group = k.shape[1], q.shape[1], q.shape[2] // k.shape[2]
    q, k, v = q.transpose(1, 2), *(x.transpose(1, 2).repeat_interleave(group, 1) for x in (k, v))
    left, right = window_size[0], 0 if causal else window_size[1]
    ahead = torch.arange(tokens) - torch.arange(tokens - queries, tokens)[:, None]
    seen = (ahead >= -left if left >= 0 else True) & ((ahead <= right) if right >= 0 else ahead == ahead)
    scores = q @ k.mT * (q.shape[-1] ** -0.5 if softmax_scale is None else softmax_scale)
    scores = softcap * torch.tanh(scores / softcap) if softcap else scores
    return (scores.masked_fill(~seen, -torch.inf).softmax(-1) @ v).transpose(1, 2)


def attention(query, key, value, *, window, causal=False, scale=None, softcap=None):
    sides = window if isinstance(window, tuple) else (window, window)
    return kernel(
        query,
        key,
        value,
        softmax_scale=scale,
        causal=causal,
        window_size=tuple(-1 if side is None else side for side in sides),
        softcap=softcap or 0.0,
    )


target = trueband.Target(
    attention,
    dtypes=("float32",),  # more: float64, bfloat16, float16
    features={  # take out what your kernel does not have; `trueband check` lists all others
        "causal",
        "scale",
        "softcap",
        "gqa",  # fewer heads of keys than of queries
        "asymmetric",  # windows of two limits
        "unlimited_side",  # windows without a limit on a side
        "bottom_right",  # fewer queries than keys: the last ones
        "backward",  # gradients
        "deterministic",  # the same call gives the same bits
        "deterministic_gradients",
    },
    layout="bnhd",
    # sizes={"head_dim": trueband.Sizes(only=(64, 128))},  # the kernel must raise for others
)
