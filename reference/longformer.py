"""The Longformer encoder in float64 (arXiv 2004.05150): RoBERTa's with `band_attention`, one window for each layer.

Rows of global tokens use projections of their own (`query_global`, ...). A masked row gets 0 from its attention.
Shapes: b batch, h heads, n tokens, d head dim, D hidden size, L layers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trueband.reference.arguments import Float
from trueband.reference.attention import band_attention
from trueband.reference.config import LongformerConfig
from trueband.reference.embeddings import (
    Ids,
    check_activation,
    check_head_mask,
    check_hidden_states,
    check_mask,
    embed,
)
from trueband.reference.layers import State, after_attention, linear, lm_head, merge_heads, split_heads
from trueband.reference.roberta import MaskedLM, SelfAttention

PROJECTIONS = ("query", "key", "value", "query_global", "key_global", "value_global")


def longformer_self_attention(
    state: State,
    name: str,
    config: LongformerConfig,
    hidden_states: NDArray[Any],
    *,
    window: int,
    attention_mask: NDArray[Any] | None = None,
    global_attention_mask: NDArray[Any] | None = None,
    head_mask: Float | None = None,
) -> SelfAttention:
    """Banded attention of the layer `name`, with its ONE-SIDED window. hidden_states (b, n, D), head_mask (h,)."""
    x = check_hidden_states("hidden_states", hidden_states, config.hidden_size)
    real = check_mask("attention_mask", attention_mask, x.shape[:2], default=True)
    is_global = check_mask("global_attention_mask", global_attention_mask, x.shape[:2], default=False)
    projected: dict[str, Any] = {
        part: split_heads(linear(state, f"{name}.attention.self.{part}", x), config.num_attention_heads)
        for part in PROJECTIONS
    }
    attention = band_attention(
        **projected, window=window, attention_mask=real, global_attention_mask=is_global, head_mask=head_mask
    )
    return SelfAttention(merge_heads(attention.output), attention.probabilities)


def longformer_layer(
    state: State,
    name: str,
    config: LongformerConfig,
    hidden_states: NDArray[Any],
    *,
    window: int,
    attention_mask: NDArray[Any] | None = None,
    global_attention_mask: NDArray[Any] | None = None,
    head_mask: Float | None = None,
) -> Float:
    """One encoder layer, so that a test can feed it another implementation's own layer input.

    Args:
        state: weights under the Hub's names.
        name: of the layer, e.g. "longformer.encoder.layer.0".
        hidden_states: (b, n, D), any floating dtype.
        window: one-sided; `config.window(i)` of layer i.
        attention_mask, global_attention_mask: (b, n), 0 and 1; None: all real, none global.
        head_mask: (h,); None: ones.

    Returns:
        (b, n, D) float64.
    """
    check_activation(config)
    context = longformer_self_attention(
        state, name, config, hidden_states, window=window, attention_mask=attention_mask,
        global_attention_mask=global_attention_mask, head_mask=head_mask,
    ).context  # fmt: skip
    return after_attention(state, name, hidden_states.astype(np.float64), context, config.layer_norm_eps)


def longformer_encoder(
    state: State,
    config: LongformerConfig,
    input_ids: Ids | None = None,
    *,
    attention_mask: NDArray[Any] | None = None,
    global_attention_mask: NDArray[Any] | None = None,
    token_type_ids: Ids | None = None,
    position_ids: Ids | None = None,
    inputs_embeds: NDArray[Any] | None = None,
    head_mask: Float | None = None,
    prefix: str = "",
) -> tuple[Float, ...]:
    """Hidden states after the embeddings and after each layer: L + 1 arrays (b, n, D). head_mask (L, h).

    Raises:
        ValueError, TypeError: "<argument>: expected ..., got ...".
    """
    check_activation(config)
    head_masks = check_head_mask(head_mask, config)
    x = embed(
        state, config, input_ids, inputs_embeds=inputs_embeds, token_type_ids=token_type_ids,
        position_ids=position_ids, prefix=prefix,
    )  # fmt: skip
    hidden_states = [x]
    for i in range(config.num_hidden_layers):
        x = longformer_layer(
            state, f"{prefix}encoder.layer.{i}", config, x, window=config.window(i), attention_mask=attention_mask,
            global_attention_mask=global_attention_mask, head_mask=head_masks[i],
        )  # fmt: skip
        hidden_states.append(x)
    return tuple(hidden_states)


def longformer_masked_lm(
    state: State, config: LongformerConfig, input_ids: Ids | None = None, **options: Any
) -> MaskedLM:
    """The encoder and its language-model head; keys of the encoder under "longformer.".

    Options: of `longformer_encoder`.
    """
    hidden_states = longformer_encoder(state, config, input_ids, prefix="longformer.", **options)
    return MaskedLM(hidden_states, lm_head(state, hidden_states[-1], config.layer_norm_eps, prefix="longformer."))
