"""XLM-RoBERTa of transformers 4.46: head masks, relative positions with and without a cache, pruned heads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from trueband.convert_source import FLOAT64
from trueband.golden.recorded import Recording, recorded
from trueband.properties.bounds import Bound
from trueband.properties.bounds.encoder_variance import lm_head_moments
from trueband.properties.bounds.variance import Moments, sigma_bound
from trueband.properties.verdict import judge
from trueband.reference.config import XLMRobertaConfig
from trueband.reference.pruning import prune_heads

KINDS = ("relative_key", "relative_key_query")
MASKED = ("roberta_head_mask", "roberta_cross_head_mask")
ENCODERS = ("roberta_head_mask", "roberta_cross_head_mask", *(f"roberta_{kind}" for kind in KINDS))
DECODERS = tuple(f"roberta_decoder_{kind}" for kind in KINDS)


def run(witness: Any, recording: Recording, **changes: Any) -> dict[str, np.ndarray]:
    inputs = {**recording.inputs, **changes.pop("inputs", {})}
    outputs: dict[str, np.ndarray] = witness(recording, recording.state, recording.config | changes, inputs)
    return outputs


def judge_states(outputs: dict[str, np.ndarray], recording: Recording, states: list[Moments]) -> list[bool]:
    return [
        judge(outputs[f"hidden_states.{i}"], recording.outputs[f"hidden_states.{i}"], sigma_bound(moments)).passed
        for i, moments in enumerate(states)
    ]


def judge_probabilities(
    outputs: dict[str, np.ndarray], recording: Recording, probabilities: list[dict[str, Moments]], kind: str
) -> list[bool]:
    part = {"attentions": "layer.self_attn", "cross_attentions": "layer.encoder_attn"}[kind]
    return [
        judge(outputs[f"{kind}.{i}"], recording.outputs[f"{kind}.{i}"], sigma_bound(each[part])).passed
        for i, each in enumerate(probabilities)
    ]


def logits_bound(recording: Recording, states: list[Moments]) -> Bound:
    config = XLMRobertaConfig.from_dict(recording.config)
    return sigma_bound(lm_head_moments(recording.state, "roberta.", config, states[-1], FLOAT64))


@pytest.mark.parametrize("name", [*ENCODERS, *DECODERS])
def test_hidden_states_and_attentions_are_the_recorded_ones(name: str, witness: Any, tools: Any) -> None:
    recording = recorded(name)
    states, probabilities = tools.roberta(recording, recording.inputs.get("head_mask"))
    outputs = run(witness, recording)
    assert judge_states(outputs, recording, states) == [True] * 3
    assert judge_probabilities(outputs, recording, probabilities, "attentions") == [True] * 2
    if "cross" in name:
        assert judge_probabilities(outputs, recording, probabilities, "cross_attentions") == [True] * 2


@pytest.mark.parametrize("name", MASKED)
def test_without_the_head_mask_they_are_missed(name: str, witness: Any, tools: Any) -> None:
    recording = recorded(name)
    states, probabilities = tools.roberta(recording, recording.inputs["head_mask"])
    outputs = run(witness, recording, inputs={"head_mask": np.ones((2, 4))})
    assert judge_states(outputs, recording, states) == [True, False, False]
    assert judge_probabilities(outputs, recording, probabilities, "attentions") == [False] * 2


@pytest.mark.parametrize("name", [*(f"roberta_{kind}" for kind in KINDS), *DECODERS])
def test_the_other_kind_of_relative_positions_is_missed(name: str, witness: Any, tools: Any) -> None:
    recording = recorded(name)
    states, _ = tools.roberta(recording, None)
    other = KINDS[name.endswith("relative_key")]
    outputs = run(witness, recording, position_embedding_type=other)
    assert judge_states(outputs, recording, states) == [True, False, False]


def test_the_pooler_of_a_model_with_masked_heads(witness: Any, tools: Any) -> None:
    """tanh does not spread errors: |tanh a - tanh b| <= |a - b|."""
    recording = recorded("roberta_head_mask")
    last = tools.roberta(recording, recording.inputs["head_mask"])[0][-1]
    weight = recording.state["pooler.dense.weight"].astype(np.float64)
    spread = 8 * np.sqrt(last.variance[:, 0] @ (weight**2).T)
    rounding = 32 * FLOAT64.accumulator * (np.abs(last.value[:, 0]) @ np.abs(weight).T + 1)
    bound = Bound({"last hidden states": spread, "rounding": rounding})
    verdict = judge(run(witness, recording)["pooler_output"], recording.outputs["pooler_output"], bound)
    assert verdict.passed, verdict


@pytest.mark.parametrize("name", [*DECODERS, "roberta_cross_head_mask"])
def test_logits_of_decoders(name: str, witness: Any, tools: Any) -> None:
    recording = recorded(name)
    states, _ = tools.roberta(recording, recording.inputs.get("head_mask"))
    verdict = judge(run(witness, recording)["logits"], recording.outputs["logits"], logits_bound(recording, states))
    assert verdict.passed, verdict


@pytest.mark.parametrize("name", DECODERS)
def test_cached_logits_with_relative_positions(name: str, tools: Any) -> None:
    """A prompt of 4 tokens, then 5 steps of one token: our cache against the peer's."""
    recording = recorded(name)
    states, _ = tools.roberta(recording, None)
    bound = logits_bound(recording, states)
    model = tools.model(recording, recording.state, recording.config)
    ids = torch.tensor(recording.inputs["input_ids"])
    with torch.no_grad():
        step = model(ids[:, :4], use_cache=True)
        logits = [step.logits]
        for i in range(4, 9):
            step = model(ids[:, i : i + 1], past_key_values=step.past_key_values, use_cache=True)
            logits.append(step.logits)
    cached = torch.cat(logits, dim=1).numpy()
    verdict = judge(cached, recording.outputs["cached_logits"], bound)
    assert verdict.passed, verdict
    assert judge(cached, recording.outputs["logits"], bound).passed
    with torch.no_grad():  # the wrong one: every step at distance 0
        alone = torch.cat([model(ids[:, i : i + 1], use_cache=True).logits for i in range(9)], dim=1).numpy()
    assert not judge(alone, recording.outputs["cached_logits"], bound).passed


def test_pruned_heads(witness: Any, tools: Any) -> None:
    """The peer's pruned weights are ours, bit for bit, and give its outputs."""
    recording = recorded("roberta_pruned")
    heads = {int(layer): each for layer, each in recording.metadata["heads"].items()}
    kept = np.ones((2, 4))
    for layer, gone in heads.items():
        kept[layer, gone] = 0
    theirs = {key.removeprefix("pruned_state."): array for key, array in recording.more.items()}
    ours, config = prune_heads(recording.state, XLMRobertaConfig.from_dict(recording.config), heads)
    assert ours.keys() == theirs.keys()
    assert [key for key in ours if not np.array_equal(ours[key], theirs[key])] == []
    states, _ = tools.roberta(recording, kept)
    outputs = witness(recording, theirs, recording.config | {"pruned_heads": config.pruned_heads}, recording.inputs)
    assert judge_states(outputs, recording, states) == [True] * 3
    assert [outputs[f"attentions.{i}"].shape[1] for i in range(2)] == [3, 2]
    assert judge_states(run(witness, recording), recording, states) == [True, False, False]  # with all heads
