"""A correct kernel written differently: keys one block after the other, with a running maximum and sum.

For campaigns: `trueband check tools/online_softmax.py:kernel --tier nightly`. It shares no code with the package.
Torch, differentiable; half precision is computed in float32.
"""

from __future__ import annotations

import torch

from trueband.properties.candidate.target import Target

KEYS = 7  # of a block: no divisor of the usual lengths


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
):
    """(b, h, n, d): the contract's operator."""
    batch, heads, tokens, size = query.shape
    wide = torch.float64 if query.dtype == torch.float64 else torch.float32
    everything = torch.ones(batch, tokens, dtype=torch.bool, device=query.device)
    real = everything if attention_mask is None else attention_mask.to(torch.bool)
    flagged = (~everything if global_attention_mask is None else global_attention_mask.to(torch.bool)) & real
    scale = size**-0.5 if scale is None else scale
    steps = torch.tensor([dilation] * heads if isinstance(dilation, int) else list(dilation), device=query.device)

    def clean(tensor):  # type: ignore[no-untyped-def]
        """Wide, with zeros where a token is masked, whatever stood there."""
        return torch.where(real[:, None, :, None], tensor.to(wide), torch.zeros((), dtype=wide, device=query.device))

    far = [
        own if other is None else other
        for own, other in ((query, query_global), (key, key_global), (value, value_global))
    ]
    position = torch.arange(tokens, device=query.device)

    def near_keys(first, last):  # type: ignore[no-untyped-def]
        """(b, h, n, block): the keys of local rows."""
        ahead = position[first:last][None, :] - position[:, None]
        reach = ahead.abs()[None] <= window * steps[:, None, None]
        band = reach & (ahead[None] % steps[:, None, None] == 0)
        if causal:
            band = band & (ahead <= 0)[None]
        seen = band[None] | flagged[:, None, None, first:last]
        return seen & real[:, None, None, first:last]

    def far_keys(first, last):  # type: ignore[no-untyped-def]
        """(b, h, n, block): the keys of global rows."""
        return real[:, None, None, first:last].expand(batch, heads, tokens, last - first)

    near_rows = _rows(clean(query), clean(key), clean(value), near_keys, scale)
    if flagged.any():
        asking, asked, given = (clean(tensor) for tensor in far)
        far_rows = _rows(asking, asked, given, far_keys, scale)
        output = torch.where(flagged[:, None, :, None], far_rows, near_rows)
    else:
        output = near_rows
    output = torch.where(real[:, None, :, None], output, torch.zeros_like(output))
    if head_mask is not None:
        output = output * head_mask.to(wide)[:, None, None]
    return output.to(query.dtype)


def _rows(query, key, value, keys_of, scale):  # type: ignore[no-untyped-def]
    """Softmax attention of all rows over the keys that `keys_of(first, last)` lets each see; 0 where it sees none."""
    batch, heads, tokens, size = query.shape
    top = query.new_full((batch, heads, tokens, 1), float("-inf"))
    total = query.new_zeros((batch, heads, tokens, 1))
    summed = query.new_zeros((batch, heads, tokens, size))
    for first in range(0, tokens, KEYS):
        last = min(first + KEYS, tokens)
        seen = keys_of(first, last)
        scores = query @ key[:, :, first:last].transpose(-1, -2) * scale
        scores = scores.masked_fill(~seen, float("-inf"))
        # The maximum only shifts the exponents: its gradient is 0.
        higher = torch.maximum(top, scores.detach().amax(-1, keepdim=True))
        shift = torch.where(higher.isinf(), torch.zeros_like(higher), higher)
        weights = torch.exp(scores - shift)
        kept = torch.exp(top - shift)
        total = total * kept + weights.sum(-1, keepdim=True)
        summed = summed * kept + weights @ value[:, :, first:last]
        top = higher
    return summed / torch.where(total == 0, torch.ones_like(total), total)


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
    name="online softmax",
)
