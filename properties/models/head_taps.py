"""Judges the taps of a model with any head, one by one, as `taps` does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from trueband.properties.bounds.bound import Float
from trueband.properties.bounds.precision import Precision
from trueband.properties.bounds.variance import Moments, known, linear_moments, sigma_bound, tanh_moments
from trueband.properties.models.case import ModelCase
from trueband.properties.models.head_inputs import SEPARATOR, default_globals, head_inputs
from trueband.properties.models.model import Arrays
from trueband.properties.models.taps import judge_decoder_layers, judge_embeddings, judge_layers, judge_logits
from trueband.properties.models.weights import Weights
from trueband.properties.results.verdict import Verdict, judge
from trueband.reference.led_decoder import shift_right

ENDS = ("start", "end")


def judge_head(
    case: ModelCase, passed: Arrays, output: dict[str, Any], state: Weights | None = None
) -> Iterator[Verdict]:
    """Judge every tap from the ids to the logits of the head of a case.

    Args:
        passed: the inputs of the head, (b, n) also of choices.
        state: weights that the head should have computed with; None: those of the case.
    """
    inputs = read(case, passed)
    yield from judge_embeddings(case, inputs, output, state)
    yield from judge_layers(case, inputs, output, state)
    if case.architecture == "led":
        yield from judge_decoder_layers(case, inputs, output, state)
    if case.head == "lm":
        yield judge_logits(case, output, state)
    else:
        yield judge_head_logits(case, output, state)


def judge_head_logits(case: ModelCase, output: dict[str, Any], state: Weights | None = None) -> Verdict:
    """Judge the logits of a head that is no language model, from its last hidden states."""
    moments = _logits(case, case.state if state is None else state, output["hidden_states"][-1])
    computed = computed_logits(case, output)
    return judge(computed, moments.value, sigma_bound(moments), f"logits of the head {case.head}")


def computed_logits(case: ModelCase, output: dict[str, Any]) -> Float:
    """Return the logits of the head; those of start and end of an answer are side by side."""
    logits: Float = (
        output["logits"] if case.head != "qa" else np.stack([output[f"{end}_logits"] for end in ENDS], axis=-1)
    )
    return logits


def read(case: ModelCase, passed: Arrays) -> Arrays:
    """Return the inputs with the defaults of a model: its own global tokens, the decoder's ids."""
    inputs = dict(passed)
    if case.architecture != "xlm-roberta" and "global_attention_mask" not in inputs:
        none = case.architecture == "led" or case.head == "lm"
        own = np.zeros_like(inputs["attention_mask"]) if none else default_globals(case)
        inputs["global_attention_mask"] = own.astype(np.int64)
    if case.architecture == "led" and "decoder_input_ids" not in inputs:
        start = case.config["decoder_start_token_id"]
        inputs["decoder_input_ids"] = shift_right(inputs["input_ids"], case.pad_token_id, start)
    return inputs


def _logits(case: ModelCase, state: Weights, last: Float) -> Moments:
    """Return logits from the last hidden states (b, n, D): (b, C), (b, n, C), (1, choices), or (b, n, 2) for spans."""
    precision = Precision.of(case.dtype)
    if case.head == "qa":
        return _linear(state, "qa_outputs", known(last), precision)
    if case.head == "token":
        return _linear(state, "classifier", known(last), precision)
    if case.head == "choice":
        pooled = _tanh_dense(state, f"{case.prefix}pooler.dense", known(last[:, 0]), precision)
        scores = _linear(state, "classifier", pooled, precision)
        return Moments(scores.value.T, scores.variance.T)
    name, rows = "classifier", last[:, 0]
    if case.architecture == "led":
        ends = [int(np.flatnonzero(row == SEPARATOR)[-1]) for row in head_inputs(case)["input_ids"]]
        name, rows = "classification_head", last[np.arange(len(ends)), ends]
    return _linear(state, f"{name}.out_proj", _tanh_dense(state, f"{name}.dense", known(rows), precision), precision)


def _tanh_dense(state: Weights, name: str, x: Moments, precision: Precision) -> Moments:
    return tanh_moments(_linear(state, name, x, precision), precision)


def _linear(state: Weights, name: str, x: Moments, precision: Precision) -> Moments:
    return linear_moments(x, state[f"{name}.weight"], state[f"{name}.bias"], precision)
