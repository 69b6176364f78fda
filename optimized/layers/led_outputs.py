"""The outputs of LED: dataclasses with the Hub's field names. A field that was not requested is None.

Shapes: b batch, h heads, n tokens of the encoder, t of the decoder in this call, m with those of the cache,
D hidden size, L layers, x largest number of global tokens in a row of the batch.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from trueband.optimized.layers.cache import DecoderCache
from trueband.optimized.layers.exported import register
from trueband.optimized.layers.model_output import ModelOutput


@dataclass
class LEDEncoderBaseModelOutput(ModelOutput):
    """Attributes:
    last_hidden_state: (b, n, D).
    hidden_states: L + 1 tensors (b, n, D): after the embeddings, then after each layer.
    attentions: L tensors (b, h, n, x + attention_window + 1): x columns for the global tokens in order of position,
        then the offsets of the window. Rows of global and of masked tokens are 0.
    global_attentions: L tensors (b, h, n, x): column g is the row of the g-th global token over all n tokens, 0 for a
        missing one. None when no token is global.
    """

    last_hidden_state: Tensor
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor | None, ...] | None = None
    global_attentions: tuple[Tensor | None, ...] | None = None


def as_encoder_output(outputs: object) -> LEDEncoderBaseModelOutput:
    """An encoder's output as a user gives it: as it is, or a tuple of its fields in their order."""
    if isinstance(outputs, LEDEncoderBaseModelOutput):
        return outputs
    if isinstance(getattr(outputs, "last_hidden_state", None), Tensor):  # of another library
        names = [field.name for field in dataclasses.fields(LEDEncoderBaseModelOutput)]
        fields: dict[str, Any] = {name: getattr(outputs, name, None) for name in names}
        return LEDEncoderBaseModelOutput(**fields)
    if not isinstance(outputs, tuple | list) or not outputs:
        raise TypeError(
            f"encoder_outputs: expected a LEDEncoderBaseModelOutput or a tuple, got {type(outputs).__name__}"
        )
    return LEDEncoderBaseModelOutput(*outputs)


@dataclass
class LEDDecoderOutput(ModelOutput):
    """Attributes:
    last_hidden_state: (b, t, D).
    past_key_values: for the next step.
    hidden_states: L + 1 tensors (b, t, D).
    attentions, cross_attentions: L tensors (b, h, t, m) and (b, h, t, n).
    """

    last_hidden_state: Tensor
    past_key_values: DecoderCache | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor | None, ...] | None = None
    cross_attentions: tuple[Tensor | None, ...] | None = None


@dataclass
class Seq2SeqFields(ModelOutput):
    """The fields of all outputs of the whole model; of the decoder as in `LEDDecoderOutput`, of the encoder as in
    `LEDEncoderBaseModelOutput`.
    """

    past_key_values: DecoderCache | None = None
    decoder_hidden_states: tuple[Tensor, ...] | None = None
    decoder_attentions: tuple[Tensor | None, ...] | None = None
    cross_attentions: tuple[Tensor | None, ...] | None = None
    encoder_last_hidden_state: Tensor | None = None
    encoder_hidden_states: tuple[Tensor, ...] | None = None
    encoder_attentions: tuple[Tensor | None, ...] | None = None
    encoder_global_attentions: tuple[Tensor | None, ...] | None = None

    def shared(self) -> dict[str, Any]:
        """These fields by name."""
        return {name: getattr(self, name) for name in SHARED}


SHARED = tuple(field.name for field in dataclasses.fields(Seq2SeqFields))


@dataclass
class LEDSeq2SeqModelOutput(Seq2SeqFields):
    """last_hidden_state: (b, t, D) of the decoder."""

    last_hidden_state: Tensor = None  # type: ignore[assignment]


@dataclass
class LEDSeq2SeqLMOutput(Seq2SeqFields):
    """loss: scalar, None without labels. logits: (b, t, vocabulary)."""

    logits: Tensor = None  # type: ignore[assignment]
    loss: Tensor | None = None


@dataclass
class LEDSeq2SeqSequenceClassifierOutput(Seq2SeqFields):
    """loss: scalar, None without labels. logits: (b, classes)."""

    logits: Tensor = None  # type: ignore[assignment]
    loss: Tensor | None = None


@dataclass
class LEDSeq2SeqQuestionAnsweringModelOutput(Seq2SeqFields):
    """loss: scalar, None without positions. start_logits, end_logits: (b, t)."""

    start_logits: Tensor = None  # type: ignore[assignment]
    end_logits: Tensor = None  # type: ignore[assignment]
    loss: Tensor | None = None


for _output in (
    LEDEncoderBaseModelOutput,
    LEDDecoderOutput,
    LEDSeq2SeqModelOutput,
    LEDSeq2SeqLMOutput,
    LEDSeq2SeqSequenceClassifierOutput,
    LEDSeq2SeqQuestionAnsweringModelOutput,
):
    register(_output)
