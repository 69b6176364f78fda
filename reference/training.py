"""A training step of the models with any head: loss, and the gradient of every weight, in float64.

dL/dw is composed of the vector-Jacobian products of `layers_vjp`, `full_attention_vjp`, `encoder_vjp`, `led_vjp`,
`heads_vjp` and `losses_vjp`. Rows of padding in tables of words and of RoBERTa's positions are never trained: their
lookups add nothing. Inputs are taken as the models of `roberta`, `longformer` and `led` check them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from trueband.reference.arguments import Float
from trueband.reference.config import LEDConfig, LongformerConfig, XLMRobertaConfig
from trueband.reference.dropout import Keep, keep_all
from trueband.reference.encoder_vjp import encode
from trueband.reference.heads import fold_choices
from trueband.reference.heads_vjp import classification_head, lm_head, tied_head, token_head
from trueband.reference.layers import State
from trueband.reference.layers_vjp import Gradients, Vjp, linear
from trueband.reference.led import PREFIX as LED_PREFIX
from trueband.reference.led_decoder import shift_right
from trueband.reference.led_heads import last_end
from trueband.reference.led_vjp import led_decode, led_encode
from trueband.reference.longformer_heads import behind_the_question, first_separator
from trueband.reference.losses_vjp import (
    LossAndGradient,
    classification_loss,
    cross_entropy,
    next_token_cross_entropy,
    span_loss,
)


class Training(NamedTuple):
    """Attributes:
    loss: mean over what counts.
    logits: as the head gives them; of start and end of an answer (b, n, 2).
    hidden_states: after the embeddings and each layer, of LED's decoder.
    encoder_hidden_states: of LED, else None.
    gradients: dL/dw by the Hub's names, of every weight; 0 where the loss does not depend on it.
    words: dL/d(embeddings of the words that the encoder, or the only stack, reads), (b, n, D).
    """

    loss: Any
    logits: Float
    hidden_states: list[Float]
    encoder_hidden_states: list[Float] | None
    gradients: Gradients
    words: Float


def encoder_training(
    state: State,
    config: XLMRobertaConfig | LongformerConfig,
    head: str,
    inputs: dict[str, Any],
    keep: Keep = keep_all,
) -> Training:
    """A step of XLM-RoBERTa or Longformer.

    Args:
        state: weights under the Hub's names, those of the model under "roberta." or "longformer.".
        head: "lm" (causal for a decoder), "sequence", "token", "choice" or "qa".
        inputs: of the head, labels included; arrays.
        keep: dropout; in heads of the kind "head", at "classifier" (what it reads; of a choice, the pooled token) and
            at "classifier.dense" (inside that of sequences).
    """
    prefix = "longformer." if isinstance(config, LongformerConfig) else "roberta."
    given = dict(inputs)
    labels = [given.pop(name) for name in ("labels", "start_positions", "end_positions") if name in given]
    choices = 0
    if head == "choice":
        choices, given = fold_choices(given.pop("input_ids", None), given)
    if isinstance(config, LongformerConfig) and given.get("global_attention_mask") is None:
        given["global_attention_mask"] = default_globals(config, head, given["input_ids"])
    states, body_vjp = encode(state, config, given, keep, prefix)
    logits, head_vjp = _head(state, config, head, states[-1], prefix, keep)
    if head == "choice":
        loss, dlogits = cross_entropy(logits.reshape(-1, choices), labels[0])
    else:
        loss, dlogits = _loss(config, head, logits, labels)
    gradients = Gradients()
    words = body_vjp(head_vjp(dlogits.reshape(logits.shape), gradients), gradients)
    shown = logits.reshape(-1, choices) if head == "choice" else logits
    return Training(loss, shown, states, None, _every(state, gradients), words)


def led_training(state: State, config: LEDConfig, head: str, inputs: dict[str, Any], keep: Keep = keep_all) -> Training:
    """A step of LED; arguments as in `encoder_training`, heads "lm", "sequence" and "qa"."""
    given = dict(inputs)
    labels = [given.pop(name) for name in ("labels", "start_positions", "end_positions") if name in given]
    pad, start = config.pad_token_id, config.decoder_start_token_id
    encoder_words: dict[str, Any] = {name: given[name] for name in ("input_ids", "inputs_embeds") if name in given}
    decoder_words: dict[str, Any] = {
        name: given[f"decoder_{name}"] for name in ("input_ids", "inputs_embeds") if f"decoder_{name}" in given
    }
    if not decoder_words:
        decoder_words["input_ids"] = shift_right(labels[0] if head == "lm" else given["input_ids"], pad, start)
    shape = next(iter(encoder_words.values())).shape[:2]
    real = np.asarray(given.get("attention_mask", np.ones(shape)), dtype=bool)
    flagged = np.asarray(given.get("global_attention_mask", np.zeros(shape)), dtype=bool)
    encoder_states, encoder_vjp = led_encode(state, config, encoder_words, real, flagged, keep, LED_PREFIX)
    target_mask = given.get("decoder_attention_mask")
    target_real = None if target_mask is None else np.asarray(target_mask, dtype=bool)
    states, decoder_vjp = led_decode(
        state, config, decoder_words, encoder_states[-1], target_real, real, keep, LED_PREFIX
    )
    logits, head_vjp = _led_head(state, config, head, states[-1], given, keep)
    loss, dlogits = _loss(config, head, logits, labels)
    gradients = Gradients()
    _, dencoded = decoder_vjp(head_vjp(dlogits, gradients), gradients)
    words = encoder_vjp(dencoded, gradients)
    return Training(loss, logits, states, encoder_states, _every(state, gradients), words)


def training_of(architecture: str) -> Callable[..., Training]:
    """The step of "xlm-roberta", "longformer" or "led"."""
    return led_training if architecture == "led" else encoder_training


def default_globals(config: LongformerConfig, head: str, ids: Any) -> Any:
    """(b, n): the tokens that a head of Longformer makes global (paper, section 4)."""
    flagged = np.zeros(ids.shape, dtype=bool)
    if head == "sequence":
        flagged[:, 0] = True
    elif head == "qa":
        flagged = np.arange(ids.shape[1]) < first_separator(ids, config.sep_token_id)[:, None]
    elif head == "choice":
        flagged = behind_the_question(ids, config.sep_token_id)
    return flagged


def _head(state: State, config: Any, head: str, last: Float, prefix: str, keep: Keep) -> tuple[Float, Vjp]:
    first, token = np.zeros(last.shape[0], dtype=int), (last.shape[0], last.shape[2])
    if head == "lm":
        return lm_head(state, last, config.layer_norm_eps, prefix)
    if head == "sequence":
        kept = keep("classifier", "head", token), keep("classifier.dense", "head", token)
        return classification_head(state, "classifier.dense", "classifier.out_proj", last, first, *kept)
    if head == "choice":
        kept = 1.0, keep("classifier", "head", token)
        return classification_head(state, f"{prefix}pooler.dense", "classifier", last, first, *kept)
    if head == "token":
        return token_head(state, "classifier", last, keep("classifier", "head", last.shape))
    return linear(state, "qa_outputs", last)


def _led_head(
    state: State, config: LEDConfig, head: str, last: Float, given: dict[str, Any], keep: Keep
) -> tuple[Float, Vjp]:
    if head == "lm":
        own = "lm_head.weight"
        table = own if own in state else f"{LED_PREFIX}shared.weight"
        return tied_head(state, table, "final_logits_bias", last)
    if head == "sequence":
        name, token = "classification_head", (last.shape[0], last.shape[2])
        kept = keep("classifier", "head", token), keep("classifier.dense", "head", token)
        at = last_end(config, given["input_ids"])
        return classification_head(state, f"{name}.dense", f"{name}.out_proj", last, at, *kept)
    return linear(state, "qa_outputs", last)


def _loss(config: Any, head: str, logits: Float, labels: list[Any]) -> LossAndGradient:
    if head == "qa":
        return span_loss(logits, *labels)
    if head == "sequence":
        return classification_loss(logits, labels[0], config.num_labels, config.problem_type)
    if head == "lm" and getattr(config, "is_decoder", False):
        return next_token_cross_entropy(logits, labels[0])
    return cross_entropy(logits, labels[0])


def _every(state: State, gradients: Gradients) -> Gradients:
    """With 0 for weights that nothing has used."""
    for name in state:
        if name not in gradients:
            gradients.add(name, np.zeros(state[name].shape))
    return gradients
