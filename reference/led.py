"""LED in float64: the encoder-decoder without a head, and with the language-model head.

Shapes: b batch, n tokens of the encoder, m of the decoder, D hidden size.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from trueband.reference.arguments import Float
from trueband.reference.config import LEDConfig
from trueband.reference.embeddings import Ids, check_ids
from trueband.reference.layers import State, weight
from trueband.reference.led_decoder import led_decoder, shift_right
from trueband.reference.led_encoder import led_encoder
from trueband.reference.losses import check_labels, token_loss
from trueband.reference.outputs import EncoderOutput, Seq2SeqHeadOutput, Seq2SeqOutput

PREFIX = "led."  # of the keys of the model in a model with a head


def led_model(
    state: State,
    config: LEDConfig,
    input_ids: Ids | None = None,
    *,
    attention_mask: NDArray[Any] | None = None,
    decoder_input_ids: Ids | None = None,
    decoder_attention_mask: NDArray[Any] | None = None,
    head_mask: NDArray[Any] | None = None,
    decoder_head_mask: NDArray[Any] | None = None,
    cross_attn_head_mask: NDArray[Any] | None = None,
    encoder_outputs: EncoderOutput | None = None,
    global_attention_mask: NDArray[Any] | None = None,
    inputs_embeds: NDArray[Any] | None = None,
    decoder_inputs_embeds: NDArray[Any] | None = None,
    output_attentions: bool = False,
    prefix: str = "",
) -> Seq2SeqOutput:
    """Encoder and decoder.

    Args:
        state: weights under the Hub's names, after `prefix` (e.g. "led.").
        input_ids: (b, n).
        attention_mask, global_attention_mask: (b, n), 0 and 1; None: all real, none global.
        decoder_input_ids: (b, m); None, and no decoder_inputs_embeds: input_ids, shifted to the right.
        decoder_attention_mask: (b, m), 0 and 1; None: all real.
        head_mask: (layers, heads) of the encoder; decoder_head_mask and cross_attn_head_mask of the decoder.
        encoder_outputs: computed before, by `led_encoder`; the encoder does not run.
        inputs_embeds, decoder_inputs_embeds: (b, n, D), (b, m, D), in place of the ids.
        output_attentions: whether to return the probabilities; those of the encoder in the compact layout.

    Raises:
        ValueError, TypeError: "<argument>: expected ..., got ...", e.g. for more tokens than positions.
    """
    if decoder_input_ids is None and decoder_inputs_embeds is None:
        if input_ids is None:
            raise ValueError("decoder_input_ids: expected ids or decoder_inputs_embeds without input_ids, got neither")
        ids = check_ids("input_ids", input_ids, None, config.vocab_size)
        decoder_input_ids = shift_right(ids, config.pad_token_id, config.decoder_start_token_id)
    if encoder_outputs is None:
        encoder_outputs = led_encoder(
            state,
            config,
            input_ids,
            attention_mask=attention_mask,
            global_attention_mask=global_attention_mask,
            head_mask=head_mask,
            inputs_embeds=inputs_embeds,
            output_attentions=output_attentions,
            prefix=prefix,
        )
    decoder = led_decoder(
        state,
        config,
        decoder_input_ids,
        encoder_hidden_states=encoder_outputs.last_hidden_state,
        attention_mask=decoder_attention_mask,
        encoder_attention_mask=attention_mask,
        head_mask=decoder_head_mask,
        cross_attn_head_mask=cross_attn_head_mask,
        inputs_embeds=decoder_inputs_embeds,
        output_attentions=output_attentions,
        prefix=prefix,
    )
    return Seq2SeqOutput(*decoder, *encoder_outputs)


def headless(state: State, config: LEDConfig, input_ids: Ids | None, options: Mapping[str, Any]) -> Seq2SeqOutput:
    """The model inside a model with a head: its keys stand under "led."."""
    return led_model(state, config, input_ids, prefix=PREFIX, **options)


def led_conditional_generation(
    state: State,
    config: LEDConfig,
    input_ids: Ids | None = None,
    *,
    labels: NDArray[Any] | None = None,
    **options: Any,
) -> Seq2SeqHeadOutput:
    """Logits (b, m, vocabulary) of the next token.

    Args:
        labels: (b, m), ids, or -100 for tokens that do not count. Shifted to the right, they are what the decoder
            reads where it is given nothing else.
        options: of `led_model`.
    """
    if labels is not None and all(options.get(f"decoder_{name}") is None for name in ("input_ids", "inputs_embeds")):
        check_labels(labels, labels.shape[:2] if hasattr(labels, "shape") else (), config.vocab_size)
        options["decoder_input_ids"] = shift_right(labels, config.pad_token_id, config.decoder_start_token_id)
    model = headless(state, config, input_ids, options)
    logits = led_lm_head(state, model.last_hidden_state)
    return Seq2SeqHeadOutput(token_loss(logits, labels, config.vocab_size), logits, *model[1:])


def led_lm_head(state: State, hidden_states: Float) -> Float:
    """logits = x E^T + final_logits_bias: (b, m, D) -> (b, m, vocabulary).

    E is `lm_head.weight`, or the shared word embeddings where it is tied to them and left out.
    """
    own = "lm_head.weight"
    return hidden_states @ weight(state, own if own in state else f"{PREFIX}shared.weight").T + weight(
        state, "final_logits_bias"
    )
