"""`generate` of a causal XLM-RoBERTa: it continues prompts. b batch, t tokens of the prompt, n of an encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from trueband.optimized.attention.arguments import check_tensor
from trueband.optimized.generation.mixin import check_generator, decode, real_tokens, repeated
from trueband.optimized.generation.rules import GenerateOutput, changed, rules_for
from trueband.optimized.layers.cache import DecoderCache
from trueband.optimized.layers.inputs import check_ids
from trueband.reference.config import GenerationConfig, XLMRobertaConfig

if TYPE_CHECKING:
    from trueband.optimized.models.roberta import XLMRobertaModel


class RobertaGeneration:
    """A mixin for the model with the language-model head."""

    config: XLMRobertaConfig
    roberta: XLMRobertaModel

    @torch.no_grad()
    def generate(
        self,
        input_ids: Tensor,
        generation_config: GenerationConfig | None = None,
        *,
        attention_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        encoder_hidden_states: Tensor | None = None,
        encoder_attention_mask: Tensor | None = None,
        generator: torch.Generator | None = None,
        return_dict_in_generate: bool = False,
        **options: Any,
    ) -> Tensor | GenerateOutput:
        """Prompts (b, t), padded on the left, and what follows them.

        Args:
            input_ids: (b, t). Positions are those of the tokens that are not padding.
            generation_config: how to decode; None: the defaults. `options` are its fields, and take precedence.
            attention_mask: (b, t), 0 and 1; None: all ids but padding. New tokens are real.
            head_mask: (layers, heads).
            encoder_hidden_states, encoder_attention_mask: (b, n, D) and (b, n), of a decoder with cross-attention.
            generator: for sampling; None: torch's default one.
            return_dict_in_generate: also return the beams' scores.

        Returns:
            (b * num_return_sequences, longest) int64, the prompt included; or a GenerateOutput.

        Raises:
            ValueError, TypeError: "<argument>: expected ..., got ...", e.g. a configuration that is not a decoder's.
        """
        config = self.config
        how = changed(generation_config, options, config.vocab_size)
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
            )
            return output.logits, output.past_key_values

        result = decode(read, prompts, mask, rules, generator, how.use_cache)
        return result if return_dict_in_generate else result.sequences
