"""XLM-RoBERTa (arXiv 1911.02116), the same computation as RoBERTa: full attention, post-LN layers.

An encoder, or with `is_decoder` a decoder: causal, cached, and with `add_cross_attention` attending an encoder.
Module names are those of the Hub's state dicts. Shapes: b batch, h heads, n tokens of this call, m tokens with those of
the cache, D hidden size, L layers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trueband.optimized.layers.activations import activation
from trueband.optimized.layers.blocks import Attended, Encoder, Pooler, initialize
from trueband.optimized.layers.cache import DecoderCache, check_cache, layer_caches
from trueband.optimized.layers.calling import called_as_on_the_hub
from trueband.optimized.layers.embeddings import Embeddings
from trueband.optimized.layers.full_attention import CrossAttention, FullSelfAttention
from trueband.optimized.layers.inputs import (
    check_binary_mask,
    check_encoder_states,
    check_head_masks,
    main_input,
)
from trueband.optimized.layers.outputs import BaseModelOutputWithPoolingAndCrossAttentions
from trueband.optimized.layers.pruning import Pruned
from trueband.reference.config import XLMRobertaConfig


class XLMRobertaModel(Pruned):
    """The model without a head. `add_pooling_layer`: also tanh(dense(first token))."""

    def __init__(self, config: XLMRobertaConfig, add_pooling_layer: bool = True) -> None:
        super().__init__(config)
        activation("hidden_act", config.hidden_act)
        self.embeddings = Embeddings(config)
        self.encoder = Encoder(
            config,
            lambda layer: FullSelfAttention(config, layer),
            lambda: CrossAttention(config) if config.add_cross_attention else None,
        )
        self.pooler = Pooler(config) if add_pooling_layer else None
        initialize(self, config.initializer_range)

    @called_as_on_the_hub()
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        *,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        encoder_hidden_states: Tensor | None = None,
        encoder_attention_mask: Tensor | None = None,
        past_key_values: DecoderCache | None = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
    ) -> BaseModelOutputWithPoolingAndCrossAttentions:
        """The model on one batch.

        Args:
            input_ids, token_type_ids, position_ids: (b, n) int64 or int32.
            attention_mask: (b, m), 0 and 1 as bools, integers or floats; None: all real. Masked tokens are attended by
                nobody; they themselves attend the real tokens.
            head_mask: (layers, heads), multiplies the probabilities of self- and cross-attention; heads numbered as
                before pruning.
            inputs_embeds: (b, n, D), in place of input_ids.
            encoder_hidden_states, encoder_attention_mask: (b, tokens, D) and (b, tokens), for cross-attention.
            past_key_values: the cache of a decoder's last step; the tokens are then those that follow.
            use_cache: of a decoder, whether to return a cache; None: what the configuration says. There is none under
                gradient checkpointing.
            output_attentions, output_hidden_states: whether to return them; None: what the configuration says.

        Raises:
            ValueError, TypeError: "<argument>: expected ..., got ...", e.g. for more tokens than positions.
        """
        output_attentions = self.config.output_attentions if output_attentions is None else output_attentions
        output_hidden_states = (
            self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        )
        config, weight = self.config, self.embeddings.word_embeddings.weight
        tokens = main_input(input_ids, inputs_embeds)
        rows = 0 if tokens is None else tokens.shape[0]
        if past_key_values is not None and not config.is_decoder:
            raise ValueError("past_key_values: expected None where is_decoder is False, got a cache")
        cache = check_cache(past_key_values, config.num_hidden_layers, rows)
        past, counts = (0, None) if cache is None else (cache.length, cache.positions)
        embedded = self.embeddings(input_ids, token_type_ids, position_ids, inputs_embeds, past, counts)
        mask = check_binary_mask("attention_mask", attention_mask, embedded, past)
        head_masks = check_head_masks(head_mask, config.num_hidden_layers, config.num_attention_heads, embedded.device)
        encoded, encoder_mask = encoder_hidden_states, None
        if encoded is not None:
            if not config.add_cross_attention:
                raise ValueError("encoder_hidden_states: expected None without add_cross_attention, got a tensor")
            encoded = check_encoder_states("encoder_hidden_states", encoded, rows, weight)
            encoder_mask = check_binary_mask("encoder_attention_mask", encoder_attention_mask, encoded)

        def attend(module: nn.Module, hidden_states: Tensor, layer: int) -> Attended:
            own = self.own_heads(head_masks[layer], layer)
            before = None if cache is None else (cache.layers[layer].key, cache.layers[layer].value)
            attended: Attended = module(hidden_states, mask, own, output_attentions, before)
            return attended

        def attend_across(module: nn.Module, hidden_states: Tensor, layer: int) -> Attended:
            before = None if cache is None else (cache.layers[layer].cross_key, cache.layers[layer].cross_value)
            options = (encoder_mask, head_masks[layer], output_attentions, before)
            attended: Attended = module(hidden_states, encoded, *options)
            return attended

        states, own, across = self.encoder(embedded, attend, attend_across if encoded is not None else None)
        cached = config.is_decoder and (config.use_cache if use_cache is None else use_cache)
        new = None
        if cached and not self.encoder.recomputes:
            new = DecoderCache(layer_caches(own, across), self.counts(input_ids, embedded, counts))
        crossed = tuple(attention.attentions for attention in across if attention is not None)
        return BaseModelOutputWithPoolingAndCrossAttentions(
            last_hidden_state=states[-1],
            pooler_output=None if self.pooler is None else self.pooler(states[-1]),
            past_key_values=new,
            hidden_states=tuple(states) if output_hidden_states else None,
            attentions=tuple(attention.attentions for attention in own) if output_attentions else None,
            cross_attentions=crossed if output_attentions and encoded is not None else None,
        )

    def own_heads(self, head_mask: Tensor | None, layer: int) -> Tensor | None:
        """(h,) -> one weight for each head that has not been pruned."""
        if head_mask is None or not self.config.pruned_heads.get(layer):
            return head_mask
        return head_mask[self.config.kept_heads(layer)]

    def counts(self, input_ids: Tensor | None, embedded: Tensor, before: Tensor | None) -> Tensor:
        """(b,): tokens read so far that are not padding; from `inputs_embeds` all of them."""
        if input_ids is None:
            read = torch.full((embedded.shape[0],), embedded.shape[1], device=embedded.device)
        else:
            read = (input_ids != self.config.pad_token_id).sum(dim=1)
        return read if before is None else before + read
