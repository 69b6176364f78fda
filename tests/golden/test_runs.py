"""Running the golden checks as a whole, what witnesses may be, and the data they rest on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from trueband.golden import ATTENTION_CHECKS, MASKED_LM_CHECKS, GoldenRecord, load_sapiens, run_golden_checks
from trueband.golden.checks_tiny import half_unit
from trueband.golden.published import published
from trueband.golden.records import Outcome
from trueband.golden.sapiens import encode
from trueband.golden.witness import reference_masked_lm, resolve, run_masked_lm
from trueband.properties.bounds import Precision
from trueband.properties.bounds.encoder_variance import embedding_bound, lm_head_moments, roberta_layer_moments
from trueband.properties.bounds.variance import Moments
from trueband.reference.config import XLMRobertaConfig
from trueband.reference.embeddings import embed, positions_from_ids

QUICK = ["sapiens_scores", "longformer_window_64_must_miss", "lf_tiny_layer_local"]


def test_names_are_unique_and_claims_are_one_line() -> None:
    checks = (*MASKED_LM_CHECKS, *ATTENTION_CHECKS)
    assert len({check.name for check in checks}) == len(checks)
    assert all(check.claim and "\n" not in check.claim for check in checks)


def test_records_come_one_by_one_and_are_reported() -> None:
    seen: list[GoldenRecord] = []
    records = list(run_golden_checks(progress=seen.append, names=QUICK))
    assert records == seen
    assert [record.name for record in records] == QUICK
    for record in records:
        assert record.passed
        assert record.seconds > 0
        assert record.witness.startswith("trueband.golden.witness:reference_")
        assert record.to_dict()["tolerance"] == record.tolerance is not None


def test_a_witness_that_raises_has_failed_and_the_run_goes_on() -> None:
    def broken(*_: Any) -> dict[str, Any]:
        raise RuntimeError("out of order")

    records = list(run_golden_checks([broken, reference_masked_lm], [], names=QUICK[:1]))
    assert [(record.witness, record.passed) for record in records] == [("broken", False), ("reference_masked_lm", True)]
    assert records[0].detail == "raised RuntimeError: out of order"


def test_unknown_names_are_refused_at_once() -> None:
    with pytest.raises(ValueError, match=r"names: expected names of golden checks, got \['nothing'\]"):
        run_golden_checks(names=["nothing"])


@pytest.mark.parametrize("witness", ["os", "os:", ":path", "no_such_module_here:f", "os:no_such_name"])
def test_a_witness_that_leads_nowhere_is_refused(witness: str) -> None:
    with pytest.raises(ValueError, match=f'witness: expected a callable or "module:name", got {witness!r}'):
        resolve(witness)


def test_the_form_of_a_result_is_checked() -> None:
    ids = encode("AC")

    def changed(key: str, change: Any) -> Any:
        def witness(*arguments: Any) -> dict[str, Any]:
            result = reference_masked_lm(*arguments)
            return result | {key: change(result[key])}

        return witness

    for key, change, message in (
        ("hidden_states", lambda taps: taps[1:], "hidden_states: expected 5 arrays .*, got 4"),
        ("hidden_states", lambda taps: [tap[:, 1:] for tap in taps], r"hidden_states: expected shape \(1, 4, 128\)"),
        ("logits", lambda logits: logits[0], r"logits: expected shape \(1, 4, 25\), got \(4, 25\)"),
    ):
        with pytest.raises(ValueError, match=message):
            run_masked_lm(changed(key, change), "roberta", load_sapiens(), ids)


def test_texts_are_compared_letter_by_letter() -> None:
    assert Outcome.same_text("ACD", "ACD", "text").passed
    assert Outcome.same_text("ACE", "ACD", "text").detail == "text: 1 letters differ, at [2]"
    assert not Outcome.same_text("AC", "ACD", "text").passed


@pytest.mark.parametrize(
    ("printed", "expected"), [("0.00188", 5e-6), ("-0.0396", 5e-5), ("-0.039306", 5e-7), ("7", 0.5)]
)
def test_half_a_unit_of_the_last_digit(printed: str, expected: float) -> None:
    assert half_unit(printed) == expected


def test_both_data_sets_name_their_source() -> None:
    assert "43254666" in published("sapiens_vh")["provenance"]["weights"]
    assert published("longformer_random_tiny_layer0")["source"]["commit"]
    for entry in published("longformer_random_tiny_outputs")["entries"]:
        assert entry["source_repo"] and entry["source_commit"] and entry["source_path"]  # noqa: PT018


def carried(ids: np.ndarray) -> tuple[Moments, Moments]:
    """Second moments of a float32 run through all layers: of the last hidden states, and of the logits."""
    config, state = load_sapiens()
    settings, precision = XLMRobertaConfig.from_dict(config), Precision.of("float32")
    start = embedding_bound(state, "roberta.", settings, ids, positions_from_ids(ids, 1), precision).total
    moments = Moments(embed(state, settings, ids, prefix="roberta."), start**2 / 3)
    for i in range(settings.num_hidden_layers):
        moments = roberta_layer_moments(state, f"roberta.encoder.layer.{i}", settings, moments, None, precision)
    return moments, lm_head_moments(state, "roberta.", settings, moments, precision)


def test_the_stated_tolerances_are_tighter_than_8_sigma_of_a_float32_run() -> None:
    data = published("sapiens_vh")
    hidden, _ = carried(encode(data["embedding"]["seq"]))
    variance = hidden.variance[0, 1:-1]
    of_the_mean = 8 * np.sqrt(variance.sum(axis=0)).max() / len(variance)
    assert data["tolerances"]["embedding"]["value"] < of_the_mean

    _, logits = carried(encode(data["scores"]["seq"]))
    p = np.exp(logits.value - logits.value.max(axis=-1, keepdims=True))
    p /= p.sum(axis=-1, keepdims=True)
    spread = (p**2 * logits.variance).sum(axis=-1, keepdims=True)
    of_a_score = 8 * np.sqrt(p**2 * (logits.variance * (1 - 2 * p) + spread))[0, 1:-1].max()
    assert data["tolerances"]["scores"]["value"] < of_a_score
