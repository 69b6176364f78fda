"""`generate` of LED: the encoder runs once, the decoder writes. b batch, n tokens of the encoder, t of the prompt."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from trueband.optimized.generation.mixin import (
    check_generator,
    check_one_name,
    check_prompts,
    decode,
    real_tokens,
    repeated,
)
from trueband.optimized.generation.options import how_to_decode
from trueband.optimized.generation.rules import GenerateOutput, rules_for
from trueband.optimized.layers.cache import DecoderCache
from trueband.optimized.layers.inputs import check_binary_mask, check_embeddings, check_ids, check_one_input, device_of
from trueband.optimized.layers.led_outputs import LEDEncoderBaseModelOutput, as_encoder_output
from trueband.reference.config import GenerationConfig, LEDConfig

if TYPE_CHECKING:
    from trueband.optimized.models.led import LEDModel


class LEDGeneration:
    """A mixin for the model with the language-model head."""

    config: LEDConfig
    generation_defaults: Callable[[], dict[str, Any]]
    led: LEDModel

    @torch.no_grad()
    def generate(
        self,
        input_ids: Tensor | None = None,
        generation_config: GenerationConfig | None = None,
        *,
        attention_mask: Tensor | None = None,
        global_attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        encoder_outputs: LEDEncoderBaseModelOutput | tuple[Tensor, ...] | None = None,
        decoder_input_ids: Tensor | None = None,
        decoder_attention_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        decoder_head_mask: Tensor | None = None,
        cross_attn_head_mask: Tensor | None = None,
        generator: torch.Generator | None = None,
        inputs: Tensor | None = None,
        return_dict_in_generate: bool | None = None,
        **options: Any,
    ) -> Tensor | GenerateOutput:
        """Sequences of the decoder.

        Args:
            input_ids: (b, n); or inputs_embeds (b, n, D); or encoder_outputs, computed before.
            generation_config: how to decode. What it does not say, the checkpoint does (`self.generation_config`).
                `options` are its fields, and take precedence.
            attention_mask: (b, n), 0 and 1; None: all ids but padding (all tokens where there are no ids).
            global_attention_mask: (b, n), reaches the encoder; None: none.
            decoder_input_ids: (b, t), the prompt; the start token is put in front where no row begins with it. None:
                the start token.
            decoder_attention_mask: (b, t) of the prompt; new tokens are real. None: all real.
            head_mask, decoder_head_mask, cross_attn_head_mask: (layers, heads).
            generator: for sampling; None: torch's default one.
            inputs: another name of input_ids.
            return_dict_in_generate: also return the beams' scores; None: what the configuration says.

        Returns:
            (b * num_return_sequences, longest) int64, the prompt included; or a GenerateOutput.

        Raises:
            ValueError, TypeError: "<argument>: expected ..., got ...".
        """
        input_ids = check_one_name(input_ids, inputs)
        config = self.config
        how = how_to_decode(self.generation_defaults(), generation_config, options, config.vocab_size)
        check_generator(generator)
        weight, states = self.led.shared.weight, None
        if input_ids is not None:
            check_ids("input_ids", input_ids, None, config.vocab_size, weight.device)
        if encoder_outputs is not None:
            states = as_encoder_output(encoder_outputs).last_hidden_state
            check_embeddings("encoder_outputs", states, weight)
        else:
            check_one_input("input_ids", input_ids, "inputs_embeds", inputs_embeds)
            if inputs_embeds is not None:
                check_embeddings("inputs_embeds", inputs_embeds, weight)
        read_by_encoder = input_ids if input_ids is not None else inputs_embeds if states is None else states
        assert read_by_encoder is not None
        batch, device = read_by_encoder.shape[0], device_of(weight, read_by_encoder)
        start = config.decoder_start_token_id if how.decoder_start_token_id is None else how.decoder_start_token_id
        prompts = torch.full((batch, 1), start, device=device)
        mask = decoder_attention_mask
        if decoder_input_ids is not None:
            check_prompts("decoder_input_ids", decoder_input_ids, batch)
            own_prompts = check_ids("decoder_input_ids", decoder_input_ids, None, config.vocab_size, device).long()
            mask = check_binary_mask("decoder_attention_mask", mask, own_prompts)
            if bool((own_prompts[:, 0] != start).all()):
                mask = None if mask is None else torch.cat([mask.new_ones(batch, 1), mask], dim=1)
                own_prompts = torch.cat([prompts, own_prompts], dim=1)
            prompts = own_prompts
        else:
            mask = check_binary_mask("decoder_attention_mask", mask, prompts)
        rules = rules_for(how, config, prompts.shape[1])
        real = attention_mask
        if input_ids is not None:
            real = real_tokens(attention_mask, input_ids, rules, input_ids)
        if states is None:
            options = {"head_mask": head_mask, "inputs_embeds": inputs_embeds, "return_dict": True}
            states = self.led.encoder(input_ids, real, global_attention_mask, **options).last_hidden_state
        real = repeated(check_binary_mask("attention_mask", real, states), rules)
        encoded = (repeated(states, rules),)
        cache = self.led.decoder.cache_of_encoder(states, rules.copies) if how.use_cache else None

        def read(ids: Tensor, own: Tensor | None, cache: DecoderCache | None) -> tuple[Tensor, DecoderCache | None]:
            output = self(  # type: ignore[operator]
                attention_mask=real,
                encoder_outputs=encoded,
                decoder_input_ids=ids,
                decoder_attention_mask=own,
                decoder_head_mask=decoder_head_mask,
                cross_attn_head_mask=cross_attn_head_mask,
                past_key_values=cache,
                use_cache=how.use_cache,
                return_dict=True,
            )
            return output.logits, output.past_key_values

        result = decode(read, prompts, mask, rules, generator, how.use_cache, cache)
        wanted = how.return_dict_in_generate if return_dict_in_generate is None else return_dict_in_generate
        return result if wanted else result.sequences

    def prepare_inputs_for_generation(
        self,
        decoder_input_ids: Tensor,
        past_key_values: DecoderCache | None = None,
        attention_mask: Tensor | None = None,
        encoder_outputs: Any = None,
        use_cache: bool | None = None,
        **others: Any,
    ) -> dict[str, Any]:
        """The arguments of `forward` for the next token: of what the decoder has not read, (b, t). `others` stay."""
        read = 0 if past_key_values is None else past_key_values.length
        if read >= decoder_input_ids.shape[1]:
            read = decoder_input_ids.shape[1] - 1
        return {
            **{name: value for name, value in others.items() if value is not None},
            "encoder_outputs": encoder_outputs,
            "past_key_values": past_key_values,
            "decoder_input_ids": decoder_input_ids[:, read:],
            "attention_mask": attention_mask,
            "use_cache": use_cache,
        }
