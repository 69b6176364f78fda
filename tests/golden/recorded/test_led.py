"""LED of transformers 4.46: head masks of encoder, decoder and cross-attention; sequence classification."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from trueband.convert_source import FLOAT64
from trueband.golden.recorded import Recording, recorded
from trueband.properties.bounds import Bound
from trueband.properties.bounds.variance import Moments, linear_moments, sigma_bound
from trueband.properties.verdict import judge

HEAD_MASKS = ("head_mask", "decoder_head_mask", "cross_attn_head_mask")


def judge_states(outputs: dict[str, np.ndarray], recording: Recording, side: str, states: list[Moments]) -> list[bool]:
    name = f"{side}_hidden_states"
    return [
        judge(outputs[f"{name}.{i}"], recording.outputs[f"{name}.{i}"], sigma_bound(moments)).passed
        for i, moments in enumerate(states)
    ]


def shifted(ids: np.ndarray) -> np.ndarray:
    return np.concatenate([np.full((len(ids), 1), 2), ids[:, :-1]], axis=1)


def test_head_masks(witness: Any, tools: Any) -> None:
    recording = recorded("led_head_masks")
    encoder, decoder = tools.led(recording, recording.inputs["decoder_input_ids"])
    outputs = witness(recording, recording.state, recording.config, recording.inputs)
    assert judge_states(outputs, recording, "encoder", encoder) == [True] * 3
    assert judge_states(outputs, recording, "decoder", decoder) == [True] * 3
    words, bias = recording.state["led.shared.weight"], recording.state["final_logits_bias"][0]
    logits = linear_moments(decoder[-1], words.astype(np.float64), bias.astype(np.float64), FLOAT64)
    verdict = judge(outputs["logits"], recording.outputs["logits"], sigma_bound(logits))
    assert verdict.passed, verdict


@pytest.mark.parametrize("name", HEAD_MASKS)
def test_without_one_of_the_head_masks_the_recording_is_missed(name: str, witness: Any, tools: Any) -> None:
    recording = recorded("led_head_masks")
    encoder, decoder = tools.led(recording, recording.inputs["decoder_input_ids"])
    inputs = recording.inputs | {name: np.ones_like(recording.inputs[name])}
    outputs = witness(recording, recording.state, recording.config, inputs)
    in_the_encoder = name == "head_mask"
    expected = [True, False, False] if in_the_encoder else [True] * 3
    assert judge_states(outputs, recording, "encoder", encoder) == expected
    assert judge_states(outputs, recording, "decoder", decoder) == [True, False, False]


@pytest.mark.parametrize(
    "kind", ["encoder_attentions", "encoder_global_attentions", "decoder_attentions", "cross_attentions"]
)
def test_attentions_hold_the_head_mask(kind: str, witness: Any) -> None:
    """A head that is masked out has probabilities 0, one that is halved sums to a half."""
    recording = recorded("led_head_masks")
    outputs = witness(recording, recording.state, recording.config, recording.inputs)
    name = {"decoder_attentions": "decoder_head_mask", "cross_attentions": "cross_attn_head_mask"}.get(
        kind, "head_mask"
    )
    axis = -2 if kind == "encoder_global_attentions" else -1
    for i, mask in enumerate(recording.inputs[name]):
        ours, theirs = outputs[f"{kind}.{i}"], recording.outputs[f"{kind}.{i}"]
        assert ours.shape == theirs.shape
        sums = ours.sum(axis=axis)  # (b, h, rows)
        # Rows of global and of padded tokens are 0 in the encoder's, as are the columns of missing global tokens.
        full = np.abs(theirs).sum(axis=axis) != 0
        if kind == "encoder_global_attentions":
            full[1, :, 1:] = False  # the second text has one global token: ours is 0 there, the peer's is not
        expected = np.where(full, mask[None, :, None], 0.0)
        rounding = Bound({"rounding": np.full(sums.shape, ours.shape[axis] * 8 * FLOAT64.accumulator)})
        verdict = judge(sums, expected, rounding)
        assert verdict.passed, verdict


def test_sequence_classification(witness: Any, tools: Any) -> None:
    recording = recorded("led_sequence_classification")
    ids = recording.inputs["input_ids"]
    encoder, decoder = tools.led(recording, shifted(ids))
    outputs = witness(recording, recording.state, recording.config, recording.inputs)
    assert judge_states(outputs, recording, "encoder", encoder) == [True] * 3
    assert judge_states(outputs, recording, "decoder", decoder) == [True] * 3
    logits = classified(recording, decoder[-1], ids)
    verdict = judge(outputs["logits"], recording.outputs["logits"], sigma_bound(logits))
    assert verdict.passed, verdict
    worst = 2 * sigma_bound(logits).total.max() + 64 * FLOAT64.accumulator  # an error of a logit counts twice at most
    loss = judge(outputs["loss"], recording.outputs["loss"], Bound({"logits": np.array(worst)}))
    assert loss.passed, loss
    # The wrong one: an end token more in the text moves the token that is classified.
    moved = ids.copy()
    moved[0, 4] = moved[1, 4] = 2
    assert not judge(classified(recording, decoder[-1], moved, last=False).value, recording.outputs["logits"],
                     sigma_bound(logits)).passed  # fmt: skip


def classified(recording: Recording, states: Moments, ids: np.ndarray, last: bool = True) -> Moments:
    """The head on the state of the last (or first) end token; |tanh a - tanh b| <= |a - b|."""
    places = [np.flatnonzero(row == 2)[-1 if last else 0] for row in ids]
    rows = np.arange(len(ids)), np.array(places)
    state = {key: array.astype(np.float64) for key, array in recording.state.items() if "classification" in key}
    x = Moments(states.value[rows], states.variance[rows])
    name = "classification_head"
    dense = linear_moments(x, state[f"{name}.dense.weight"], state[f"{name}.dense.bias"], FLOAT64)
    curved = Moments(np.tanh(dense.value), dense.variance + (4 * FLOAT64.accumulator) ** 2)
    return linear_moments(curved, state[f"{name}.out_proj.weight"], state[f"{name}.out_proj.bias"], FLOAT64)
