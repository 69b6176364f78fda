"""Every golden and check of masked language models passes on every witness, and rejects named wrong ones."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from trueband.golden import CHECKS, GoldenRecord, open_store
from trueband.golden.runners import FORMS
from trueband.golden.weights.sapiens import MASK, UNKNOWN
from trueband.golden.witness import reference_masked_lm
from trueband.reference import layers

Masked = Callable[..., dict[str, Any]]
Run = Callable[..., GoldenRecord]
STORE = open_store()
MASKED_LM = [
    *(
        name
        for name in STORE
        if STORE.index[name]["file"].startswith("published/")
        and FORMS.get(STORE.golden(name).metadata.run) == "masked_lm"
    ),
    *(check.name for check in CHECKS if check.form == "masked_lm"),
]


@pytest.mark.evidence
@pytest.mark.parametrize("who", ["reference", "optimized", "peer"])
@pytest.mark.parametrize("name", MASKED_LM)
def test_models_pass(outcome_of: Run, name: str, who: str) -> None:
    record = outcome_of(name, who)
    assert record.passed, record.detail


# Wrong models: the reference, with one thing wrong.


def changed_config(**changes: Callable[[Any], Any]) -> Masked:
    def wrong(architecture: str, config: dict[str, Any], *rest: Any) -> dict[str, Any]:
        known = {name: change(config[name]) for name, change in changes.items() if name in config}
        return reference_masked_lm(architecture, config | known, *rest)

    return wrong


def changed_state(change: Callable[[str, np.ndarray], np.ndarray]) -> Masked:
    def wrong(architecture: str, config: dict[str, Any], state: dict[str, np.ndarray], *rest: Any) -> dict[str, Any]:
        return reference_masked_lm(architecture, config, {k: change(k, v) for k, v in state.items()}, *rest)

    return wrong


def changed_masks(change: Callable[[Any, Any], tuple[Any, Any]]) -> Masked:
    def wrong(a: str, c: dict[str, Any], s: dict[str, Any], ids: Any, mask: Any = None, flags: Any = None) -> Any:
        return reference_masked_lm(a, c, s, ids, *change(mask, flags))

    return wrong


def tanh_gelu(*arguments: Any) -> dict[str, Any]:
    def approximate(x: np.ndarray) -> np.ndarray:
        return x * 0.5 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layers, "gelu", approximate)
        return reference_masked_lm(*arguments)


def swapped(state: dict[str, Any]) -> dict[str, Any]:
    swap = {".key_global.": ".value_global.", ".value_global.": ".key_global."}
    named = {}
    for name, array in state.items():
        part = next((part for part in swap if part in name), None)
        named[name if part is None else name.replace(part, swap[part])] = array
    return named


def swapped_global_projections(architecture: str, config: Any, state: dict[str, Any], *rest: Any) -> dict[str, Any]:
    return reference_masked_lm(architecture, config, swapped(state), *rest)


def not_a_number(*arguments: Any) -> dict[str, Any]:
    result = reference_masked_lm(*arguments)
    result["hidden_states"][-1][0, 5, 5] = np.nan
    return result


def rounded_to_half(*arguments: Any) -> dict[str, Any]:
    result = reference_masked_lm(*arguments)
    return {
        "hidden_states": [tap.astype(np.float16) for tap in result["hidden_states"]],
        "logits": result["logits"].astype(np.float16),
    }


def batch_coupled(a: str, c: dict[str, Any], s: dict[str, Any], ids: np.ndarray, *rest: Any) -> dict[str, Any]:
    """Every row of the batch gets the numbers of the first."""
    result = reference_masked_lm(a, c, s, ids[:1], *rest)
    taps = [np.repeat(tap, len(ids), axis=0) for tap in result["hidden_states"]]
    return {"hidden_states": taps, "logits": np.repeat(result["logits"], len(ids), axis=0)}


def unknown_as_mask(name: str, array: np.ndarray) -> np.ndarray:
    if "word_embeddings" not in name:
        return array
    return np.concatenate([array[:UNKNOWN], array[MASK:], array[UNKNOWN + 1 :]])


def first_table_only(name: str, array: np.ndarray) -> np.ndarray:
    """Positions behind the 146 learned rows, which no copy of the table fills."""
    if "position_embeddings" not in name:
        return array
    kept = np.zeros_like(array)
    kept[:146] = array[:146]
    return kept


WRONG_MODELS: dict[str, Masked] = {
    "positions from 0": changed_state(lambda k, v: np.roll(v, 2, axis=0) if "position_embeddings" in k else v),
    "positions past the table are zero": changed_state(first_table_only),
    "unknown read as the mask": changed_state(unknown_as_mask),
    "tanh GELU": tanh_gelu,
    "LayerNorm eps 1e-12": changed_config(layer_norm_eps=lambda _: 1e-12),
    "scale +0.1%": changed_state(lambda k, v: v * np.float32(1.001) if ".self.query" in k else v),
    "window - 1": changed_config(attention_window=lambda w: w - 2),
    "window + 1": changed_config(attention_window=lambda w: w + 2),
    "two-sided window taken as one-sided": changed_config(attention_window=lambda w: 2 * w),
    "one-sided window taken as two-sided": changed_config(attention_window=lambda w: w // 2),
    "full attention for any window": changed_config(attention_window=lambda _: 1024),
    "global tokens ignored": changed_masks(lambda mask, flags: (mask, None)),
    "padding ignored": changed_masks(lambda mask, flags: (None, flags)),
    "every token global": changed_masks(lambda mask, flags: (mask, None if flags is None else np.ones_like(flags))),
    "key_global and value_global swapped": swapped_global_projections,
    "one NaN": not_a_number,
    "results in float16": rounded_to_half,
    "batch rows coupled": batch_coupled,
}

REJECTED_BY = {
    "sapiens_embedding_fairseq_2022": ["positions from 0", "tanh GELU", "LayerNorm eps 1e-12", "one NaN"],
    "sapiens_embedding_hf_2025": ["positions from 0", "tanh GELU", "LayerNorm eps 1e-12", "scale +0.1%"],
    "sapiens_padding": ["padding ignored", "scale +0.1%"],
    **{name: ["positions from 0", "tanh GELU"] for name in MASKED_LM if name.startswith("sapiens_scores_row_")},
    "sapiens_infill_1_masked_fill": ["positions from 0"],
    "sapiens_infill_2_masked_fill_mask": ["positions from 0"],
    "sapiens_infill_2_best_mask": ["positions from 0"],
    "sapiens_infill_2_masked_fill_unk": ["unknown read as the mask"],
    "sapiens_infill_2_best_unk": ["positions from 0", "unknown read as the mask"],
    "sapiens_accuracy": ["batch rows coupled"],
    "sapiens_layers": ["positions from 0", "tanh GELU", "LayerNorm eps 1e-12", "scale +0.1%", "results in float16"],
    "longformer_window_256_no_globals": ["one-sided window taken as two-sided", "tanh GELU"],
    "longformer_window_256_first_global": ["key_global and value_global swapped", "scale +0.1%"],
    "longformer_window_256_all_global": ["key_global and value_global swapped", "scale +0.1%"],
    "longformer_window_256_two_globals_padded": ["padding ignored", "key_global and value_global swapped"],
    "longformer_window_64_all_global": ["global tokens ignored", "key_global and value_global swapped"],
    "longformer_window_64_all_global_padded": ["global tokens ignored", "padding ignored"],
    "longformer_tiled_positions": ["positions past the table are zero", "padding ignored"],
    "longformer_window_128_must_miss": [
        "full attention for any window",
        "two-sided window taken as one-sided",
        "every token global",
    ],
    "longformer_window_64_must_miss": [
        "full attention for any window",
        "two-sided window taken as one-sided",
        "every token global",
        "window - 1",
    ],
    "longformer_layers_128_no_globals": ["window - 1", "window + 1", "every token global", "scale +0.1%", "tanh GELU"],
    "longformer_layers_64_no_globals": ["window - 1", "window + 1", "every token global", "scale +0.1%", "tanh GELU"],
    "longformer_layers_64_globals_padded": [
        "window - 1",
        "window + 1",
        "global tokens ignored",
        "padding ignored",
        "key_global and value_global swapped",
        "positions from 0",
        "LayerNorm eps 1e-12",
    ],
}


CASES = [(name, fault) for name, faults in REJECTED_BY.items() for fault in faults]


@pytest.mark.evidence
@pytest.mark.parametrize(("name", "fault"), CASES)
def test_wrong_models_are_rejected(outcome_of: Run, name: str, fault: str) -> None:
    record = outcome_of(name, {"masked_lm": WRONG_MODELS[fault]}, fault)
    assert not record.passed
    assert not record.cannot_run
    assert "raised" not in record.detail  # rejected for its numbers, not for a crash


def test_every_golden_has_a_wrong_witness() -> None:
    assert set(REJECTED_BY) == set(MASKED_LM)
    assert {fault for faults in REJECTED_BY.values() for fault in faults} == set(WRONG_MODELS)
