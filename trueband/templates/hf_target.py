"""A target: an attention function of transformers.

Put yours in the place of `kernel`, look at `target`, and

    trueband check THIS_FILE.py:target --cases 60

Windows: transformers' sliding_window counts the token itself, trueband's window does not: sliding_window = window + 1.
ModernBERT's to both sides does not count it either. attention_mask is (b, 1, m, n), True where a row attends a key, as
`sdpa` functions get it; an eager function gets 0.0 and the smallest number in its place.
"""

from types import SimpleNamespace

import torch

import trueband


# Yours. query is (b, h, m, d), key and value are (b, k, n, d); the first result is (b, m, h, d).
def kernel(module, query, key, value, attention_mask, scaling, sliding_window=None, softcap=None, s_aux=None, **kwargs):
    key, value = (x.repeat_interleave(module.num_key_value_groups, 1) for x in (key, value))
    scores = query @ key.mT * scaling
    scores = scores if softcap is None else softcap * torch.tanh(scores / softcap)
    scores = scores.masked_fill(~attention_mask, torch.finfo(scores.dtype).min)
    sinks = torch.finfo(scores.dtype).min if s_aux is None else s_aux[:, None, None]
    scores = torch.cat([scores, sinks + torch.zeros_like(scores[..., :1])], -1)
    return (scores.softmax(-1)[..., :-1] @ value).transpose(1, 2), None


def attention(query, key, value, *, window, attention_mask=None, scale=None, softcap=None, sinks=None):
    tokens, queries = key.shape[2], query.shape[2]
    behind = torch.arange(tokens - queries, tokens)[:, None] - torch.arange(tokens)  # from a row back to a key
    seen = ((behind >= 0) & (behind <= window))[None, None]
    real = torch.ones(len(query), tokens, dtype=torch.bool) if attention_mask is None else attention_mask
    output, _ = kernel(
        SimpleNamespace(num_key_value_groups=query.shape[1] // key.shape[1], is_causal=True, training=False),
        query,
        key,
        value,
        seen & real[:, None, None, :],
        scaling=query.shape[-1] ** -0.5 if scale is None else scale,
        sliding_window=window + 1,
        softcap=softcap,
        s_aux=sinks,
    )
    rows = real[:, -queries:, None, None]
    return output.masked_fill(~rows, 0).transpose(1, 2)  # models compute anything for rows of padding


target = trueband.Target(
    attention,
    dtypes=("float32",),  # bfloat16 with stored_scores="bfloat16", where it stores its scores in it
    features={  # take out what your function does not have; `trueband check` lists all others
        "causal_only",
        "padding",
        "scale",
        "softcap",
        "sinks",
        "sinks_gradient",
        "gqa",  # fewer heads of keys than of queries
        "bottom_right",  # fewer queries than keys: the last ones, as with a cache
        "backward",  # gradients
        "deterministic",  # the same call gives the same bits
        "deterministic_gradients",
    },
)
