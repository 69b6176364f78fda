"""A correct kernel written differently: one dense mask for all rows, the softmax by way of the log-sum-exp.

For campaigns: `trueband check tools/dense_softmax.py:kernel --tier nightly`. It shares no code with the package.
Torch, differentiable; half precision is computed in float32.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from trueband.properties.candidate.target import Target


def attention(  # type: ignore[no-untyped-def]
    query,
    key,
    value,
    *,
    window,
    attention_mask=None,
    global_attention_mask=None,
    query_global=None,
    key_global=None,
    value_global=None,
    dilation=1,
    causal=False,
    scale=None,
    head_mask=None,
    product=torch.matmul,
    log_sum=torch.logsumexp,
):
    """(b, h, n, d): the contract's operator. `product` (of matrices) and `log_sum` are for `machine_like.py`."""
    batch, heads, tokens, size = query.shape
    wide = torch.promote_types(query.dtype, torch.float32)
    real = torch.ones(batch, tokens, dtype=torch.bool) if attention_mask is None else attention_mask
    special = torch.zeros_like(real) if global_attention_mask is None else global_attention_mask & real

    def prepared(local, separate):  # type: ignore[no-untyped-def]
        """What each row's kind reads: (kinds, b, h, n, d), wide, masked tokens at 0."""
        kinds = torch.stack([local, local if separate is None else separate]).to(wide)
        return kinds.masked_fill(~real[:, None, :, None], 0)

    queries, keys, values = (
        prepared(local, separate)
        for local, separate in ((query, query_global), (key, key_global), (value, value_global))
    )
    offset = torch.arange(tokens)[None, :, None] - torch.arange(tokens)[None, None, :]  # back from row to key
    step = torch.as_tensor(dilation).expand(heads)[:, None, None]
    quotient = torch.div(offset, step, rounding_mode="floor")
    band = (quotient * step == offset) & (quotient <= window) & (quotient >= (0 if causal else -window))

    exists = real[:, None, None, :]
    near = (band[None] | special[:, None, None, :]) & exists & (real & ~special)[:, None, :, None]
    far = (exists & special[:, None, :, None]).expand_as(near)
    visible = torch.stack([near, far])

    scores = product(queries * (size**-0.5 if scale is None else scale), keys.mT)
    scores = scores.masked_fill(~visible, -torch.inf)
    log_total = log_sum(scores, dim=-1, keepdim=True)
    empty = ~visible.any(dim=-1, keepdim=True)
    weights = torch.exp(scores - log_total.masked_fill(empty, 0))
    output = product(weights, values).sum(dim=0)
    if head_mask is not None:
        output = output * head_mask.to(wide)[:, None, None]
    return output.to(query.dtype)


kernel = Target(
    attention,
    dtypes=("float64", "float32", "bfloat16", "float16"),
    features=frozenset(
        (
            "padding",
            "nan_padding",
            "globals",
            "separate_globals",
            "causal",
            "dilation",
            "dilation_per_head",
            "head_mask",
            "scale",
            "backward",
            "head_mask_gradient",
            "deterministic",
            "deterministic_gradients",
        )
    ),
    library="torch",
    name="dense softmax",
)

# The same where nobody knows in which order a product is summed.
undeclared = replace(
    kernel,
    features=kernel.features - {"deterministic", "deterministic_gradients"},  # type: ignore[operator]
    name="dense softmax, not deterministic",
)
