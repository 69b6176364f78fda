"""Every golden and check of the operator and of position ids passes on both witnesses, and rejects named wrong ones."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from trueband.golden import CHECKS, GoldenRecord, open_store
from trueband.golden.judged import judge_published, refuted
from trueband.golden.runners import FORMS
from trueband.golden.runners.checks import missing_globals
from trueband.golden.witness import reference_attention, reference_position_ids
from trueband.reference.layout import CompactProbabilities, dense_to_compact

Run = Callable[..., GoldenRecord]
STORE = open_store()
QUIRK = "lf_tiny_attn_probs_global_filler"


def of_form(form: str) -> list[str]:
    """Goldens of inline weights and of none, and checks, that run on witnesses of a form."""
    published = [STORE.golden(name).metadata for name in STORE if STORE.index[name]["file"].startswith("published/")]
    goldens = [told.id for told in published if FORMS.get(told.run) == form]
    return [*goldens, *(check.name for check in CHECKS if check.form == form)]


ATTENTION, POSITIONS = of_form("attention"), of_form("position_ids")


@pytest.mark.parametrize("who", ["reference", "optimized"])
@pytest.mark.parametrize("name", [*ATTENTION, *POSITIONS])
def test_both_witnesses_pass(outcome_of: Run, name: str, who: str) -> None:
    record = outcome_of(name, who)
    assert record.passed, record.detail


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
        options["query_global"],
        options["key_global"],
        options["value_global"],
        window=1,
        attention_mask=options["attention_mask"],
    )
    return np.where(options["global_attention_mask"][:, None, :, None], narrow, with_band)


WRONG_OPERATORS: dict[str, Callable[..., Any]] = {
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
    "lf_mask_invalid_counts": ["window 0"],
}


def position_ids_from_0(padding_id: int, **given: Any) -> Any:
    return reference_position_ids(padding_id, **given) - padding_id


def position_ids_of_pads_too(padding_id: int, input_ids: Any = None, inputs_embeds: Any = None) -> Any:
    given = inputs_embeds if input_ids is None else input_ids
    return np.tile(padding_id + 1 + np.arange(given.shape[1]), (len(given), 1))


def position_ids_of_the_first_row(padding_id: int, **given: Any) -> Any:
    positions = reference_position_ids(padding_id, **given)
    return positions * (np.arange(len(positions))[:, None] == 0)


WRONG_POSITIONS: dict[str, Callable[..., Any]] = {
    "from 0": position_ids_from_0,
    "pads counted": position_ids_of_pads_too,
    "first row": position_ids_of_the_first_row,
}
POSITIONS_REJECTED_BY = {
    "xlmr_position_ids": ["from 0", "pads counted"],
    "xlmr_position_ids_from_embeds": ["from 0", "first row"],
}

CASES = [
    *(("attention", name, fault) for name, faults in OPERATOR_REJECTED_BY.items() for fault in faults),
    *(("position_ids", name, fault) for name, faults in POSITIONS_REJECTED_BY.items() for fault in faults),
]


@pytest.mark.evidence
@pytest.mark.parametrize(("form", "name", "fault"), CASES)
def test_wrong_operators_are_rejected(outcome_of: Run, form: str, name: str, fault: str) -> None:
    record = outcome_of(name, {form: (WRONG_OPERATORS | WRONG_POSITIONS)[fault]}, fault)
    assert not record.passed
    assert not record.cannot_run
    assert "raised" not in record.detail


def test_the_quirk_of_the_peer_is_rejected() -> None:
    """The published filler, 1 / n in the columns of missing global tokens, is what check and golden refuse."""

    def uniform_filler(dense: np.ndarray, is_global: np.ndarray, *rest: Any) -> CompactProbabilities:
        compact = dense_to_compact(dense, is_global, *rest)
        for b, flags in enumerate(is_global):
            compact.global_[b, :, :, flags.sum() :] = 1 / dense.shape[-1]
        return compact

    assert missing_globals(reference_attention).passed
    outcome = missing_globals(reference_attention, uniform_filler)
    assert not outcome.passed
    assert outcome.value == 0.25  # the published number

    golden = STORE.golden(QUIRK)
    hit = judge_published(golden, [0.25] * 4)
    assert hit.passed
    assert not refuted(golden, hit).passed
    assert refuted(golden, hit).detail.startswith("has the fault of lf_tiny_attn_probs_global_filler")
    missed = refuted(golden, judge_published(golden, [0.0] * 4))
    assert missed.passed
    assert missed.detail.startswith("refuted, as it must be: ")
    assert not refuted(golden, judge_published(golden, [math.nan] * 4)).passed  # misses, and refutes nothing


def test_every_golden_has_a_wrong_witness() -> None:
    assert {*OPERATOR_REJECTED_BY, QUIRK, "lf_tiny_missing_globals"} == set(ATTENTION)
    assert {fault for faults in OPERATOR_REJECTED_BY.values() for fault in faults} == set(WRONG_OPERATORS)
    assert set(POSITIONS_REJECTED_BY) == set(POSITIONS)
    assert {fault for faults in POSITIONS_REJECTED_BY.values() for fault in faults} == set(WRONG_POSITIONS)
