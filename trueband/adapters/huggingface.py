"""`hf-longformer` and `hf-led`: the banded self-attention layers of transformers, run as the operator.

The layer projects hidden states itself. Here its hidden states are the numbers of the tokens and its six projections
look up the query, key or value of a token, so that nothing is rounded on the way in.

Added here, as the peer's models do it around the layer: padding to a multiple of the two-sided window with masked
tokens, and one float mask of both masks (below 0: masked, above 0: global). The layer takes no dilation, no causal
attention, no head mask (5.x has dropped it) and no scale; it cannot take window 0, and crashes for window 1. Its
softmax is float32 whatever the dtype, which is declared for float64; in the half dtypes its scores are rounded to them
before the softmax, where the contract asks for float32, and they are not declared.
"""

from __future__ import annotations

from typing import Any

from trueband.properties.candidate.target import Target
from trueband.properties.cases.limits import Sizes

DECLARED: Any = {
    "dtypes": ("float64", "float32"),
    "features": frozenset({"padding", "nan_padding", "globals", "separate_globals", "backward", "deterministic"}),
    "library": "torch",
    "accumulators": {"float64": "float32"},
    "sizes": {"window": Sizes(least=2)},
}


def longformer_attention(query: Any, key: Any, value: Any, *, window: int, **options: Any) -> Any:
    """transformers' LongformerSelfAttention."""
    from transformers.models.longformer.modeling_longformer import LongformerSelfAttention

    return _attention(LongformerSelfAttention, query, key, value, window, **options)


def led_attention(query: Any, key: Any, value: Any, *, window: int, **options: Any) -> Any:
    """transformers' LEDEncoderSelfAttention."""
    from transformers.models.led.modeling_led import LEDEncoderSelfAttention

    return _attention(LEDEncoderSelfAttention, query, key, value, window, **options)


def _attention(
    kind: Any,
    query: Any,
    key: Any,
    value: Any,
    window: int,
    attention_mask: Any = None,
    global_attention_mask: Any = None,
    query_global: Any = None,
    key_global: Any = None,
    value_global: Any = None,
) -> Any:
    """The layer of a kind on (b, h, n, d) tensors."""
    import torch
    from torch.nn.functional import pad

    batch, heads, tokens, head_dim = query.shape
    added = -tokens % (2 * window)
    layer = _layer(kind, heads, head_dim, window)
    projected = {
        "query": query,
        "key": key,
        "value": value,
        "query_global": query if query_global is None else query_global,
        "key_global": key if key_global is None else key_global,
        "value_global": value if value_global is None else value_global,
    }
    for name, tensor in projected.items():
        flat = pad(tensor, (0, 0, 0, added)).transpose(1, 2).flatten(2)  # (b, n, h * d)
        setattr(layer, name, _look_up(flat.flatten(0, 1)))

    everywhere = torch.ones(batch, tokens, dtype=torch.bool, device=query.device)
    real = pad(everywhere if attention_mask is None else attention_mask, (0, added))
    flagged = pad(~everywhere if global_attention_mask is None else global_attention_mask, (0, added)) & real
    mask = flagged.to(query.dtype).masked_fill(~real, torch.finfo(query.dtype).min)
    numbers = torch.arange(batch * (tokens + added), device=query.device).view(batch, -1, 1)
    output = layer(
        numbers.expand(-1, -1, heads * head_dim),
        attention_mask=mask,
        is_index_masked=mask < 0,
        is_index_global_attn=mask > 0,
        is_global_attn=bool(flagged.any()),
    )[0]
    return output.unflatten(2, (heads, head_dim)).transpose(1, 2)[:, :, :tokens]


def _layer(kind: Any, heads: int, head_dim: int, window: int) -> Any:
    """The layer in evaluation mode; its projections, which are replaced, have no memory."""
    import torch
    from transformers import LongformerConfig

    config = LongformerConfig(
        hidden_size=heads * head_dim, num_attention_heads=heads, num_hidden_layers=1, attention_window=[2 * window]
    )
    with torch.device("meta"):
        return kind(config, layer_id=0).eval()


def _look_up(table: Any) -> Any:
    """A projection: hidden states (..., h * d) that hold the number of a token -> the row of the table."""
    import torch

    class LookUp(torch.nn.Module):
        def forward(self, hidden: Any) -> Any:
            return table[hidden[..., 0]]

    return LookUp()


longformer = Target(longformer_attention, name="transformers LongformerSelfAttention", **DECLARED)
led = Target(led_attention, name="transformers LEDEncoderSelfAttention", **DECLARED)
