"""LED against the float64 reference: mixed windows, globals, every kind of padding, head masks, every head."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from trueband.optimized import (
    LEDForConditionalGeneration,
    LEDForQuestionAnswering,
    LEDForSequenceClassification,
)
from trueband.properties.bounds import Precision
from trueband.properties.bounds.encoder_variance import squashed_moments
from trueband.properties.bounds.layer_variance import linear_of
from trueband.reference.led import led_conditional_generation
from trueband.reference.led_decoder import shift_right
from trueband.reference.led_heads import led_question_answering, led_sequence_classification

HEAD_MASKS = ("head_mask", "decoder_head_mask", "cross_attn_head_mask")


def arrays(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value.numpy() if isinstance(value, torch.Tensor) else value for name, value in options.items()}


def head_masks() -> dict[str, torch.Tensor]:
    sizes = {"head_mask": (2, 4), "decoder_head_mask": (2, 2), "cross_attn_head_mask": (2, 2)}
    return {name: torch.rand(size, dtype=torch.float64).round(decimals=1) for name, size in sizes.items()}


def named(output: Any, flat: Any) -> dict[str, Any]:
    """The reference's output as `flat` names it."""
    found: dict[str, Any] = {}
    for name, value in output._asdict().items():
        if isinstance(value, tuple):
            found |= {f"{name}.{i}": each for i, each in enumerate(value)}
        elif value is not None:
            found[name] = np.asarray(value)
    return found


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("masked_heads", [False, True], ids=["plain", "head-masks"])
def test_conditional_generation(
    led: Any,
    batch: Any,
    state_of: Any,
    moments_of: Any,
    sigmas: Any,
    same: Any,
    flat: Any,
    masked_heads: bool,
    dtype: str,
) -> None:
    model = led(LEDForConditionalGeneration)
    if dtype == "float32":
        model = model.float().double()  # weights of its grid
    options = {**batch.inputs, **batch.decoder, "labels": batch.labels}
    options |= head_masks() if masked_heads else {}
    ids = options.pop("input_ids")
    asked = {"output_attentions": True, "output_hidden_states": True}
    expected = named(
        led_conditional_generation(
            state_of(model), model.config, ids.numpy(), **arrays(options), output_attentions=True
        ),
        flat,
    )

    def run(model: Any) -> dict[str, torch.Tensor]:
        found: dict[str, torch.Tensor] = flat(model(ids, **options, **asked))
        return found

    carried = moments_of(model)
    moments = carried.whole({"input_ids": ids, **{k: v for k, v in options.items() if k != "labels"}}, dtype)
    bounds = carried.loss(sigmas(moments), moments, batch.labels, dtype)
    ours = run(model.float() if dtype == "float32" else model)
    same(ours, expected, bounds)
    if masked_heads:
        plain = model(ids, **{name: value for name, value in options.items() if name not in HEAD_MASKS})
        assert not torch.equal(plain.logits, ours["logits"])


def test_question_answering(
    led: Any, batch: Any, state_of: Any, moments_of: Any, sigmas: Any, same: Any, flat: Any
) -> None:
    """Positions behind the last token do not count, negative ones are token 0."""
    model = led(LEDForQuestionAnswering)
    options = {
        "attention_mask": batch.mask,
        "start_positions": torch.tensor([0, 3, 99, -1]),
        "end_positions": torch.tensor([1, 12, 5, 8]),
    }
    expected = led_question_answering(state_of(model), model.config, batch.ids.numpy(), **arrays(options))

    def run(model: Any) -> dict[str, torch.Tensor]:
        found = flat(model(batch.ids, **options))
        return {name: found[name] for name in ("loss", "start_logits", "end_logits")}

    read = shift_right(batch.ids.numpy(), 1, 2)
    given = {"input_ids": batch.ids, "attention_mask": batch.mask, "decoder_input_ids": torch.tensor(read)}
    carried = moments_of(model)
    moments = carried.whole(given, "float64")
    bounds = carried.span_loss(sigmas(moments), moments)
    same(run(model), {k: v for k, v in named(expected, flat).items() if k in run(model)}, bounds)


LABELS: dict[str, tuple[dict[str, Any], torch.Tensor]] = {
    "single label": ({"num_labels": 3}, torch.tensor([0, 2, 1, 1])),
    "several labels": ({"num_labels": 3}, torch.tensor([[0.0, 1, 1], [1, 0, 0], [0, 0, 0], [1, 1, 1]])),
    "regression": ({"num_labels": 1}, torch.tensor([0.5, -1, 2, 0])),
    "regression of two": ({"num_labels": 2, "problem_type": "regression"}, torch.tensor([[0.5, 1]] * 4)),
}


@pytest.mark.parametrize("name", LABELS, ids=lambda name: name.replace(" ", "-"))
def test_sequence_classification(
    led: Any, batch: Any, state_of: Any, moments_of: Any, sigmas: Any, same: Any, classification_bound: Any, name: str
) -> None:
    """On the last end token. transformers 5 no longer has this model: the keys are those of 4."""
    changed, labels = LABELS[name]
    model = led(LEDForSequenceClassification, **changed)
    heads = {key for key in model.state_dict() if not key.startswith("led.")}
    assert heads == {f"classification_head.{part}.{k}" for part in ("dense", "out_proj") for k in ("weight", "bias")}
    batch.ids[0, [3, 8]] = batch.ids[1, [5, 12]] = batch.ids[2, [0, 6]] = batch.ids[3, [1, 11]] = 2
    expected = led_sequence_classification(
        state_of(model), model.config, batch.ids.numpy(), attention_mask=batch.mask.numpy(), labels=labels.numpy()
    )

    def run(model: Any) -> dict[str, torch.Tensor]:
        output = model(batch.ids, batch.mask, labels=labels)
        return {"logits": output.logits, "loss": output.loss}

    theirs = {"logits": expected.logits, "loss": np.asarray(expected.loss)}
    read = shift_right(batch.ids.numpy(), 1, 2)
    given = {"input_ids": batch.ids, "attention_mask": batch.mask, "decoder_input_ids": torch.tensor(read)}
    state, precision = state_of(model), Precision.of("float64")
    last = [int(np.flatnonzero(row)[-1]) for row in batch.ids.numpy() == 2]
    features = moments_of(model).whole(given, "float64")["last_hidden_state"].at((np.arange(4), last))
    squashed = squashed_moments(state, "classification_head.dense", features, precision)
    bounds = sigmas({"logits": linear_of(state, "classification_head.out_proj", squashed, precision)})
    bounds["loss"] = classification_bound(expected.logits, labels.numpy(), precision, bounds["logits"])
    same(run(model), theirs, bounds)
