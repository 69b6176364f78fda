"""LED that writes: the language-model head. Shapes: b batch, t tokens of the decoder, D hidden size, V vocabulary."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor, nn

from trueband.optimized.attention.arguments import check_integer, check_tensor
from trueband.optimized.generation.led import LEDGeneration
from trueband.optimized.layers.base import Model
from trueband.optimized.layers.inputs import main_input
from trueband.optimized.layers.led_outputs import LEDSeq2SeqLMOutput
from trueband.optimized.layers.losses import check_labels, token_loss
from trueband.optimized.models.led import LEDModel, shift_right
from trueband.reference.config import LEDConfig


class LEDForConditionalGeneration(LEDGeneration, Model):
    """logits = x E^T + final_logits_bias, with E the word embeddings unless the configuration unties them."""

    final_logits_bias: Tensor

    def __init__(self, config: LEDConfig) -> None:
        super().__init__()
        self.config = config
        self.led = LEDModel(config)
        self.register_buffer("final_logits_bias", torch.zeros(1, config.vocab_size))
        self.lm_head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        if config.tie_word_embeddings:
            self.lm_head.weight = self.led.shared.weight
        else:
            nn.init.normal_(self.lm_head.weight, std=config.init_std)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        **options: Any,
    ) -> LEDSeq2SeqLMOutput:
        """Logits (b, t, V) of the next token and, with labels, the loss.

        Args:
            labels: (b, t) int64 or int32, ids, or -100 for tokens that do not count. Shifted to the right, they are
                what the decoder reads where it is given nothing else. With labels there is no cache.
            options: the other arguments of `LEDModel.forward`.
        """
        sources = [options.get(f"decoder_{name}") for name in ("input_ids", "inputs_embeds")]
        if labels is not None:
            use_cache = False
            check_tensor("labels", labels)
            if labels.ndim != 2:
                raise ValueError(f"labels: expected shape (batch, tokens), got {tuple(labels.shape)}")
            read = main_input(*sources)
            labels = check_labels(labels, labels if read is None else read, self.config.vocab_size)
            assert labels is not None
            if all(value is None for value in sources):
                config = self.config
                options["decoder_input_ids"] = shift_right(labels, config.pad_token_id, config.decoder_start_token_id)
        output = self.led(input_ids, attention_mask, use_cache=use_cache, **options)
        logits = self.lm_head(output.last_hidden_state) + self.final_logits_bias
        return LEDSeq2SeqLMOutput(logits=logits, loss=token_loss(logits, labels), **output.shared())

    def resize_token_embeddings(self, size: int) -> nn.Embedding:
        """A vocabulary of another size: new words are drawn as fresh weights are, their bias is 0. In place.

        Raises:
            ValueError, TypeError: a size that leaves out a special token, or is no int.
        """
        check_integer("size", size, least=1)
        config = self.config
        special = (config.pad_token_id, config.bos_token_id, config.eos_token_id, config.decoder_start_token_id)
        if size <= max(special):
            raise ValueError(f"size: expected more than {max(special)}, the largest special token, got {size}")
        tables = {id(part): part for part in (self.led.shared, *self.embedded())}
        for table in tables.values():
            table.weight = resized(table.weight, size, config.init_std)
            table.num_embeddings = size
        tied = config.tie_word_embeddings
        self.lm_head.weight = self.led.shared.weight if tied else resized(self.lm_head.weight, size, config.init_std)
        self.lm_head.out_features = size
        bias = self.final_logits_bias.new_zeros(1, size)
        kept = min(size, config.vocab_size)
        bias[:, :kept] = self.final_logits_bias[:, :kept]
        self.final_logits_bias = bias
        self._set_config(dataclasses.replace(config, vocab_size=size))
        return self.led.shared

    def embedded(self) -> list[nn.Embedding]:
        return [self.led.encoder.embed_tokens, self.led.decoder.embed_tokens]


def resized(weight: Tensor, size: int, std: float) -> nn.Parameter:
    """(V, D) -> (size, D): what was there, and new rows behind it."""
    fresh = weight.new_empty(size, weight.shape[1])
    nn.init.normal_(fresh, std=std)
    kept = min(size, weight.shape[0])
    fresh[:kept] = weight.detach()[:kept]
    return nn.Parameter(fresh, requires_grad=weight.requires_grad)
