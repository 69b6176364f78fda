"""RoBERTa and XLM-RoBERTa in float64 (arXiv 1907.11692, 1911.02116): full attention, post-LN layers.

An encoder, or with `is_decoder` a decoder: causal, and with `add_cross_attention` attending an encoder's states.
Shapes: b batch, h heads, n tokens, D hidden size, L layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trueband.reference.arguments import Float
from trueband.reference.config import XLMRobertaConfig
from trueband.reference.embeddings import Ids, check_activation, check_head_mask, embed
from trueband.reference.full_attention import SelfAttention
from trueband.reference.heads import Labels, language_model
from trueband.reference.layers import State, attention_output, feed_forward, pooler
from trueband.reference.outputs import HeadOutput, ModelOutput
from trueband.reference.roberta_attention import roberta_cross_attention, roberta_self_attention

PREFIX = "roberta."  # of the keys of the model in a model with a head


class LayerOutput(NamedTuple):
    """Attributes:
    hidden_states: (b, n, D).
    attention: of the layer's self-attention.
    cross_attention: None without cross-attention.
    """

    hidden_states: Float
    attention: SelfAttention
    cross_attention: SelfAttention | None


def roberta_layer(
    state: State,
    name: str,
    config: XLMRobertaConfig,
    hidden_states: NDArray[Any],
    attention_mask: NDArray[Any] | None = None,
    head_mask: Float | None = None,
    encoder_hidden_states: NDArray[Any] | None = None,
    encoder_attention_mask: NDArray[Any] | None = None,
) -> Float:
    """One layer, so that a test can feed it another implementation's own layer input.

    Args:
        state: weights under the Hub's names.
        name: of the layer, e.g. "roberta.encoder.layer.0".
        hidden_states: (b, n, D), any floating dtype.
        attention_mask: (b, n), 1 for real tokens; None: all real.
        head_mask: (h,); None: ones.
        encoder_hidden_states, encoder_attention_mask: (b, m, D) and (b, m), of a decoder with cross-attention.

    Returns:
        (b, n, D) float64.
    """
    return roberta_layer_output(
        state, name, config, hidden_states, attention_mask, head_mask, encoder_hidden_states, encoder_attention_mask
    ).hidden_states


def roberta_layer_output(
    state: State,
    name: str,
    config: XLMRobertaConfig,
    hidden_states: NDArray[Any],
    attention_mask: NDArray[Any] | None = None,
    head_mask: Float | None = None,
    encoder_hidden_states: NDArray[Any] | None = None,
    encoder_attention_mask: NDArray[Any] | None = None,
) -> LayerOutput:
    """`roberta_layer` with its attentions."""
    check_activation(config)
    eps, kept = config.layer_norm_eps, kept_heads(config, name)
    self_mask = None if head_mask is None else head_mask[kept]
    attention = roberta_self_attention(state, name, config, hidden_states, attention_mask, self_mask)
    x = attention_output(state, f"{name}.attention", hidden_states.astype(np.float64), attention.context, eps)
    cross = None
    if encoder_hidden_states is not None:
        if not config.add_cross_attention:
            raise ValueError("encoder_hidden_states: expected None without add_cross_attention, got an array")
        cross = roberta_cross_attention(
            state, name, config, x, encoder_hidden_states, encoder_attention_mask, head_mask
        )
        x = attention_output(state, f"{name}.crossattention", x, cross.context, eps)
    return LayerOutput(feed_forward(state, name, x, eps), attention, cross)


def kept_heads(config: XLMRobertaConfig, name: str) -> list[int]:
    """Heads of the layer `name`, which ends in its number where heads have been pruned."""
    layer = name.rsplit(".", 1)[-1]
    return config.kept_heads(int(layer)) if config.pruned_heads else list(range(config.num_attention_heads))


def roberta_model(
    state: State,
    config: XLMRobertaConfig,
    input_ids: Ids | None = None,
    *,
    attention_mask: NDArray[Any] | None = None,
    token_type_ids: Ids | None = None,
    position_ids: Ids | None = None,
    head_mask: NDArray[Any] | None = None,
    inputs_embeds: NDArray[Any] | None = None,
    encoder_hidden_states: NDArray[Any] | None = None,
    encoder_attention_mask: NDArray[Any] | None = None,
    output_attentions: bool = False,
    add_pooling_layer: bool = True,
    prefix: str = "",
) -> ModelOutput:
    """The model without a head.

    Args:
        state: weights under the Hub's names, after `prefix` (e.g. "roberta.").
        input_ids, token_type_ids, position_ids: (b, n). Positions follow the ids that are not padding.
        attention_mask: (b, n), 0 and 1; None: all real.
        head_mask: (L, h), multiplies the probabilities of self- and cross-attention; heads numbered as before pruning.
        inputs_embeds: (b, n, D), in place of input_ids: every token gets a position.
        encoder_hidden_states, encoder_attention_mask: (b, m, D) and (b, m), of a decoder with cross-attention.
        output_attentions: whether to return the probabilities.
        add_pooling_layer: whether there is a pooler.

    Raises:
        ValueError, TypeError: "<argument>: expected ..., got ...", e.g. for more tokens than positions.
    """
    check_activation(config)
    head_masks = check_head_mask("head_mask", head_mask, config.num_hidden_layers, config.num_attention_heads)
    x = embed(
        state,
        config,
        input_ids,
        inputs_embeds=inputs_embeds,
        token_type_ids=token_type_ids,
        position_ids=position_ids,
        prefix=prefix,
    )
    hidden_states: list[Float] = [x]
    attentions: list[Float] = []
    cross_attentions: list[Float] = []
    for i in range(config.num_hidden_layers):
        layer = roberta_layer_output(
            state,
            f"{prefix}encoder.layer.{i}",
            config,
            hidden_states[-1],
            attention_mask,
            head_masks[i],
            encoder_hidden_states,
            encoder_attention_mask,
        )
        hidden_states.append(layer.hidden_states)
        if output_attentions:
            attentions.append(layer.attention.probabilities)
            cross_attentions += [] if layer.cross_attention is None else [layer.cross_attention.probabilities]
    last = hidden_states[-1]
    return ModelOutput(
        last_hidden_state=last,
        pooler_output=pooler(state, last, prefix) if add_pooling_layer else None,
        hidden_states=tuple(hidden_states),
        attentions=tuple(attentions) if output_attentions else None,
        cross_attentions=tuple(cross_attentions) or None,
    )


def roberta_encoder(
    state: State, config: XLMRobertaConfig, input_ids: Ids | None = None, *, prefix: str = "", **options: Any
) -> tuple[Float, ...]:
    """Hidden states after the embeddings and after each layer: L + 1 arrays (b, n, D). Options: of `roberta_model`."""
    return roberta_model(state, config, input_ids, add_pooling_layer=False, prefix=prefix, **options).hidden_states


def headless(
    state: State, config: XLMRobertaConfig, input_ids: Ids | None, options: Mapping[str, Any], pool: bool = False
) -> ModelOutput:
    """The model inside a model with a head: its keys stand under "roberta."."""
    return roberta_model(state, config, input_ids, add_pooling_layer=pool, prefix=PREFIX, **options)


def roberta_masked_lm(
    state: State, config: XLMRobertaConfig, input_ids: Ids | None = None, *, labels: Labels = None, **options: Any
) -> HeadOutput:
    """Logits (b, n, vocabulary). labels (b, n): ids, or -100 for tokens that do not count."""
    return language_model(state, config, headless(state, config, input_ids, options), labels, PREFIX)


def roberta_causal_lm(
    state: State, config: XLMRobertaConfig, input_ids: Ids | None = None, *, labels: Labels = None, **options: Any
) -> HeadOutput:
    """Logits (b, n, vocabulary) of the next token. labels (b, n): the ids themselves, shifted here.

    Causal where the configuration says `is_decoder`.
    """
    model = headless(state, config, input_ids, options)
    return language_model(state, config, model, labels, PREFIX, next_token=True)
