"""Goldens of another library: both witnesses give its outputs, and named faults miss them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from trueband.golden.recordings.peer import config_of, part_of, pruned, reference_outputs, run_peer
from trueband.golden.recordings.peer_moments import judged_outputs
from trueband.golden.runners import Context, run_golden
from trueband.golden.store import Golden, open_store
from trueband.properties.results.verdict import Verdict
from trueband.reference import led_heads
from trueband.reference.classes import FUNCTIONS
from trueband.reference.led_heads import last_end
from trueband.reference.pruning import prune_heads
from trueband.witnesses.building import build
from trueband.witnesses.families import context_of

STORE = open_store()
PEERS = [name for name in STORE if STORE.index[name]["kind"] == "peer"]
FIVE = [name for name in PEERS if name.startswith("peer_5_")]
LARGEST_SUM = 2_000_000  # bytes


def test_there_are_recordings_of_both_releases() -> None:
    versions = {name: STORE.golden(name).metadata.details["transformers"] for name in PEERS}
    assert {versions[name] for name in PEERS if name not in FIVE} == {"4.46.3"}
    assert {versions[name] for name in FIVE} == {"5.23.0"}
    assert {STORE.golden(name).metadata.model_class for name in PEERS} == set(FUNCTIONS) - {
        "LongformerModel",
        "LEDModel",
        "LongformerForMultipleChoice",
        "XLMRobertaForMultipleChoice",
    }
    assert sum((STORE.folder / STORE.index[name]["file"]).stat().st_size for name in PEERS) < LARGEST_SUM


@pytest.mark.parametrize("witness", ["reference", "optimized"])
@pytest.mark.parametrize("name", PEERS)
def test_both_witnesses_pass(name: str, witness: str) -> None:
    record = run_golden(STORE.golden(name), context_of(witness))
    assert record.passed, record.detail


@pytest.mark.parametrize("name", FIVE)
def test_losses_are_judged(name: str) -> None:
    """The wrong witness: a loss that is off by one part in a thousand, everything else being right."""

    def wrong(*arguments: Any) -> dict[str, np.ndarray]:
        found = reference_outputs(*arguments)
        return found | {"loss": found["loss"] * 1.001} if "loss" in found else found

    outcome = run_peer(STORE.golden(name), Context("wrong", {"peer": wrong}))
    assert not outcome.passed
    assert outcome.detail.startswith("loss[]")


Change = Callable[[dict[str, Any], dict[str, np.ndarray]], tuple[dict[str, Any], dict[str, np.ndarray]]]


def of_ones(*names: str) -> Change:
    """Masks that mask nothing."""
    return lambda config, inputs: (config, inputs | {name: np.ones_like(inputs[name]) for name in names})


def with_config(**changes: Any) -> Change:
    return lambda config, inputs: (config | changes, inputs)


# A fault, the golden, the first output that is wrong, and what the witness is given in the place of the golden's.
FAULTS: dict[str, tuple[str, str, Change]] = {
    "global flags are dropped": (
        "peer_5_longformer_maskedlm",
        "hidden_states.1",
        lambda config, inputs: (config, inputs | {"global_attention_mask": np.zeros_like(inputs["input_ids"])}),
    ),
    "padding is attended": (
        "peer_5_xlmroberta_tokenclassification",
        "hidden_states.1",
        of_ones("attention_mask"),
    ),
    "the window is that of one side": (
        "peer_5_led_question_answering",
        "encoder_hidden_states.1",
        with_config(attention_window=[8, 8]),
    ),
    "padding of the decoder is attended": (
        "peer_5_led_question_answering",
        "decoder_hidden_states.1",
        of_ones("decoder_attention_mask"),
    ),
    "a decoder sees what follows": ("peer_5_xlmroberta_causallm", "hidden_states.1", with_config(is_decoder=False)),
    "head masks are swallowed": ("peer_4_roberta_head_mask", "hidden_states.1", of_ones("head_mask")),
    "head masks of a decoder are swallowed": (
        "peer_4_roberta_cross_head_mask",
        "hidden_states.1",
        of_ones("head_mask"),
    ),
    "LED's head masks are swallowed, encoder": (
        "peer_4_led_head_masks",
        "encoder_hidden_states.1",
        of_ones("head_mask"),
    ),
    "LED's head masks are swallowed, decoder": (
        "peer_4_led_head_masks",
        "decoder_hidden_states.1",
        of_ones("decoder_head_mask"),
    ),
    "LED's head masks are swallowed, cross-attention": (
        "peer_4_led_head_masks",
        "decoder_hidden_states.1",
        of_ones("cross_attn_head_mask"),
    ),
    **{
        f"the other kind of relative positions{', decoder' if part else ''}: {other}": (
            f"peer_4_roberta_{part}{kind}",
            "hidden_states.1",
            with_config(position_embedding_type=other),
        )
        for part in ("", "decoder_")
        for kind, other in (("relative_key", "relative_key_query"), ("relative_key_query", "relative_key"))
    },
}


@pytest.mark.parametrize("witness", ["reference", "optimized"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_seen(fault: str, witness: str) -> None:
    name, first, change = FAULTS[fault]
    right = context_of(witness).witness("peer")

    def wrong(model_class: str, config: Any, state: Any, inputs: Any, *more: Any) -> dict[str, np.ndarray]:
        changed, given = change(config, inputs)
        found: dict[str, np.ndarray] = right(model_class, changed, state, given, *more)
        return found

    outcome = run_peer(STORE.golden(name), Context("wrong", {"peer": wrong}))
    assert not outcome.passed
    assert outcome.detail.startswith(f"{first} at [")
    assert "EXCEEDS" in outcome.detail


@pytest.mark.parametrize("name", [name for name in PEERS if "longformer" in name or "led" in name])
def test_slots_of_missing_global_tokens_must_hold_0(name: str) -> None:
    """The wrong witness fills them as the peer does; nothing else is wrong."""
    golden = STORE.golden(name)

    def wrong(*arguments: Any) -> dict[str, np.ndarray]:
        found = reference_outputs(*arguments)
        recorded = part_of(golden, "output")
        return found | {key: recorded[key] for key in found if "global_attentions" in key}

    outcome = run_peer(golden, Context("wrong", {"peer": wrong}))
    assert not outcome.passed
    assert "global_attentions.0 at [" in outcome.detail


def test_every_recorded_output_is_judged() -> None:
    """Ids are compared exactly, and logits of a cache below."""
    for name in PEERS:
        golden = STORE.golden(name)
        recorded = part_of(golden, "output")
        assert {array.dtype.name for array in part_of(golden, "state").values()} == {"float32"}
        if name not in FIVE:
            assert {array.dtype.name for array in recorded.values()} == {"float64"}
        verdicts = judged(golden, recorded, recorded)
        assert recorded.keys() - {verdict.what for verdict in verdicts} <= {"sequences", "cached_logits"}


def judged(golden: Golden, given: dict[str, np.ndarray], recorded: dict[str, np.ndarray]) -> list[Verdict]:
    told = golden.metadata
    assert told.model_class is not None
    config, state = pruned(golden)
    settings = config_of(told.model_class, config)
    return list(judged_outputs(told.model_class, settings, state, golden.inputs, given, recorded))


@pytest.mark.parametrize("kind", ["relative_key", "relative_key_query"])
def test_cached_logits_with_relative_positions(kind: str) -> None:
    """A prompt of 4 tokens, then 5 steps of one token: our cache against the peer's. The wrong one: no cache."""
    golden = STORE.golden(f"peer_4_roberta_decoder_{kind}")
    config, state = pruned(golden)
    model = build("XLMRobertaForCausalLM", config, state, "float64")
    ids = torch.tensor(golden.inputs["input_ids"])
    with torch.no_grad():
        step = model(ids[:, :4], use_cache=True)
        logits = [step.logits]
        for i in range(4, 9):
            step = model(ids[:, i : i + 1], past_key_values=step.past_key_values, use_cache=True)
            logits.append(step.logits)
        alone = [model(ids[:, i : i + 1], use_cache=True).logits for i in range(9)]
    recorded = {"logits": part_of(golden, "output")["cached_logits"]}
    for steps, passed in ((logits, True), (alone, False)):
        (verdict,) = judged(golden, {"logits": torch.cat(steps, dim=1).numpy()}, recorded)
        assert verdict.passed == passed, verdict


