"""Decoding with LED and with a causal XLM-RoBERTa. b batch, n tokens of the input, t tokens of the prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trueband.reference.arguments import Float
from trueband.reference.config import GenerationConfig, LEDConfig, XLMRobertaConfig
from trueband.reference.decoding import Generated, decode, rules_for
from trueband.reference.decoding_beams import NextLogits
from trueband.reference.decoding_logits import Rules
from trueband.reference.embeddings import Ids, check_ids, check_mask
from trueband.reference.layers import State
from trueband.reference.led import PREFIX, led_conditional_generation
from trueband.reference.led_encoder import led_encoder
from trueband.reference.masks import Bool
from trueband.reference.outputs import EncoderOutput
from trueband.reference.roberta import roberta_causal_lm

Array = NDArray[Any]


def led_generate(
    state: State,
    config: LEDConfig,
    input_ids: Ids | None,
    generation: GenerationConfig,
    *,
    encoder_outputs: EncoderOutput | None = None,
    attention_mask: Array | None = None,
    global_attention_mask: Array | None = None,
    decoder_input_ids: Ids | None = None,
    decoder_attention_mask: Array | None = None,
    head_mask: Array | None = None,
    decoder_head_mask: Array | None = None,
    cross_attn_head_mask: Array | None = None,
    uniforms: Array | None = None,
) -> Generated:
    """Sequences of the decoder.

    Args:
        input_ids: (b, n); or None, with encoder_outputs.
        encoder_outputs: computed before, by `led_encoder`; the encoder does not run.
        attention_mask: (b, n); None: all ids but padding (all tokens where there are no ids).
        global_attention_mask: (b, n), reaches the encoder; None: none.
        decoder_input_ids: (b, t), the prompt; the start token is put in front where no row begins with it. None: the
            start token.
        decoder_attention_mask: (b, t) of the prompt; new tokens are real. None: all real.
        head_mask, decoder_head_mask, cross_attn_head_mask: (layers, heads).
        uniforms: for sampling, see `decode`.

    Raises:
        ValueError, TypeError: "<argument>: expected ..., got ...".
    """
    if encoder_outputs is None:
        shape = check_ids("input_ids", input_ids, None, config.vocab_size).shape
    else:
        shape = encoder_outputs.last_hidden_state.shape[:2]
    start = config.decoder_start_token_id
    if generation.decoder_start_token_id is not None:
        start = generation.decoder_start_token_id
    prompts = np.full((shape[0], 1), start)
    if decoder_input_ids is not None:
        given = check_ids("decoder_input_ids", decoder_input_ids, None, config.vocab_size)
        if len(given) != shape[0]:
            raise ValueError(f"decoder_input_ids: expected a batch of {shape[0]}, got {len(given)}")
        real_prompts = check_mask("decoder_attention_mask", decoder_attention_mask, given.shape, default=True)
        in_front = (given[:, 0] != start).all()
        prompts = np.concatenate([prompts, given], axis=1) if in_front else given
        real_prompts = extended(real_prompts, prompts.shape[1], in_front=True)
    else:
        real_prompts = check_mask("decoder_attention_mask", decoder_attention_mask, prompts.shape, default=True)
    rules = rules_for(generation, config, prompts.shape[1])
    if input_ids is not None:
        attention_mask = real_by_default(attention_mask, input_ids, rules)
    real = check_mask("attention_mask", attention_mask, shape, default=True)
    flagged = check_mask("global_attention_mask", global_attention_mask, shape, default=False)

    def encoded(part: slice) -> EncoderOutput:
        if encoder_outputs is not None:
            return EncoderOutput(encoder_outputs.last_hidden_state[part], hidden_states=())
        assert input_ids is not None
        return led_encoder(
            state,
            config,
            input_ids[part],
            attention_mask=real[part],
            global_attention_mask=flagged[part],
            head_mask=head_mask,
            prefix=PREFIX,
        )

    def row_logits(row: int) -> NextLogits:
        part = slice(row, row + 1)
        states = encoded(part)

        def next_logits(ids: Sequence[int]) -> Float:
            decoder_real = extended(real_prompts[part], len(ids))
            return led_conditional_generation(
                state,
                config,
                encoder_outputs=states,
                attention_mask=real[part],
                decoder_input_ids=np.array([ids]),
                decoder_attention_mask=decoder_real,
                decoder_head_mask=decoder_head_mask,
                cross_attn_head_mask=cross_attn_head_mask,
            ).logits[0, -1]

        return next_logits

    return decode([row_logits(row) for row in range(shape[0])], prompts, rules, uniforms)


def roberta_generate(
    state: State,
    config: XLMRobertaConfig,
    input_ids: Ids,
    generation: GenerationConfig,
    *,
    attention_mask: Array | None = None,
    head_mask: Array | None = None,
    encoder_hidden_states: Array | None = None,
    encoder_attention_mask: Array | None = None,
    uniforms: Array | None = None,
) -> Generated:
    """Continuations of prompts (b, t), padded on the left; positions are those of the tokens that are not padding.

    Args:
        input_ids: (b, t).
        attention_mask: (b, t); None: all ids but padding. New tokens are real.
        head_mask: (layers, heads).
        encoder_hidden_states, encoder_attention_mask: (b, n, D) and (b, n), of a decoder with cross-attention.
        uniforms: for sampling, see `decode`.

    Raises:
        ValueError, TypeError: "<argument>: expected ..., got ...", e.g. a configuration that is not a decoder's.
    """
    if not config.is_decoder:
        raise ValueError("config: expected is_decoder True, got False")
    check_ids("input_ids", input_ids, None, config.vocab_size)
    rules = rules_for(generation, config, input_ids.shape[1])
    real = check_mask("attention_mask", real_by_default(attention_mask, input_ids, rules), input_ids.shape, True)

    def row_logits(row: int) -> NextLogits:
        part = slice(row, row + 1)

        def next_logits(ids: Sequence[int]) -> Float:
            return roberta_causal_lm(
                state,
                config,
                np.array([ids]),
                attention_mask=extended(real[part], len(ids)),
                head_mask=head_mask,
                encoder_hidden_states=None if encoder_hidden_states is None else encoder_hidden_states[part],
                encoder_attention_mask=None if encoder_attention_mask is None else encoder_attention_mask[part],
            ).logits[0, -1]

        return next_logits

    return decode([row_logits(row) for row in range(len(input_ids))], input_ids, rules, uniforms)


def real_by_default(attention_mask: Array | None, input_ids: Ids, rules: Rules) -> Array:
    """The mask that was given, or all ids but padding; where padding is an end token too, nobody can tell: all."""
    if attention_mask is not None:
        return attention_mask
    return np.ones(input_ids.shape, dtype=bool) if rules.pad in rules.eos else input_ids != rules.pad


def extended(real: Bool, tokens: int, *, in_front: bool = False) -> Bool:
    """(b, t) -> (b, tokens): more real tokens, behind or in front."""
    more = np.ones((len(real), tokens - real.shape[1]), dtype=bool)
    return np.concatenate([more, real] if in_front else [real, more], axis=1)
