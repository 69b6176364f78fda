"""Running the golden checks as a whole, what witnesses may be, and the data they rest on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from trueband.golden import CHECKS, Context, Golden, load_sapiens, open_store, run_golden
from trueband.golden.judged import judge_published
from trueband.golden.records import CannotRun, Outcome
from trueband.golden.runners import RUNNERS, obstacle, runner
from trueband.golden.store.digest import inputs_sha256
from trueband.golden.weights.sapiens import encode
from trueband.golden.witness import REFERENCE, reference_masked_lm, resolve, run_masked_lm
from trueband.properties.bounds import Precision
from trueband.properties.bounds.encoder_variance import embedding_bound, lm_head_moments, roberta_layer_moments
from trueband.properties.bounds.variance import Moments
from trueband.reference.config import XLMRobertaConfig
from trueband.reference.embeddings import embed, positions_from_ids
from trueband.session.golden_choice import choose, run_items
from trueband.witnesses.families import context_of

STORE = open_store()
QUICK = ["sapiens_scores_row_0", "longformer_window_64_must_miss", "lf_tiny_layer_local", "lf_tiny_missing_globals"]


def with_metadata(golden: Golden, **changes: Any) -> Golden:
    return Golden(replace(golden.metadata, **changes), golden.arrays)


def test_names_are_unique_and_claims_are_one_line() -> None:
    names = [*STORE, *(check.name for check in CHECKS)]
    assert len(set(names)) == len(names)
    claims = [*(STORE.index[name]["claim"] for name in STORE), *(check.claim for check in CHECKS)]
    assert all(claim and "\n" not in claim for claim in claims)


def test_records_come_one_by_one_and_are_reported() -> None:
    told: list[tuple[str, str]] = []
    items = choose(QUICK).items
    records = []
    for record in run_items(items, [context_of("reference")], lambda *what: told.append(what)):
        records.append(record)
        assert len(told) == len(records)
    assert [record.name for record in records] == QUICK == [name for name, _ in told]
    assert [record.kind for record in records] == ["published", "derived", "published", "check"]
    for record in records:
        assert record.passed
        assert record.seconds > 0
        assert record.witness == "reference"
        assert record.to_dict()["tolerance"] == record.tolerance is not None


def test_a_witness_that_raises_has_failed_and_the_run_goes_on() -> None:
    def broken(*_: Any) -> dict[str, Any]:
        raise RuntimeError("out of order")

    contexts = [Context("broken", {"masked_lm": broken}), Context("right", {"masked_lm": reference_masked_lm})]
    records = list(run_items(choose(QUICK[:1]).items, contexts))
    assert [(record.witness, record.passed) for record in records] == [("broken", False), ("right", True)]
    assert records[0].detail == "raised RuntimeError: out of order"


def test_what_cannot_run_says_why_and_has_neither_passed_nor_failed() -> None:
    golden = STORE.golden("sapiens_scores_row_0")
    wrong = {"checkpoint_vh.pt": "0" * 64}
    for changed, who, reason in (
        (golden, Context("theirs", {}), "needs a witness of the form 'masked_lm'; theirs offers nothing"),
        (with_metadata(golden, cannot_run="a dataset"), context_of("reference"), "a dataset"),
        (with_metadata(golden, checkpoint="big"), context_of("reference"), "needs the checkpoint big: trueband golden"),
        (with_metadata(golden, run="nothing"), context_of("reference"), "no runner of the name 'nothing' is here"),
        (with_metadata(golden, weights_sha256=wrong), context_of("reference"), "checkpoint_vh.pt: expected weights of"),
        (
            with_metadata(golden, conversion={"to": "x", "attention_window": 2, "max_positions": 2}),
            context_of("reference"),
            "no conversion of sapiens_vh to 'x'",
        ),
    ):
        record = run_golden(changed, who)
        assert record.cannot_run
        assert not record.passed
        assert record.detail.startswith(f"cannot run: {reason}")


def test_a_golden_without_a_name_is_chosen_when_it_can_run() -> None:
    chosen = choose()
    ids = [item.id if isinstance(item, Golden) else item.name for item in chosen.items]
    assert sorted([*ids, *chosen.left_out]) == sorted([*STORE, *(check.name for check in CHECKS)])
    assert all(obstacle(item) is None for item in chosen.items if isinstance(item, Golden))
    assert "lf_chunk_seq" in chosen.left_out
    published = [item for item in chosen.items if isinstance(item, Golden) and item.metadata.kind == "published"]
    assert len(published) >= 40
    assert choose(["lf_chunk_seq"]).left_out == {}  # asked for by name: its record says why


def test_unknown_names_are_refused_at_once() -> None:
    message = "ID: expected one of `trueband golden list`, got 'sapiens_layer'; did you mean sapiens_layers"
    with pytest.raises(ValueError, match=message):
        choose(["sapiens_layer"])


def test_a_runner_has_a_name_of_its_own() -> None:
    with pytest.raises(ValueError, match="name: expected one that no runner has, got 'sapiens_infill'"):
        runner("sapiens_infill")(lambda golden, context: Outcome(True, ""))
    assert set(RUNNERS) >= {"sapiens_infill", "bart_words", "tiny_layer", "position_ids"}


def test_witnesses_are_named_by_family_by_form_or_by_a_mapping() -> None:
    assert context_of("reference").witness("masked_lm") is reference_masked_lm
    one = context_of("masked_lm=trueband.golden.witness:reference_masked_lm")
    assert one.witness("masked_lm") is reference_masked_lm
    with pytest.raises(CannotRun, match="'attention'"):
        one.witness("attention")
    assert context_of("trueband.golden.witness:REFERENCE").witnesses == REFERENCE
    with pytest.raises(ValueError, match=r"expected a mapping from forms to callables .* FORM=trueband"):
        context_of("trueband.golden.witness:reference_masked_lm")
    with pytest.raises(ValueError, match=r"expected the forms masked_lm, .*, got mlm"):
        context_of("mlm=trueband.golden.witness:reference_masked_lm")
    with pytest.raises(ValueError, match='expected a callable or "module:name"'):
        context_of("nobody")
    with pytest.raises(ValueError, match="--witness: expected a callable for attention, got module"):
        context_of("attention=os:path")


@pytest.mark.parametrize("name", ["sapiens_scores_row_0", "bart_g2p_first_logits", "lf_tiny_layer_local"])
def test_a_witness_gets_the_weights_in_the_dtype_asked_for(name: str) -> None:
    form = {"s": "masked_lm", "b": "seq2seq", "l": "attention"}[name[0]]
    for who, dtype in (("optimized", "float64"), ("optimized", "float32"), ("optimized", None)):
        inner = context_of(who).witness(form)
        seen: list[str] = []

        def watched(*arguments: Any, inner: Any = inner, seen: list[Any] = seen, **options: Any) -> Any:
            result = inner(*arguments, **options)
            seen.append(np.asarray(result["logits"] if isinstance(result, dict) else result).dtype.name)
            return result

        assert run_golden(STORE.golden(name), Context("watched", {form: watched}, dtype)).passed
        assert seen == [dtype or "float32"]
    record = run_golden(STORE.golden(name), Context("x", REFERENCE, "float16"))
    assert record.detail == "raised ValueError: dtype: expected float32 or float64, got 'float16'"


def test_values_are_judged_by_the_tolerance_of_the_golden() -> None:
    golden = STORE.golden("sapiens_embedding_fairseq_2022")
    tolerance = golden.metadata.tolerance
    assert tolerance is not None
    assert judge_published(golden, golden.expected + 0.99 * tolerance.absolute).passed
    assert not judge_published(golden, golden.expected + 1.01 * tolerance.absolute).passed
    assert not judge_published(golden, golden.expected * np.nan).passed
    exact = STORE.golden("sapiens_accuracy")
    assert judge_published(exact, exact.expected).passed
    assert not judge_published(exact, np.nextafter(exact.expected, 1)).passed
    each = STORE.golden("lf_tiny_layer_local_more_digits")
    units = each.arrays["tolerance"]
    assert judge_published(each, each.expected + 0.99 * units).passed
    assert not judge_published(each, each.expected + 0.99 * units.max()).passed
    text = STORE.golden("bart_g2p_word_com")
    assert judge_published(text, text.metadata.expected or []).passed
    assert not judge_published(text, ["kˈɑn"]).passed


def test_values_of_another_form_are_refused() -> None:
    numbers, text = STORE.golden("sapiens_accuracy"), STORE.golden("bart_g2p_word_com")
    with pytest.raises(ValueError, match=r"expected shape \(1,\), got \(2,\)"):
        judge_published(numbers, [0.0, 1.0])
    with pytest.raises(ValueError, match="sapiens_accuracy: value: expected numbers, got dtype <U"):
        judge_published(numbers, ["a"])
    with pytest.raises(ValueError, match="bart_g2p_word_com: value: expected a list of texts, got 'k'"):
        judge_published(text, "k")
    with pytest.raises(ValueError, match="bart_g2p_word_com: value: expected 1 texts, got 2"):
        judge_published(text, ["k", "k"])


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


def test_every_golden_names_its_source_and_its_inputs() -> None:
    for name in STORE:
        if not STORE.index[name]["file"].startswith("published/"):
            continue
        golden = STORE.golden(name)
        told, held = golden.metadata, {key: array for key, array in golden.arrays.items() if key.startswith("input.")}
        assert told.license
        assert told.source.publisher == "trueband" or (told.source.repository and told.source.commit)
        assert inputs_sha256(told.inputs, held) == told.inputs_sha256
        assert (told.checkpoint is None) == (told.weights_sha256 == {})
        of = told.details.get("of")
        if isinstance(of, str) and "published" not in golden.arrays:  # the same numbers, computed another way
            assert np.array_equal(golden.expected, STORE.golden(of).expected)
        elif isinstance(of, str):
            assert np.array_equal(golden.arrays["published"], STORE.golden(of).expected)
        elif of:
            assert told.expected == [(STORE.golden(each).metadata.expected or [""])[0] for each in of]


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
    embedding, scores = (STORE.golden(f"sapiens_{name}").metadata for name in ("embedding_hf_2025", "scores_row_0"))
    assert embedding.tolerance is not None
    assert scores.tolerance is not None
    hidden, _ = carried(encode(embedding.inputs["residues"]))
    variance = hidden.variance[0, 1:-1]
    of_the_mean = 8 * np.sqrt(variance.sum(axis=0)).max() / len(variance)
    assert embedding.tolerance.absolute < of_the_mean

    _, logits = carried(encode(scores.inputs["residues"]))
    p = np.exp(logits.value - logits.value.max(axis=-1, keepdims=True))
    p /= p.sum(axis=-1, keepdims=True)
    spread = (p**2 * logits.variance).sum(axis=-1, keepdims=True)
    of_a_score = 8 * np.sqrt(p**2 * (logits.variance * (1 - 2 * p) + spread))[0, 1:-1].max()
    assert scores.tolerance.absolute < of_a_score