def test_pruned_heads() -> None:
    """The peer's pruned weights are ours, bit for bit; the wrong witness has all heads."""
    golden = STORE.golden("peer_4_roberta_pruned")
    config, theirs = pruned(golden)
    whole, state = golden.metadata.details["config"], part_of(golden, "state")
    ours, _ = prune_heads(state, config_of("XLMRobertaModel", whole), config["pruned_heads"])
    assert ours.keys() == theirs.keys()
    assert [key for key in ours if not np.array_equal(ours[key], theirs[key])] == []
    outputs = reference_outputs("XLMRobertaModel", config, theirs, golden.inputs)
    assert [outputs[f"attentions.{i}"].shape[1] for i in range(2)] == [3, 2]
    with_all = reference_outputs("XLMRobertaModel", whole, state, golden.inputs)
    states = {key: array for key, array in part_of(golden, "output").items() if key.startswith("hidden_states.")}
    assert [verdict.passed for verdict in judged(golden, with_all, states)] == [True, False, False]


def test_the_last_end_token_is_classified(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wrong one: the token before it."""
    monkeypatch.setattr(led_heads, "last_end", lambda config, ids: [place - 1 for place in last_end(config, ids)])
    record = run_golden(STORE.golden("peer_4_led_sequence_classification"), context_of("reference"))
    assert not record.passed
    assert record.detail.startswith("logits[")


def test_generated_ids_are_compared_exactly() -> None:
    """The wrong witness: a greedy search in the place of one with beams; then one that stops early."""
    golden: Golden = STORE.golden("peer_5_led_language_model")
    assert golden.arrays["output.sequences"].shape[1] > 2

    def greedy(*arguments: Any) -> dict[str, np.ndarray]:
        kind, config, state, inputs, generation = (*arguments, None)[:5]
        return reference_outputs(kind, config, state, inputs, generation and generation | {"num_beams": 1})

    def short(*arguments: Any) -> dict[str, np.ndarray]:
        kind, config, state, inputs, generation = (*arguments, None)[:5]
        return reference_outputs(kind, config, state, inputs, generation and generation | {"max_length": 4})

    for wrong in (greedy, short):
        outcome = run_peer(golden, Context("wrong", {"peer": wrong}))
        assert not outcome.passed
        assert outcome.detail.startswith("sequences")


def test_a_changed_weight_is_seen() -> None:
    golden = STORE.golden("peer_5_longformer_sequenceclassification")
    name = "state.longformer.encoder.layer.0.attention.self.value_global.weight"
    changed = golden.arrays[name].copy()
    changed.view(np.int32)[3, 3] ^= 1 << 18
    spoiled = dataclasses.replace(golden, arrays=golden.arrays | {name: changed})
    assert not run_golden(spoiled, context_of("reference")).passed
