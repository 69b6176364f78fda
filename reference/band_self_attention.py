"""Banded self-attention with global tokens, as Longformer and the encoder of LED have it (arXiv 2004.05150).

Rows of global tokens use projections of their own (`query_global`, ...). A masked row gets 0.
Shapes: b batch, h heads, n tokens, D hidden size, x largest number of global tokens in a row of the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import NDArray

from trueband.reference.arguments import Float
from trueband.reference.attention import band_attention
from trueband.reference.embeddings import check_hidden_states, check_mask
from trueband.reference.full_attention import SelfAttention
from trueband.reference.layers import State, linear, merge_heads, split_heads
from trueband.reference.layout import dense_to_compact
from trueband.reference.masks import global_tokens
from trueband.reference.outputs import EncoderOutput

PROJECTIONS = ("query", "key", "value", "query_global", "key_global", "value_global")


def band_self_attention(
    state: State,
    name: str,
    heads: int,
    hidden_size: int,
    hidden_states: NDArray[Any],
    *,
    window: int,
    attention_mask: NDArray[Any] | None = None,
    global_attention_mask: NDArray[Any] | None = None,
    head_mask: Float | None = None,
) -> SelfAttention:
    """Context (b, n, D) and dense probabilities (b, h, n, n).

    Args:
        name: of the six projections, e.g. "encoder.layer.0.attention.self".
        hidden_states: (b, n, D).
        window: one-sided.
        attention_mask, global_attention_mask: (b, n), 0 and 1; None: all real, none global.
        head_mask: (h,); None: ones.
    """
    x = check_hidden_states("hidden_states", hidden_states, hidden_size)
    real = check_mask("attention_mask", attention_mask, x.shape[:2], default=True)
    is_global = check_mask("global_attention_mask", global_attention_mask, x.shape[:2], default=False)
    projected: dict[str, Any] = {part: split_heads(linear(state, f"{name}.{part}", x), heads) for part in PROJECTIONS}
    attention = band_attention(
        **projected, window=window, attention_mask=real, global_attention_mask=is_global, head_mask=head_mask
    )
    return SelfAttention(merge_heads(attention.output), attention.probabilities)


def band_layers(
    layer: Callable[..., tuple[Float, SelfAttention]],
    x: Float,
    windows: Sequence[int],
    attention_mask: NDArray[Any] | None,
    global_attention_mask: NDArray[Any] | None,
    head_masks: Float,
    output_attentions: bool,
) -> EncoderOutput:
    """One layer after another on the embeddings x (b, n, D); attentions, when asked for, in the Hub's layout.

    Args:
        layer: `layer(i, x, window=..., attention_mask=..., global_attention_mask=..., head_mask=...)`: layer i.
        windows: one-sided, one for each layer.
        attention_mask, global_attention_mask: (b, n), 0 and 1; None: all real, none global.
        head_masks: (L, h).
    """
    real = check_mask("attention_mask", attention_mask, x.shape[:2], default=True)
    flagged = check_mask("global_attention_mask", global_attention_mask, x.shape[:2], default=False)
    hidden_states, probabilities = [x], []
    for i, window in enumerate(windows):
        x, attention = layer(
            i, x, window=window, attention_mask=real, global_attention_mask=flagged, head_mask=head_masks[i]
        )
        hidden_states.append(x)
        probabilities += [attention.probabilities] if output_attentions else []
    if not output_attentions:
        return EncoderOutput(x, tuple(hidden_states))
    is_global = global_tokens(flagged, real)
    compact = [
        dense_to_compact(dense, is_global, window, (1,) * dense.shape[1])
        for dense, window in zip(probabilities, windows, strict=True)
    ]
    global_attentions = tuple(each.global_ for each in compact) if is_global.any() else None
    return EncoderOutput(x, tuple(hidden_states), tuple(each.local for each in compact), global_attentions)
