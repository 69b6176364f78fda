"""The outputs of the models: dataclasses with the Hub's field names. A field that was not requested is None.

They are also subscripted and unpacked, see `ModelOutput`.

Shapes: b batch, h heads, n tokens, D hidden size, L layers, x largest number of global tokens in a row of the batch.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from trueband.optimized.layers.cache import DecoderCache
from trueband.optimized.layers.exported import register
from trueband.optimized.layers.model_output import ModelOutput


@dataclass
class BaseModelOutputWithPoolingAndCrossAttentions(ModelOutput):
    """Attributes:
    last_hidden_state: (b, n, D).
    pooler_output: (b, D), or None without a pooling layer.
    past_key_values: the past key values of a decoder, for the next step.
    hidden_states: L + 1 tensors (b, n, D): after the embeddings, then after each layer.
    attentions: L tensors (b, h, n, m), with head mask and dropout: what multiplied the values. m tokens with those of
        the cache.
    cross_attentions: L tensors (b, h, n, tokens of the encoder).
    """

    first = ("last_hidden_state", "pooler_output", "hidden_states")
    last_hidden_state: Tensor
    pooler_output: Tensor | None = None
    past_key_values: DecoderCache | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor | None, ...] | None = None
    cross_attentions: tuple[Tensor | None, ...] | None = None


@dataclass
class MaskedLMOutput(ModelOutput):
    """Attributes:
    loss: scalar, or None without labels.
    logits: (b, n, vocabulary).
    hidden_states, attentions: as in `BaseModelOutputWithPoolingAndCrossAttentions`.
    """

    logits: Tensor
    loss: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor | None, ...] | None = None


@dataclass
class CausalLMOutputWithCrossAttentions(MaskedLMOutput):
    """Like `MaskedLMOutput`, with the cache and cross-attentions of `BaseModelOutputWithPoolingAndCrossAttentions`."""

    past_key_values: DecoderCache | None = None
    cross_attentions: tuple[Tensor | None, ...] | None = None


@dataclass
class SequenceClassifierOutput(MaskedLMOutput):
    """Like `MaskedLMOutput`, with logits (b, classes)."""


@dataclass
class MultipleChoiceModelOutput(MaskedLMOutput):
    """Like `MaskedLMOutput`, with logits (b, choices); other fields are those of b * choices sequences."""


@dataclass
class TokenClassifierOutput(MaskedLMOutput):
    """Like `MaskedLMOutput`, with logits (b, n, classes)."""


@dataclass
class QuestionAnsweringModelOutput(ModelOutput):
    """Attributes:
    loss: scalar, or None without positions.
    start_logits, end_logits: (b, n).
    hidden_states, attentions: as in `BaseModelOutputWithPoolingAndCrossAttentions`.
    """

    start_logits: Tensor
    end_logits: Tensor
    loss: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor | None, ...] | None = None


@dataclass
class LongformerBaseModelOutputWithPooling(ModelOutput):
    """Attributes:
    last_hidden_state, pooler_output, hidden_states: as in `BaseModelOutputWithPoolingAndCrossAttentions`.
    attentions: L tensors (b, h, n, x + attention_window + 1): x columns for the global tokens in order of position,
        then the offsets of the window. Rows of global and of masked tokens are 0.
    global_attentions: L tensors (b, h, n, x): column g is the row of the g-th global token over all n tokens, 0 for a
        missing one. None when no token is global.
    """

    last_hidden_state: Tensor
    pooler_output: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor | None, ...] | None = None
    global_attentions: tuple[Tensor | None, ...] | None = None


@dataclass
class LongformerMaskedLMOutput(MaskedLMOutput):
    """Like `MaskedLMOutput`, with the attentions of `LongformerBaseModelOutputWithPooling`."""

    global_attentions: tuple[Tensor | None, ...] | None = None


@dataclass
class LongformerSequenceClassifierOutput(LongformerMaskedLMOutput):
    """Like `LongformerMaskedLMOutput`, with logits (b, classes)."""


@dataclass
class LongformerMultipleChoiceModelOutput(LongformerMaskedLMOutput):
    """Like `LongformerMaskedLMOutput`, with logits (b, choices); other fields are those of b * choices sequences."""


@dataclass
class LongformerTokenClassifierOutput(LongformerMaskedLMOutput):
    """Like `LongformerMaskedLMOutput`, with logits (b, n, classes)."""


@dataclass
class LongformerQuestionAnsweringModelOutput(QuestionAnsweringModelOutput):
    """Like `QuestionAnsweringModelOutput`, with the attentions of `LongformerBaseModelOutputWithPooling`."""

    global_attentions: tuple[Tensor | None, ...] | None = None


for _output in (
    BaseModelOutputWithPoolingAndCrossAttentions,
    MaskedLMOutput,
    CausalLMOutputWithCrossAttentions,
    SequenceClassifierOutput,
    MultipleChoiceModelOutput,
    TokenClassifierOutput,
    QuestionAnsweringModelOutput,
    LongformerBaseModelOutputWithPooling,
    LongformerMaskedLMOutput,
    LongformerSequenceClassifierOutput,
    LongformerMultipleChoiceModelOutput,
    LongformerTokenClassifierOutput,
    LongformerQuestionAnsweringModelOutput,
):
    register(_output)
