"""A target: a kernel of packed sequences.

Put yours in the place of `kernel`, look at `target`, and

    trueband check THIS_FILE.py:target --cases 60

The rows of a batch are packed here, without their padding, and what comes out is unpacked.

Windows: trueband's (left, right) says how many keys a row sees to each side, itself not counted; None is no limit.
FlashAttention's window_size counts alike, with -1 for no limit. A sliding_window=W that counts the token itself is
left = W - 1.
"""

import torch

import trueband


# Yours, as `flash_attn.flash_attn_varlen_func`. q is (total, h, d); k and v are (total, k, d), and k divides h.
# Sequence i is the tokens from cu_seqlens[i] on, before cu_seqlens[i + 1]; some are empty.
def kernel(q, k, v, cu_seqlens, max_seqlen, softmax_scale=None, causal=False, window_size=(-1, -1)):
    group, total = q.shape[1] // k.shape[1], len(q)
    q, k, v = q.transpose(0, 1), *(x.transpose(0, 1).repeat_interleave(group, 0) for x in (k, v))
    sequence = torch.searchsorted(cu_seqlens, torch.arange(total), right=True)
    ahead = torch.arange(total) - torch.arange(total)[:, None]
    left, right = window_size[0], 0 if causal else window_size[1]
    seen = (sequence == sequence[:, None]) & (ahead >= (-left if left >= 0 else -total))
    seen = seen & (ahead <= (right if right >= 0 else total))
    scores = q @ k.mT * (q.shape[-1] ** -0.5 if softmax_scale is None else softmax_scale)
    return (scores.masked_fill(~seen, -torch.inf).softmax(-1) @ v).transpose(0, 1)


def attention(query, key, value, *, window, attention_mask=None, causal=False, scale=None):
    real = torch.ones(query.shape[:2], dtype=torch.bool) if attention_mask is None else attention_mask
    if (~real[:, :-1] & real[:, 1:]).any():
        raise ValueError("attention_mask: expected padding on the right only")
    sides = window if isinstance(window, tuple) else (window, window)
    lengths = real.sum(1)
    output = kernel(
        *(x[real] for x in (query, key, value)),
        torch.cat([lengths.new_zeros(1), lengths.cumsum(0)]).to(torch.int32),
        int(lengths.max()),
        softmax_scale=scale,
        causal=causal,
        window_size=tuple(-1 if side is None else side for side in sides),
    )
    return torch.zeros_like(query).index_put((real,), output)


target = trueband.Target(
    attention,
    dtypes=("float32",),  # more: float64, bfloat16, float16
    features={  # take out what your kernel does not have; `trueband check` lists all others
        "padding",
        "causal",
        "scale",
        "gqa",  # fewer heads of keys than of queries
        "asymmetric",  # windows of two limits
        "unlimited_side",  # windows without a limit on a side
        "backward",  # gradients
        "deterministic",  # the same call gives the same bits
        "deterministic_gradients",
    },
    layout="bnhd",
    padding="right",  # what is packed has no holes
)
