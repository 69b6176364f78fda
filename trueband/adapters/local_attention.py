"""`local-attention`: lucidrains' LocalAttention, whose nearest pattern is the contract's band.

Its pattern is blocks of `window_size` tokens that look one block back and one forward; `exact_windowsize` then masks
what is farther than `window_size`, which is |i - j| <= window. A band of window 0 is blocks of one token that look
nowhere. Rotary positions are off. It has no global tokens, dilation or head mask, and gives masked tokens a row. Its
scores are rounded to the dtype of the input before the softmax, where the contract asks for float32: the half dtypes
are not declared.

Added here: a mask of ones where none is given, since `autopad` alone lets rows attend the tokens that it adds; rows of
masked tokens set to 0.
"""

from __future__ import annotations

from typing import Any

from trueband.properties.candidate.target import Target


def attention(
    query: Any,
    key: Any,
    value: Any,
    *,
    window: int,
    attention_mask: Any = None,
    causal: bool = False,
    scale: float | None = None,
) -> Any:
    """The contract's operator, (b, h, n, d) tensors in and out."""
    import torch
    from local_attention import LocalAttention

    batch, _, tokens, _ = query.shape
    everywhere = torch.ones(batch, tokens, dtype=torch.bool, device=query.device)
    real = everywhere if attention_mask is None else attention_mask
    layer = LocalAttention(
        max(window, 1),
        causal=causal,
        look_backward=min(window, 1),
        look_forward=0 if causal else min(window, 1),
        autopad=True,
        exact_windowsize=True,
        scale=scale,
        use_rotary_pos_emb=False,
    )
    output = layer(query, key, value, mask=real)
    return output.masked_fill(~real[:, None, :, None], 0)


target = Target(
    attention,
    dtypes=("float64", "float32"),
    features=frozenset(
        {"padding", "nan_padding", "causal", "scale", "backward", "deterministic", "deterministic_gradients"}
    ),
    library="torch",
    name="local-attention LocalAttention",
)
