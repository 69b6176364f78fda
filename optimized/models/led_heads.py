"""LED with a head. Shapes: b batch, n tokens of the encoder, t of the decoder, D hidden size, C classes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from trueband.optimized.layers.base import Model
from trueband.optimized.layers.blocks import initialize
from trueband.optimized.layers.calling import called_as_on_the_hub
from trueband.optimized.layers.heads import ClassificationHead, SpanHead
from trueband.optimized.layers.inputs import Maybe, check_ids, last_end, main_input
from trueband.optimized.layers.led_outputs import (
    LEDSeq2SeqQuestionAnsweringModelOutput,
    LEDSeq2SeqSequenceClassifierOutput,
)
from trueband.optimized.layers.losses import check_classification_labels, check_span, classification_loss, span_loss
from trueband.optimized.models.led import LEDModel
from trueband.reference.config import LEDConfig


class LEDForSequenceClassification(Model):
    """A classifier on the decoder's state at the last end token; the decoder reads the input, shifted to the right."""

    def __init__(self, config: LEDConfig) -> None:
        super().__init__(config)
        self.led = LEDModel(config)
        head = ClassificationHead(config.d_model, config.num_labels, config.classifier_dropout)
        self.classification_head = initialize(head, config.init_std)

    @called_as_on_the_hub(LEDModel)
    def forward(
        self,
        input_ids: Maybe = None,
        attention_mask: Maybe = None,
        decoder_input_ids: Maybe = None,
        decoder_attention_mask: Maybe = None,
        *,
        labels: Maybe = None,
        **options: Any,
    ) -> LEDSeq2SeqSequenceClassifierOutput:
        """Logits (b, C) and, with labels, the loss.

        Args:
            labels: (b,) class ids; or (b, C) floats (several classes at once, or a regression); or (b,) floats, C = 1.
            options: the other arguments of `LEDModel.forward`.

        Raises:
            ValueError: rows without an end token, or with different numbers of them; a decoder that reads another
                number of tokens than the encoder.
        """
        if input_ids is None or options.get("inputs_embeds") is not None:
            raise ValueError("input_ids: expected ids (the end token is looked for in them), got inputs_embeds")
        config = self.config
        ids = check_ids("input_ids", input_ids, None, config.vocab_size, self.led.shared.weight.device)
        name = "decoder_input_ids" if decoder_input_ids is not None else "decoder_inputs_embeds"
        read = options.get("decoder_inputs_embeds") if decoder_input_ids is None else decoder_input_ids
        if isinstance(read, Tensor) and tuple(read.shape[:2]) != tuple(ids.shape):
            raise ValueError(f"{name}: expected shape {tuple(ids.shape)}, as input_ids, got {tuple(read.shape[:2])}")
        labels = check_classification_labels(labels, ids.shape[0], config.num_labels, config.problem_type)
        last = last_end(ids, config.eos_token_id)
        inputs = (input_ids, attention_mask, decoder_input_ids, decoder_attention_mask)
        output = self.led(*inputs, return_dict=True, **options)
        rows = torch.arange(ids.shape[0], device=ids.device)
        logits = self.classification_head(output.last_hidden_state[rows, last])
        loss = classification_loss(logits, labels, config.problem_type)
        return LEDSeq2SeqSequenceClassifierOutput(logits=logits, loss=loss, **output.shared())


class LEDForQuestionAnswering(Model):
    """Start and end of the answer, from the decoder's states; the decoder reads the input, shifted to the right."""

    def __init__(self, config: LEDConfig) -> None:
        super().__init__(config)
        self.led = LEDModel(config)
        self.qa_outputs = initialize(SpanHead(config.d_model, config.num_labels), config.init_std)

    @called_as_on_the_hub(LEDModel)
    def forward(
        self,
        input_ids: Maybe = None,
        attention_mask: Maybe = None,
        decoder_input_ids: Maybe = None,
        decoder_attention_mask: Maybe = None,
        *,
        start_positions: Maybe = None,
        end_positions: Maybe = None,
        **options: Any,
    ) -> LEDSeq2SeqQuestionAnsweringModelOutput:
        """Logits (b, t) of both and, with both positions, the loss.

        Args:
            start_positions, end_positions: (b,) int64 or int32; one behind the last token does not count.
            options: the other arguments of `LEDModel.forward`.
        """
        tokens = main_input(input_ids, **options)
        if tokens is None:  # the encoder has been run before
            tokens = main_input(decoder_input_ids, options.get("decoder_inputs_embeds"))
        start_positions, end_positions = check_span(start_positions, end_positions, tokens)
        inputs = (input_ids, attention_mask, decoder_input_ids, decoder_attention_mask)
        output = self.led(*inputs, return_dict=True, **options)
        start, end = self.qa_outputs.spans(output.last_hidden_state)
        loss = span_loss(start, end, start_positions, end_positions)
        return LEDSeq2SeqQuestionAnsweringModelOutput(start_logits=start, end_logits=end, loss=loss, **output.shared())
