"""A target: the GroupQueryAttention of a model for ONNX Runtime.

Put yours in the place of `kernel`, look at `target`, and

    trueband check THIS_FILE.py:target --cases 60

Windows: local_window_size counts the token itself, trueband's window does not: local_window_size = window + 1.
`trueband check onnxruntime-gqa` checks ONNX Runtime's own, on the CPU; its adapter makes the model for each call.
"""

import numpy as np

import trueband


# Yours: `onnxruntime.InferenceSession(...).run(None, {...})[0]` of a model with these attributes. query is
# (b, n, h * d), key and value are (b, n, k * d), seqlens_k is (b,): the last real token of each row.
def kernel(query, key, value, seqlens_k, *, num_heads, kv_num_heads, local_window_size, scale, softcap):
    head_dim = query.shape[2] // num_heads
    if head_dim % 8:
        raise ValueError(f"head_dim: expected a multiple of 8, got {head_dim}")
    split = lambda x, heads: x.reshape(*x.shape[:2], heads, head_dim).swapaxes(1, 2)  # noqa: E731
    q, k, v = split(query, num_heads), split(key, kv_num_heads), split(value, kv_num_heads)
    k, v = (x.repeat(num_heads // kv_num_heads, axis=1) for x in (k, v))
    place = np.arange(query.shape[1])
    behind = place[:, None] - place
    seen = (behind >= 0) & (behind < local_window_size) & (place <= seqlens_k[:, None, None, None])
    scores = q @ k.swapaxes(-1, -2) * np.asarray(scale, q.dtype)
    scores = softcap * np.tanh(scores / softcap) if softcap else scores
    scores = np.where(seen, scores, np.finfo(scores.dtype).min)
    weights = np.exp(scores - scores.max(-1, keepdims=True)) * seen
    output = weights / np.maximum(weights.sum(-1, keepdims=True), np.finfo(weights.dtype).tiny) @ v
    return output.swapaxes(1, 2).reshape(query.shape).astype(query.dtype)


def attention(query, key, value, *, window, attention_mask=None, scale=None, softcap=None):
    batch, tokens, heads, head_dim = query.shape
    real = np.ones((batch, tokens), bool) if attention_mask is None else attention_mask
    if (~real[:, :-1] & real[:, 1:]).any():
        raise ValueError("attention_mask: expected padding on the right only")
    output = kernel(
        *(x.reshape(batch, tokens, -1) for x in (query, key, value)),
        (real.sum(1) - 1).astype(np.int32),
        num_heads=heads,
        kv_num_heads=key.shape[2],
        local_window_size=window + 1,
        scale=head_dim**-0.5 if scale is None else scale,
        softcap=softcap or 0.0,
    ).reshape(query.shape)
    return output * real[:, :, None, None]  # rows of padding


target = trueband.Target(
    attention,
    dtypes=("float32",),
    features={"causal_only", "padding", "scale", "softcap", "gqa", "deterministic"},
    library="numpy",
    layout="bnhd",
    sizes={"head_dim": trueband.Sizes(multiple=8)},
    padding="right",
)
