"""Every golden check passes on every witness, and each check rejects a named wrong witness."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from trueband.golden import ATTENTION_CHECKS, MASKED_LM_CHECKS
from trueband.golden.checks import run_check
from trueband.golden.checks_tiny import filler_outcome
from trueband.golden.sapiens import MASK, UNKNOWN
from trueband.golden.witness import reference_attention, reference_masked_lm
from trueband.reference import layers
from trueband.reference.layout import CompactProbabilities, dense_to_compact

Masked = Callable[..., dict[str, Any]]
MASKED_LM = [check.name for check in MASKED_LM_CHECKS]
ATTENTION = [check.name for check in ATTENTION_CHECKS]


@pytest.mark.parametrize("who", ["reference", "optimized", "peer"])
@pytest.mark.parametrize("name", MASKED_LM)
def test_models_pass(checks: SimpleNamespace, witness: Callable[[str], Masked], name: str, who: str) -> None:
    record = run_check(checks.masked_lm[name], who, witness(who))
    assert record.passed, record.detail


@pytest.mark.parametrize("who", ["reference attention", "optimized attention"])
@pytest.mark.parametrize("name", ATTENTION)
def test_operators_pass(checks: SimpleNamespace, witness: Callable[[str], Masked], name: str, who: str) -> None:
    record = run_check(checks.attention[name], who, witness(who))
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


def swapped_global_projections(architecture: str, config: Any, state: dict[str, Any], *rest: Any) -> dict[str, Any]:
    swap = {".key_global.": ".value_global.", ".value_global.": ".key_global."}
    named = {}
    for name, array in state.items():
        part = next((part for part in swap if part in name), None)
        named[name if part is None else name.replace(part, swap[part])] = array
    return reference_masked_lm(architecture, config, named, *rest)


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
    "sapiens_scores": ["positions from 0", "tanh GELU", "scale +0.1%"],
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
        "full attention for any window", "two-sided window taken as one-sided", "every token global",
    ],
    "longformer_window_64_must_miss": [
        "full attention for any window", "two-sided window taken as one-sided", "every token global", "window - 1",
    ],
    "longformer_layers_128_no_globals": ["window - 1", "window + 1", "every token global", "scale +0.1%", "tanh GELU"],
    "longformer_layers_64_no_globals": ["window - 1", "window + 1", "every token global", "scale +0.1%", "tanh GELU"],
    "longformer_layers_64_globals_padded": [
        "window - 1", "window + 1", "global tokens ignored", "padding ignored", "key_global and value_global swapped",
        "positions from 0", "LayerNorm eps 1e-12",
    ],
}  # fmt: skip


@pytest.mark.parametrize(("name", "fault"), [(name, fault) for name, faults in REJECTED_BY.items() for fault in faults])
def test_wrong_models_are_rejected(checks: SimpleNamespace, name: str, fault: str) -> None:
    record = run_check(checks.masked_lm[name], fault, WRONG_MODELS[fault])
    assert not record.passed
    assert "raised" not in record.detail  # rejected for its numbers, not for a crash


# Wrong operators.


def changed_options(**changes: Any) -> Callable[..., np.ndarray]:
    return lambda query, key, value, **options: reference_attention(query, key, value, **(options | changes))


def global_keys_counted_twice(query: np.ndarray, key: np.ndarray, value: np.ndarray, **options: Any) -> np.ndarray:
    """A global key within the window is one key in the window and another one in the global columns."""
    exact = reference_attention(query, key, value, **options)
    flags, real = options["global_attention_mask"], options["attention_mask"]
    for b, h, i in np.ndindex(*query.shape[:3]):
        if real[b, i] and not flags[b, i]:
            keys = [j for j in range(query.shape[2]) if real[b, j] and (flags[b, j] or abs(i - j) <= options["window"])]
            keys += [j for j in keys if flags[b, j] and abs(i - j) <= options["window"]]
            weights = np.exp(key[b, h, keys] @ query[b, h, i] / math.sqrt(query.shape[-1]))
            exact[b, h, i] = weights / weights.sum() @ value[b, h, keys]
    return exact


def global_rows_use_local_projections(*arrays: np.ndarray, **options: Any) -> np.ndarray:
    query, key, value = arrays
    return reference_attention(
        query, key, value, **(options | {"query_global": query, "key_global": key, "value_global": value})
    )


def masked_rows_hold_their_value(query: np.ndarray, key: np.ndarray, value: np.ndarray, **options: Any) -> np.ndarray:
    output = reference_attention(query, key, value, **options)
    return np.where(options["attention_mask"][:, None, :, None], output, value)


def global_rows_see_the_window_only(*arrays: np.ndarray, **options: Any) -> np.ndarray:
    with_band = reference_attention(*arrays, **options)
    narrow = reference_attention(
        options["query_global"], options["key_global"], options["value_global"], window=1,
        attention_mask=options["attention_mask"],
    )  # fmt: skip
    return np.where(options["global_attention_mask"][:, None, :, None], narrow, with_band)


WRONG_OPERATORS: dict[str, Callable[..., np.ndarray]] = {
    "window 0": changed_options(window=0),
    "scale twice": changed_options(scale=0.25),
    "padding ignored": changed_options(attention_mask=None),
    "global tokens ignored": changed_options(global_attention_mask=None),
    "global keys counted twice": global_keys_counted_twice,
    "global rows use the local projections": global_rows_use_local_projections,
    "masked rows hold their value": masked_rows_hold_their_value,
    "global rows see the window only": global_rows_see_the_window_only,
}

OPERATOR_REJECTED_BY = {
    "lf_tiny_layer_local": ["window 0", "padding ignored"],
    "lf_tiny_layer_global_a": ["global rows use the local projections", "padding ignored", "global tokens ignored"],
    "lf_tiny_layer_global_b": ["global rows use the local projections", "global rows see the window only"],
    "lf_tiny_layer_local_more_digits": ["window 0", "padding ignored", "scale twice"],
    "lf_tiny_layer_global_a_more_digits": ["global rows use the local projections", "scale twice"],
    "lf_tiny_layer_global_b_more_digits": ["global rows use the local projections", "scale twice"],
    "lf_tiny_attn_probs_local_0": ["window 0", "global keys counted twice"],
    "lf_tiny_attn_probs_local_1": ["global tokens ignored", "global keys counted twice"],
    "lf_tiny_attn_probs_global_1": ["global rows see the window only", "global rows use the local projections"],
    "lf_tiny_attn_probs_zero_rows": ["padding ignored", "masked rows hold their value"],
}


@pytest.mark.parametrize(
    ("name", "fault"), [(name, fault) for name, faults in OPERATOR_REJECTED_BY.items() for fault in faults]
)
def test_wrong_operators_are_rejected(checks: SimpleNamespace, name: str, fault: str) -> None:
    record = run_check(checks.attention[name], fault, WRONG_OPERATORS[fault])
    assert not record.passed
    assert "raised" not in record.detail


def test_the_quirk_of_the_peer_is_rejected() -> None:
    """The published filler, 1 / n in the columns of missing global tokens, is what the check refuses."""

    def uniform_filler(dense: np.ndarray, is_global: np.ndarray, *rest: Any) -> CompactProbabilities:
        compact = dense_to_compact(dense, is_global, *rest)
        for b, flags in enumerate(is_global):
            compact.global_[b, :, :, flags.sum() :] = 1 / dense.shape[-1]
        return compact

    assert filler_outcome(reference_attention).passed
    outcome = filler_outcome(reference_attention, uniform_filler)
    assert not outcome.passed
    assert outcome.value == 0.25  # the published number


def test_every_check_has_a_wrong_witness() -> None:
    assert set(REJECTED_BY) == set(MASKED_LM)
    assert {*OPERATOR_REJECTED_BY, "lf_tiny_attn_probs_global_filler"} == set(ATTENTION)
    assert {fault for faults in REJECTED_BY.values() for fault in faults} == set(WRONG_MODELS)
    assert {fault for faults in OPERATOR_REJECTED_BY.values() for fault in faults} == set(WRONG_OPERATORS)
