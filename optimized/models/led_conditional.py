"""LED that writes: the language-model head. Shapes: b batch, t tokens of the decoder, D hidden size, V vocabulary."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from trueband.optimized.attention.arguments import check_tensor
from trueband.optimized.generation.led import LEDGeneration
from trueband.optimized.layers.base import Model
from trueband.optimized.layers.calling import called_as_on_the_hub
from trueband.optimized.layers.inputs import main_input
from trueband.optimized.layers.led_outputs import LEDSeq2SeqLMOutput
from trueband.optimized.layers.losses import check_labels, token_loss
from trueband.optimized.models.led import LEDModel, shift_right
from trueband.reference.config import LEDConfig


class LEDForConditionalGeneration(LEDGeneration, Model):
    """logits = x E^T + final_logits_bias, with E the word embeddings unless the configuration unties them."""

    final_logits_bias: Tensor

    def __init__(self, config: LEDConfig) -> None:
        super().__init__(config)
        self.led = LEDModel(config)
        self.register_buffer("final_logits_bias", torch.zeros(1, config.vocab_size))
        self.lm_head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        if config.tie_word_embeddings:
            self.lm_head.weight = self.led.shared.weight
        else:
            nn.init.normal_(self.lm_head.weight, std=config.init_std)

    @called_as_on_the_hub(LEDModel)
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        decoder_attention_mask: Tensor | None = None,
        *,
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
        sources = (decoder_input_ids, options.get("decoder_inputs_embeds"))
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
                decoder_input_ids = shift_right(labels, config.pad_token_id, config.decoder_start_token_id)
        inputs = (input_ids, attention_mask, decoder_input_ids, decoder_attention_mask)
        output = self.led(*inputs, use_cache=use_cache, return_dict=True, **options)
        logits = self.lm_head(output.last_hidden_state) + self.final_logits_bias
        return LEDSeq2SeqLMOutput(logits=logits, loss=token_loss(logits, labels), **output.shared())

    def prepare_decoder_input_ids_from_labels(self, labels: Tensor) -> Tensor:
        """(b, t) -> (b, t): what the decoder reads where labels are given and nothing else."""
        return shift_right(labels, self.config.pad_token_id, self.config.decoder_start_token_id)
