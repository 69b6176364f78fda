"""`generate` of a causal XLM-RoBERTa: it continues prompts. b batch, t tokens of the prompt, n of an encoder."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from trueband.optimized.attention.arguments import check_tensor
from trueband.optimized.generation.mixin import check_generator, check_one_name, decode, real_tokens, repeated
from trueband.optimized.generation.options import how_to_decode
from trueband.optimized.generation.rules import GenerateOutput, rules_for
from trueband.optimized.layers.cache import DecoderCache
from trueband.optimized.layers.inputs import check_ids
from trueband.reference.config import GenerationConfig, XLMRobertaConfig

if TYPE_CHECKING:
    from trueband.optimized.models.roberta import XLMRobertaModel


class RobertaGeneration:
    """A mixin for the model with the language-model head."""

    config: XLMRobertaConfig
    generation_defaults: Callable[[], dict[str, Any]]
    roberta: XLMRobertaModel

    @torch.no_grad()
    def generate(
        self,
        input_ids: Tensor | None = None,
        generation_config: GenerationConfig | None = None,
        *,
        attention_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        encoder_hidden_states: Tensor | None = None,
        encoder_attention_mask: Tensor | None = None,
        generator: torch.Generator | None = None,
        inputs: Tensor | None = None,
        return_dict_in_generate: bool | None = None,
        **options: Any,
    ) -> Tensor | GenerateOutput:
        """Prompts (b, t), padded on the left, and what follows them.

        Args:
            input_ids: (b, t). Positions are those of the tokens that are not padding.
            generation_config: how to decode. What it does not say, the checkpoint does (`self.generation_config`).
                `options` are its fields, and take precedence.
            attention_mask: (b, t), 0 and 1; None: all ids but padding. New tokens are real.
            head_mask: (layers, heads).
            encoder_hidden_states, encoder_attention_mask: (b, n, D) and (b, n), of a decoder with cross-attention.
            generator: for sampling; None: torch's default one.
            inputs: another name of input_ids.
            return_dict_in_generate: also return the beams' scores; None: what the configuration says.

        Returns:
            (b * num_return_sequences, longest) int64, the prompt included; or a GenerateOutput.

        Raises:
            ValueError, TypeError: "<argument>: expected ..., got ...", e.g. a configuration that is not a decoder's.
        """
        input_ids = check_one_name(input_ids, inputs)
        config = self.config
        how = how_to_decode(self.generation_defaults(), generation_config, options, config.vocab_size)
        check_generator(generator)
        if not config.is_decoder:
            raise ValueError("config: expected is_decoder True, got False")
        device = self.roberta.embeddings.word_embeddings.weight.device
        prompts = check_ids("input_ids", input_ids, None, config.vocab_size, device)
        rules = rules_for(how, config, prompts.shape[1])
        mask = real_tokens(attention_mask, prompts, rules, prompts)
        across = {"encoder_hidden_states": encoder_hidden_states, "encoder_attention_mask": encoder_attention_mask}
        for name, tensor in across.items():
            if tensor is not None:
                check_tensor(name, tensor)
        states, encoder_mask = (repeated(tensor, rules) for tensor in across.values())

        def read(ids: Tensor, own: Tensor | None, cache: DecoderCache | None) -> tuple[Tensor, DecoderCache | None]:
            output = self(  # type: ignore[operator]
                ids,
                own,
                head_mask=head_mask,
                encoder_hidden_states=states,
                encoder_attention_mask=encoder_mask,
                past_key_values=cache,
                use_cache=how.use_cache,
                return_dict=True,
            )
            return output.logits, output.past_key_values

        result = decode(read, prompts, mask, rules, generator, how.use_cache)
        wanted = how.return_dict_in_generate if return_dict_in_generate is None else return_dict_in_generate
        return result if wanted else result.sequences

    def prepare_inputs_for_generation(
        self,
        input_ids: Tensor,
        past_key_values: DecoderCache | None = None,
        attention_mask: Tensor | None = None,
        use_cache: bool | None = None,
        **others: Any,
    ) -> dict[str, Any]:
        """The arguments of `forward` for the next token: of the ids (b, t) that have not been read. `others` stay."""
        read = 0 if past_key_values is None else past_key_values.length
        if read >= input_ids.shape[1]:
            read = input_ids.shape[1] - 1
        return {
            **{name: value for name, value in others.items() if value is not None},
            "input_ids": input_ids[:, read:],
            "attention_mask": attention_mask,
            "past_key_values": past_key_values,
            "use_cache": use_cache,
        }
