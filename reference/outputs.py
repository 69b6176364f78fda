"""What the models of the reference return, under the Hub's field names. A field that does not apply is None.

Hidden states are always there; attentions are computed when asked for (`output_attentions=True`).
Shapes: b batch, h heads, n tokens, D hidden size, L layers, x largest number of global tokens in a row of the batch.
"""

from __future__ import annotations

from typing import NamedTuple

from trueband.reference.arguments import Float

Taps = tuple[Float, ...]


class ModelOutput(NamedTuple):
    """Attributes:
    last_hidden_state: (b, n, D).
    pooler_output: (b, D).
    hidden_states: L + 1 arrays (b, n, D): after the embeddings, then after each layer.
    attentions: L arrays, (b, h, n, n) of full attention, (b, h, n, x + 2 * window + 1) of Longformer.
    cross_attentions: L arrays (b, h, n, tokens of the encoder).
    global_attentions: L arrays (b, h, n, x): column g is the row of the g-th global token over all n tokens, 0 for a
        missing one. None when no token is global.
    """

    last_hidden_state: Float
    pooler_output: Float | None
    hidden_states: Taps
    attentions: Taps | None = None
    cross_attentions: Taps | None = None
    global_attentions: Taps | None = None


class HeadOutput(NamedTuple):
    """Attributes:
    loss: None without labels. NaN when no label counts.
    logits: (b, n, vocabulary or labels); (b, labels) of sequence classification; (b, choices) of multiple choice.
    others: as in `ModelOutput`.
    """

    loss: float | None
    logits: Float
    hidden_states: Taps
    attentions: Taps | None = None
    cross_attentions: Taps | None = None
    global_attentions: Taps | None = None


class QuestionAnsweringOutput(NamedTuple):
    """Attributes:
    loss: mean of the two cross-entropies; None without positions.
    start_logits, end_logits: (b, n).
    others: as in `ModelOutput`.
    """

    loss: float | None
    start_logits: Float
    end_logits: Float
    hidden_states: Taps
    attentions: Taps | None = None
    global_attentions: Taps | None = None


class EncoderOutput(NamedTuple):
    """The encoder of LED. Fields as in `ModelOutput`."""

    last_hidden_state: Float
    hidden_states: Taps
    attentions: Taps | None = None
    global_attentions: Taps | None = None


class DecoderOutput(NamedTuple):
    """The decoder of LED. Fields as in `ModelOutput`."""

    last_hidden_state: Float
    hidden_states: Taps
    attentions: Taps | None = None
    cross_attentions: Taps | None = None


class Seq2SeqOutput(NamedTuple):
    """LED without a head.

    Attributes:
        last_hidden_state: (b, m, D) of the decoder.
        others: of the decoder and of the encoder, as in `ModelOutput`.
    """

    last_hidden_state: Float
    decoder_hidden_states: Taps
    decoder_attentions: Taps | None
    cross_attentions: Taps | None
    encoder_last_hidden_state: Float
    encoder_hidden_states: Taps
    encoder_attentions: Taps | None
    encoder_global_attentions: Taps | None


class Seq2SeqHeadOutput(NamedTuple):
    """LED with a head.

    Attributes:
        loss: None without labels.
        logits: (b, m, vocabulary), or (b, labels) of sequence classification.
        others: as in `Seq2SeqOutput`.
    """

    loss: float | None
    logits: Float
    decoder_hidden_states: Taps
    decoder_attentions: Taps | None
    cross_attentions: Taps | None
    encoder_last_hidden_state: Float
    encoder_hidden_states: Taps
    encoder_attentions: Taps | None
    encoder_global_attentions: Taps | None


class Seq2SeqQuestionAnsweringOutput(NamedTuple):
    """LED with a question-answering head: start_logits and end_logits (b, m); others as in `Seq2SeqOutput`."""

    loss: float | None
    start_logits: Float
    end_logits: Float
    decoder_hidden_states: Taps
    decoder_attentions: Taps | None
    cross_attentions: Taps | None
    encoder_last_hidden_state: Float
    encoder_hidden_states: Taps
    encoder_attentions: Taps | None
    encoder_global_attentions: Taps | None
