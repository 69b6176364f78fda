"""LED (arXiv 2004.05150, section 7): a Longformer encoder and a BART decoder.

Module names are those of the Hub's state dicts. Shapes: b batch, n tokens of the encoder, t of the decoder in this
call, m with those of the cache, D hidden size.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trueband.optimized.layers.base import Model
from trueband.optimized.layers.blocks import initialize
from trueband.optimized.layers.cache import DecoderCache
from trueband.optimized.layers.calling import called_as_on_the_hub
from trueband.optimized.layers.inputs import check_ids
from trueband.optimized.layers.led_outputs import LEDEncoderBaseModelOutput, LEDSeq2SeqModelOutput, as_encoder_output
from trueband.optimized.layers.losses import IGNORED
from trueband.optimized.models.led_decoder import LEDDecoder
from trueband.optimized.models.led_encoder import LEDEncoder
from trueband.reference.config import LEDConfig


class LEDModel(Model):
    """Encoder and decoder. `shared`, the word embeddings, are those of both unless the configuration unties them."""

    def __init__(self, config: LEDConfig) -> None:
        super().__init__(config)
        self.shared = nn.Embedding(config.vocab_size, config.d_model, config.pad_token_id)
        tied = self.shared if config.tie_word_embeddings else None
        self.encoder, self.decoder = LEDEncoder(config, tied), LEDDecoder(config, tied)
        initialize(self, config.init_std)

    @called_as_on_the_hub()
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        decoder_attention_mask: Tensor | None = None,
        *,
        head_mask: Tensor | None = None,
        decoder_head_mask: Tensor | None = None,
        cross_attn_head_mask: Tensor | None = None,
        encoder_outputs: LEDEncoderBaseModelOutput | tuple[Tensor, ...] | None = None,
        global_attention_mask: Tensor | None = None,
        past_key_values: DecoderCache | None = None,
        inputs_embeds: Tensor | None = None,
        decoder_inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
    ) -> LEDSeq2SeqModelOutput:
        """Encoder and decoder on one batch.

        Args:
            input_ids: (b, n) int64 or int32.
            attention_mask, global_attention_mask: (b, n), 0 and 1 as bools, integers or floats; None: all real, none
                global. A global flag on a masked token is dropped.
            decoder_input_ids: (b, t); None, and no decoder_inputs_embeds: input_ids, shifted to the right.
            decoder_attention_mask: (b, m), 0 and 1, tokens of the cache included; None: all real.
            head_mask: (layers, heads) of the encoder; decoder_head_mask and cross_attn_head_mask of the decoder.
            encoder_outputs: computed before: the encoder does not run. A tuple holds the fields in their order.
            past_key_values: the cache of the step before. decoder_input_ids are then the tokens that follow.
            inputs_embeds, decoder_inputs_embeds: (b, n, D), (b, t, D), in place of the ids.
            use_cache: whether to return a cache; None: what the configuration says.
            output_attentions, output_hidden_states: whether to return them; None: what the configuration says.

        Raises:
            ValueError, TypeError: "<argument>: expected ..., got ...", e.g. for more tokens than positions.
        """
        output_attentions = self.config.output_attentions if output_attentions is None else output_attentions
        output_hidden_states = (
            self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        )
        if decoder_input_ids is None and decoder_inputs_embeds is None:
            if input_ids is None:
                expected = "ids or decoder_inputs_embeds without input_ids"
                raise ValueError(f"decoder_input_ids: expected {expected}, got neither")
            ids = check_ids("input_ids", input_ids, None, self.config.vocab_size, self.shared.weight.device)
            decoder_input_ids = shift_right(ids, self.config.pad_token_id, self.config.decoder_start_token_id)
        prepared = self.decoder.prepare(
            decoder_input_ids,
            decoder_attention_mask,
            decoder_head_mask,
            cross_attn_head_mask,
            past_key_values,
            decoder_inputs_embeds,
        )
        if encoder_outputs is None:
            encoder_outputs = self.encoder(
                input_ids,
                attention_mask,
                global_attention_mask,
                head_mask=head_mask,
                inputs_embeds=inputs_embeds,
                output_attentions=output_attentions,
                output_hidden_states=output_hidden_states,
                return_dict=True,
            )
        encoded = as_encoder_output(encoder_outputs)
        decoded = self.decoder.decode(
            prepared, encoded.last_hidden_state, attention_mask, use_cache, output_attentions, output_hidden_states
        )
        return LEDSeq2SeqModelOutput(
            last_hidden_state=decoded.last_hidden_state,
            past_key_values=decoded.past_key_values,
            decoder_hidden_states=decoded.hidden_states,
            decoder_attentions=decoded.attentions,
            cross_attentions=decoded.cross_attentions,
            encoder_last_hidden_state=encoded.last_hidden_state,
            encoder_hidden_states=encoded.hidden_states,
            encoder_attentions=encoded.attentions,
            encoder_global_attentions=encoded.global_attentions,
        )


def shift_right(ids: Tensor, pad_token_id: int, start_token_id: int) -> Tensor:
    """(b, t): the start token, then all but the last; -100, a label that does not count, becomes padding."""
    shifted = torch.cat([ids.new_full((ids.shape[0], 1), start_token_id), ids[:, :-1]], dim=1)
    return shifted.masked_fill(shifted == IGNORED, pad_token_id)
