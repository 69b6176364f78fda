"""Goldens of another library: both witnesses give its outputs, and named faults miss them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from trueband.golden.recordings.classes import CLASSES
from trueband.golden.recordings.peer import reference_outputs, run_peer
from trueband.golden.runners import Context, run_golden
from trueband.golden.store import Golden, open_store
from trueband.golden_families import context_of

STORE = open_store()
PEERS = [name for name in STORE if STORE.index[name]["kind"] == "peer"]
FIVE = [name for name in PEERS if name.startswith("peer_5_")]
LARGEST_SUM = 2_000_000  # bytes


def test_there_are_recordings_of_both_releases() -> None:
    versions = {name: STORE.golden(name).metadata.details["transformers"] for name in PEERS}
    assert {versions[name] for name in PEERS if name not in FIVE} == {"4.46.3"}
    assert {versions[name] for name in FIVE} == {"5.23.0"}
    assert {STORE.golden(name).metadata.model_class for name in PEERS} == set(CLASSES) - {
        "LongformerModel", "LEDModel", "LongformerForMultipleChoice", "XLMRobertaForMultipleChoice",
    }  # fmt: skip
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
FAULTS: dict[str, tuple[str, Change]] = {
    "global flags are dropped": (
        "peer_5_longformer_maskedlm",
        lambda config, inputs: (config, inputs | {"global_attention_mask": np.zeros_like(inputs["input_ids"])}),
    ),
    "padding is attended": (
        "peer_5_xlmroberta_tokenclassification",
        lambda config, inputs: (config, inputs | {"attention_mask": np.ones_like(inputs["input_ids"])}),
    ),
    "the window is that of one side": (
        "peer_5_led_question_answering",
        lambda config, inputs: (config | {"attention_window": [8, 8]}, inputs),
    ),
    "padding of the decoder is attended": (
        "peer_5_led_question_answering",
        lambda config, inputs: (
            config, inputs | {"decoder_attention_mask": np.ones_like(inputs["decoder_attention_mask"])},
        ),
    ),
    "a decoder sees what follows": (
        "peer_5_xlmroberta_causallm", lambda config, inputs: (config | {"is_decoder": False}, inputs),
    ),
    "head masks are swallowed": (
        "peer_4_roberta_head_mask",
        lambda config, inputs: (config, inputs | {"head_mask": np.ones_like(inputs["head_mask"])}),
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_seen(fault: str) -> None:
    name, change = FAULTS[fault]

    def wrong(model_class: str, config: Any, state: Any, inputs: Any, *more: Any) -> dict[str, np.ndarray]:
        return reference_outputs(model_class, *_ordered(state, *change(config, inputs)), *more)

    outcome = run_peer(STORE.golden(name), Context("wrong", {"peer": wrong}))
    assert not outcome.passed
    assert "EXCEEDS" in outcome.detail


def _ordered(state: Any, config: Any, inputs: Any) -> tuple[Any, Any, Any]:
    return config, state, inputs


def test_generated_ids_are_compared_exactly() -> None:
    """The wrong witness: a greedy search in the place of one with beams; then one that stops early."""
    golden: Golden = STORE.golden("peer_5_led_language_model")
    assert golden.arrays["output.sequences"].shape[1] > 2

    def greedy(*arguments: Any) -> dict[str, np.ndarray]:
        *first, generation = (*arguments, None)[:5]
        return reference_outputs(*first, generation and generation | {"num_beams": 1})

    def short(*arguments: Any) -> dict[str, np.ndarray]:
        *first, generation = (*arguments, None)[:5]
        return reference_outputs(*first, generation and generation | {"max_length": 4})

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
