"""The decoder of LED: BART's (arXiv 1910.13461), causal self-attention and full attention to the encoder.

Shapes: b batch, h heads, t tokens of a step, m tokens with those of the cache, n tokens of the encoder, D hidden size.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from trueband.optimized.layers.blocks import Attended
from trueband.optimized.layers.cache import DecoderCache, LayerCache, check_cache, layer_caches
from trueband.optimized.layers.calling import called_as_on_the_hub
from trueband.optimized.layers.inputs import check_binary_mask, check_encoder_states, check_head_masks, main_input
from trueband.optimized.layers.led_attention import LEDDecoderAttention
from trueband.optimized.layers.led_layers import LEDDecoderLayer, LEDDecoderMasks
from trueband.optimized.layers.led_outputs import LEDDecoderOutput
from trueband.optimized.layers.led_stack import LEDStack
from trueband.reference.config import LEDConfig


class Prepared(NamedTuple):
    """The decoder's own inputs, checked and embedded; everything but what the encoder says."""

    states: Tensor
    mask: Tensor | None
    head_masks: list[Tensor | None]
    cross_head_masks: list[Tensor | None]
    past: DecoderCache | None


class LEDDecoder(LEDStack):
    """`layers` in the state dict."""

    argument_prefix = "decoder_"

    def __init__(self, config: LEDConfig, embed_tokens: nn.Embedding | None = None) -> None:
        super().__init__(config, embed_tokens, config.max_decoder_position_embeddings, config.decoder_layerdrop)
        self.layers = nn.ModuleList(LEDDecoderLayer(config) for _ in range(config.decoder_layers))

    def prepare(
        self,
        input_ids: Tensor | None,
        attention_mask: Tensor | None,
        head_mask: Tensor | None,
        cross_attn_head_mask: Tensor | None,
        past_key_values: DecoderCache | None,
        inputs_embeds: Tensor | None,
    ) -> Prepared:
        """The embeddings (b, t, D), after all checks. The mask is (b, m)."""
        tokens = main_input(input_ids, inputs_embeds)
        layers, heads = self.config.decoder_layers, self.config.decoder_attention_heads
        rows = 0 if tokens is None else tokens.shape[0]
        cache = check_cache(past_key_values, layers, rows)
        past = 0 if cache is None else cache.length
        states = self.embed(input_ids, inputs_embeds, past)
        return Prepared(
            states,
            check_binary_mask("decoder_attention_mask", attention_mask, states, past),
            check_head_masks(head_mask, layers, heads, states.device, "decoder_head_mask"),
            check_head_masks(cross_attn_head_mask, layers, heads, states.device, "cross_attn_head_mask"),
            cache,
        )

    def cache_of_encoder(self, states: Tensor, copies: int) -> DecoderCache:
        """A cache of no token for `copies` rows of each text, with the keys and values of the encoder (b, n, D).

        These are projected, kept and read once for all copies.
        """
        layers = []
        for layer in self.layers:
            attention = layer.get_submodule("encoder_attn")
            assert isinstance(attention, LEDDecoderAttention)
            key, value = (attention.split(part(states)) for part in (attention.k_proj, attention.v_proj))
            nothing = key[:, :, :0].repeat_interleave(copies, dim=0)
            layers.append(LayerCache(nothing, nothing, key, value))
        return DecoderCache(tuple(layers))

    @called_as_on_the_hub()
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        *,
        encoder_hidden_states: Tensor | None = None,
        encoder_attention_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        cross_attn_head_mask: Tensor | None = None,
        past_key_values: DecoderCache | None = None,
        inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
    ) -> LEDDecoderOutput:
        """The decoder on one batch; arguments as in `LEDModel.forward`, without the prefix `decoder_`.

        encoder_hidden_states: (b, n, D); encoder_attention_mask: (b, n).
        """
        options = (head_mask, cross_attn_head_mask, past_key_values, inputs_embeds)
        prepared = self.prepare(input_ids, attention_mask, *options)
        output_attentions = self.config.output_attentions if output_attentions is None else output_attentions
        output_hidden_states = (
            self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        )
        outputs = (use_cache, output_attentions, output_hidden_states)
        return self.decode(prepared, encoder_hidden_states, encoder_attention_mask, *outputs)

    def decode(
        self,
        prepared: Prepared,
        encoder_hidden_states: Tensor | None,
        encoder_attention_mask: Tensor | None,
        use_cache: bool | None,
        output_attentions: bool,
        output_hidden_states: bool,
    ) -> LEDDecoderOutput:
        """Run all layers. No cache comes back under gradient checkpointing, nor where layers are dropped.

        A dropped layer hands its input on, with zeros for its attentions.
        """
        x, batch = prepared.states, prepared.states.shape[0]
        encoded = check_encoder_states("encoder_hidden_states", encoder_hidden_states, batch, self.embed_tokens.weight)
        encoder_mask = check_binary_mask("attention_mask", encoder_attention_mask, encoded)
        past = prepared.past
        states: list[Tensor] = [x]
        own: list[Attended] = []
        across: list[Attended] = []
        for i, layer in enumerate(self.layers):
            masks = LEDDecoderMasks(prepared.mask, encoder_mask, prepared.head_masks[i], prepared.cross_head_masks[i])
            if self.drops_layer():
                attended = [self.nothing(x, length) for length in (self.length(x, past), encoded.shape[1])]
            else:
                before = None if past is None else past.layers[i]
                x, *attended = self.run(layer, x, encoded, masks, before, output_attentions)
            states.append(x)
            own.append(attended[0])
            across.append(attended[1])
        use_cache = self.config.use_cache if use_cache is None else use_cache
        kept = use_cache and not self.recomputes and not (self.training and self.layerdrop > 0)
        return LEDDecoderOutput(
            last_hidden_state=x,
            past_key_values=DecoderCache(layer_caches(own, across)) if kept else None,
            hidden_states=tuple(states) if output_hidden_states else None,
            attentions=tuple(attention.attentions for attention in own) if output_attentions else None,
            cross_attentions=tuple(attention.attentions for attention in across) if output_attentions else None,
        )

    @staticmethod
    def length(x: Tensor, past: DecoderCache | None) -> int:
        return x.shape[1] + (0 if past is None else past.length)

    def nothing(self, x: Tensor, keys: int) -> Attended:
        """Attentions of a dropped layer: zeros of the shape that the layer would have returned."""
        return Attended(x, x.new_zeros(x.shape[0], self.config.decoder_attention_heads, x.shape[1], keys))
