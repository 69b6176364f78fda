"""The reference's log-probabilities of sequences, by teacher forcing, with a bound on the error of another float64
implementation that sums them step by step."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from trueband.properties.bounds.bound import Bound, Float
from trueband.properties.bounds.led_variance import (
    Layer,
    led_decoder_layer_moments,
    led_embedding_bound,
    led_encoder_layer_moments,
)
from trueband.properties.bounds.precision import Precision
from trueband.properties.bounds.variance import SIGMAS, Moments, linear_moments
from trueband.properties.models.case import ModelCase
from trueband.properties.models.decoding import forced
from trueband.properties.models.from_start import encoder_logits
from trueband.properties.models.model import Arrays
from trueband.reference.config import LEDConfig
from trueband.reference.led_encoder import led_embed

PRECISION = Precision.of("float64")  # decoding is in float64 whatever the dtype of a case


class LogProbabilities(NamedTuple):
    """Attributes:
    value: (..., V), in float64.
    error: largest error of each, of the same shape.
    """

    value: Float
    error: Float


def log_probabilities(
    case: ModelCase, inputs: Arrays, before: np.ndarray, prompt: int | None = None
) -> LogProbabilities:
    """Return those of every next token, (rows, t, V), given the tokens before it (rows, t).

    Every row of the batch has the same number of rows. See `forced` for `prompt`.
    """
    return log_softmax(forced_logits(case, inputs, before, prompt))


def logits_errors(case: ModelCase, inputs: Arrays, before: np.ndarray) -> Float:
    """Return the largest error of every next token's logit, (rows, t, V), given the tokens before it."""
    return SIGMAS * np.sqrt(forced_logits(case, inputs, before).variance)


def log_softmax(logits: Moments) -> LogProbabilities:
    """y = z - m - log S, S = sum exp(z - m) over V tokens, with the error e of z at most 8 sigma:

    e + max e                              the logits; log-sum-exp moves by no more than the largest change
    u (V + sum_j p_j (4 |z_j - m| + 4))    the relative error of S, which is the absolute one of log S
    2 u (|z - m| + |log S| + |m| + |y|)    the logarithm and the differences, in any order
    """
    z, u = logits.value, PRECISION.accumulator
    top = z.max(axis=-1, keepdims=True)
    shifted = z - top
    weights = np.exp(shifted)
    total = weights.sum(axis=-1, keepdims=True)
    y = shifted - np.log(total)
    carried = SIGMAS * np.sqrt(logits.variance)
    argument = (PRECISION.exp_argument + 1) * np.abs(shifted) + PRECISION.exp_result
    summing = z.shape[-1] + (weights / total * argument).sum(axis=-1, keepdims=True)
    sizes = np.abs(shifted) + np.abs(np.log(total)) + np.abs(top) + np.abs(y)
    return LogProbabilities(y, carried + carried.max(axis=-1, keepdims=True) + u * summing + 2 * u * sizes)


def scores(steps: LogProbabilities, counted: np.ndarray, length_penalty: float) -> tuple[Float, Bound]:
    """Return log-probability / (tokens ** length_penalty) of each row, and its bound.

    Args:
        steps: the log-probabilities of the written tokens, (rows, t).
        counted: (rows, t) bool, True for those that count; each row has one.
    """
    u, tokens = PRECISION.accumulator, counted.sum(axis=1)
    divisor = tokens**length_penalty
    value = np.where(counted, steps.value, 0.0).sum(axis=1)
    sizes = np.where(counted, np.abs(steps.value), 0.0).sum(axis=1)
    terms = {
        "log-probabilities": np.where(counted, steps.error, 0.0).sum(axis=1) / divisor,
        "sum": u * tokens * sizes / divisor,
        "length penalty": 4 * u * sizes / divisor,  # the power within a unit in the last place, and the quotient
    }
    return value / divisor, Bound(terms)


def forced_logits(case: ModelCase, inputs: Arrays, before: np.ndarray, prompt: int | None = None) -> Moments:
    """Return logits with the variance of their error, carried from the embeddings; a hard bound counts as one sigma."""
    rows = forced(case, inputs, before, prompt)
    if case.architecture != "led":
        return encoder_logits(case.decoder.replace(dtype="float64"), rows, case.state)
    state, prefix, led = case.state, case.prefix, LEDConfig.from_dict(case.config)
    real, flagged = (inputs[name].astype(bool) for name in ("attention_mask", "global_attention_mask"))
    memory = _embedded(case, "encoder", inputs["input_ids"])
    for i in range(case.layers):
        layer = Layer(state, f"{prefix}encoder.layers.{i}", case.heads, PRECISION)
        memory = led_encoder_layer_moments(layer, memory, led.window(i), real, flagged)
    copies = len(before) // len(real)
    memory = Moments(*(np.repeat(array, copies, axis=0) for array in memory))
    real, own = np.repeat(real, copies, axis=0), rows["decoder_attention_mask"].astype(bool)
    x = _embedded(case, "decoder", before)
    for i in range(case.layers):
        layer = Layer(state, f"{prefix}decoder.layers.{i}", case.heads, PRECISION)
        x = led_decoder_layer_moments(layer, x, memory, own, real)
    return linear_moments(x, state[f"{prefix}shared.weight"], state["final_logits_bias"][0], PRECISION)


def _embedded(case: ModelCase, side: str, ids: np.ndarray) -> Moments:
    config = LEDConfig.from_dict(case.config)
    value = led_embed(case.state, case.prefix, side, config, ids, None, ids.shape[1])
    return Moments(value, led_embedding_bound(case.state, case.prefix, side, ids, PRECISION).total ** 2)
