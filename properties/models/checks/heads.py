"""Checks of the heads for classification, choice and question answering, and of their losses."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from trueband.properties.bounds.bound import Bound, Float
from trueband.properties.bounds.encoder_variance import longformer_layer_moments
from trueband.properties.bounds.precision import Precision
from trueband.properties.bounds.variance import sigma_bound
from trueband.properties.models.case import HEADS, ModelCase
from trueband.properties.models.check import ModelProbe, model_check
from trueband.properties.models.head_inputs import default_globals, head_inputs, labels
from trueband.properties.models.head_taps import computed_logits, judge_head_logits
from trueband.properties.models.taps import judge_embeddings, judge_logits
from trueband.properties.results.verdict import Verdict, judge
from trueband.reference.config import LEDConfig, LongformerConfig
from trueband.reference.led_decoder import shift_right
from trueband.reference.longformer import longformer_layer
from trueband.reference.losses import classification_loss, cross_entropy, span_loss, token_loss


@model_check(
    "the logits of every head are those of its last hidden states, and the loss that of its logits", about="heads"
)
def check_heads(probe: ModelProbe) -> Iterator[Verdict]:
    """Bounded: logits and losses are computed numbers, of the model's own last states."""
    for head in HEADS[probe.case.architecture]:
        case = with_head(probe.case, head)
        output = probe.head(case, {**head_inputs(case), **labels(case)})
        if head == "lm":
            yield from _language_model(case, output)
            continue
        yield judge_head_logits(case, output)
        computed = computed_logits(case, output)
        expected = np.asarray(_loss(case, computed))
        yield judge(output["loss"], expected, _loss_bound(computed, case, probe.precision), f"loss of the head {head}")


def _language_model(case: ModelCase, output: dict[str, Any]) -> Iterator[Verdict]:
    """Judge the language model; without ids of its own LED's decoder reads the labels, shifted to the right."""
    if case.architecture == "led":
        config = LEDConfig.from_dict(case.config)
        shifted = shift_right(labels(case)["labels"], config.pad_token_id, config.decoder_start_token_id)
        yield from judge_embeddings(case, {**case.inputs, "decoder_input_ids": shifted}, output)
    yield judge_logits(case, output)
    logits = output["logits"]
    yield judge(
        output["loss"],
        np.asarray(_loss(case, logits)),
        _loss_bound(logits, case, Precision.of(case.dtype)),
        "loss of the language model",
    )


@model_check("the heads of Longformer make their tokens global by themselves", ("longformer",), about="heads")
def check_default_globals(probe: ModelProbe) -> Iterator[Verdict]:
    """Bounded: the layers are judged by the reference, fed their own input under the mask that the head should make."""
    for head in HEADS["longformer"][1:]:
        case = with_head(probe.case, head)
        config, flagged = LongformerConfig.from_dict(case.config), default_globals(case)
        for i, (entering, leaving) in enumerate(pairwise(probe.head(case, head_inputs(case))["hidden_states"])):
            name, window = f"{case.prefix}encoder.layer.{i}", config.window(i)
            expected = longformer_layer(
                case.state,
                name,
                config,
                entering,
                window=window,
                attention_mask=case.real,
                global_attention_mask=flagged,
            )
            moments = longformer_layer_moments(
                case.state, name, config, entering, window, case.real, flagged, probe.precision
            )
            yield judge(leaving, expected, sigma_bound(moments), f"layer {i} under the head {head}")


def with_head(case: ModelCase, head: str) -> ModelCase:
    """Return the case with a head and enough tokens for it, none of them masked where separators stand."""
    tokens = max(case.tokens, 6)
    masked = case.masked if case.architecture == "xlm-roberta" else tuple(() for _ in range(case.batch))
    return case.replace(head=head, tokens=tokens, masked=masked, global_=tuple(() for _ in range(case.batch)))


def _loss(case: ModelCase, logits: Float) -> float:
    """Return the reference's loss of the candidate's own logits."""
    targets: dict[str, Any] = labels(case)
    loss: float | None
    if case.head == "qa":
        loss = span_loss(logits[..., 0], logits[..., 1], targets["start_positions"], targets["end_positions"])
    elif case.head == "choice":
        loss = cross_entropy(logits, targets["labels"])
    elif case.head == "token":
        loss = token_loss(logits, targets["labels"], case.config["num_labels"])
    elif case.head == "lm":
        loss = token_loss(logits, targets["labels"], case.config["vocab_size"], next_token=case.causal)
    else:
        loss = classification_loss(logits, targets["labels"], case.config["num_labels"], case.config["problem_type"])
    assert loss is not None
    return loss


def _loss_bound(logits: Float, case: ModelCase, precision: Precision) -> Bound:
    """Return the bound on a mean of losses: cross-entropies, squares, or binary cross-entropies.

    With N numbers in all, s their spread and u the accumulator's roundoff: no term of any of the three is larger than
    t = (s + |label| + log N)^2 + s + log N + 1, is the result of fewer than N + 16 roundings, and the mean adds N.
    """
    label = max(float(np.abs(array).max()) if array.dtype == np.float64 else 0.0 for array in labels(case).values())
    count, spread = logits.size, float(np.abs(logits).max()) * 2
    term = (spread + label + math.log(count)) ** 2 + spread + math.log(count) + 1
    return Bound({"rounding": np.asarray((2 * count + 16) * precision.accumulator * term)})
