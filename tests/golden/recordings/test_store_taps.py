"""The taps of trained weights in the store: both witnesses hit them in every dtype, and named faults miss them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from trueband.golden.at_hand import weights
from trueband.golden.recordings.model import described
from trueband.golden.recordings.recording import entering, judge_taps, rows_of, tap_names
from trueband.golden.recordings.reference import natural_states, reference_taps
from trueband.golden.runners import Context, run_golden
from trueband.golden.store import Golden, open_store
from trueband.properties.bounds.precision import DTYPES, Precision
from trueband.witnesses.families import context_of
from trueband.witnesses.taps import optimized_taps

Arrays = dict[str, np.ndarray]
TAPS = (
    "taps_bart_led",
    "taps_sapiens_led",
    "taps_sapiens_longformer",
    "taps_sapiens_longformer_narrow",
    "taps_sapiens_roberta",
)
LARGEST_SUM = 4_500_000  # bytes
WITNESSES: dict[str, Callable[..., Any]] = {"reference": reference_taps, "optimized": optimized_taps}


def taps_of(witness: str, golden: Golden, state: Arrays, dtype: str = "float32", **changes: Any) -> dict[str, Any]:
    """What a witness gives, with some of the arguments changed."""
    given = {
        "config": golden.metadata.details["config"],
        "inputs": golden.inputs,
        "entering": entering(golden),
    } | changes
    result: dict[str, Any] = WITNESSES[witness](
        golden.metadata.model_class, given["config"], state, given["inputs"], given["entering"], dtype
    )
    return result


def state_of(golden: Golden) -> Arrays:
    return dict(weights(golden, Context("test", {})).state)


def failed(golden: Golden, given: dict[str, Any]) -> list[str]:
    verdicts = judge_taps(golden, given["taps"], given["dtype"])
    return [verdict.what for verdict in verdicts if not verdict.passed]


def test_all_taps_of_the_store_are_tested_and_small() -> None:
    store = open_store()
    assert [name for name in store if store.index[name]["kind"] == "taps"] == list(TAPS)
    sizes = [(store.folder / store.index[name]["file"]).stat().st_size for name in TAPS]
    assert sum(sizes) < LARGEST_SUM


@pytest.mark.parametrize("name", TAPS)
def test_rows_are_few_and_hold_the_interesting_ones(name: str) -> None:
    golden = open_store().golden(name)
    ids, mask = golden.inputs["input_ids"], golden.inputs["attention_mask"]
    rows = set(golden.arrays["rows"].tolist())
    assert len(rows) <= 12 < ids.shape[1]
    assert {0, ids.shape[1] - 1} <= rows
    for row in mask:
        assert row.all() or {int(row.sum()) - 1, int(row.sum())} <= rows  # the last real token and the first pad
    for row in golden.inputs.get("global_attention_mask", np.zeros_like(ids)):
        assert rows >= set(np.flatnonzero(row)[:2].tolist())


@pytest.mark.parametrize("name", TAPS)
@pytest.mark.parametrize("witness", WITNESSES)
def test_both_witnesses_pass(name: str, witness: str) -> None:
    record = run_golden(open_store().golden(name), context_of(witness))
    assert record.passed, record.detail


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", TAPS)
def test_the_optimized_model_is_within_the_bound_of_every_dtype(name: str, dtype: str) -> None:
    golden = open_store().golden(name)
    given = taps_of("optimized", golden, state_of(golden), dtype)
    assert given["dtype"] == dtype
    assert given["wiring"] == []
    assert failed(golden, given) == []


@pytest.mark.parametrize("name", TAPS)
def test_a_coarser_dtype_is_seen(name: str) -> None:
    """The wrong implementation: one that computes in bfloat16 and calls it float32."""
    golden = open_store().golden(name)
    given = taps_of("optimized", golden, state_of(golden), "bfloat16")
    assert failed(golden, given | {"dtype": "float32"})[0] == tap_names(golden)[0]


@pytest.mark.parametrize("name", TAPS)
def test_what_stages_read_is_what_the_reference_gives_them(name: str) -> None:
    """Rounded to float32 and stored: off by one rounding, of whatever the rest of float64 may add."""
    golden = open_store().golden(name)
    model = described(golden.metadata.details["config"], state_of(golden))
    natural = natural_states(model, golden.inputs)
    assert natural.keys() == entering(golden).keys()
    unit = Precision.of("float32").accumulator
    for stage, state in natural.items():
        off = np.abs(entering(golden)[stage].astype(np.float64) - state)
        assert (off <= unit * np.abs(state) + Precision.of("float32").tiny_output).all(), stage


BANDED = [name for name in TAPS if "roberta" not in name]


@pytest.mark.parametrize("witness", WITNESSES)
@pytest.mark.parametrize("name", BANDED)
def test_the_window_of_one_layer_is_seen_at_that_layer(name: str, witness: str) -> None:
    golden = open_store().golden(name)
    config = golden.metadata.details["config"]
    last = len(config["attention_window"]) - 1
    windows = [*config["attention_window"][:last], config["attention_window"][last] + 2]
    given = taps_of(witness, golden, state_of(golden), config=config | {"attention_window": windows})
    stage = f"{'encoder.' if 'led' in name else ''}layer.{last}"
    assert failed(golden, given) == [f"{stage}.attention", stage]


@pytest.mark.parametrize("witness", WITNESSES)
@pytest.mark.parametrize("name", TAPS)
def test_one_mantissa_bit_of_one_weight_is_seen_at_its_layer(name: str, witness: str) -> None:
    golden = open_store().golden(name)
    led = "led" in name
    ending = "encoder.layers.0.fc2.weight" if led else "encoder.layer.0.output.dense.weight"
    state = state_of(golden)
    part = next(key for key in state if key.endswith(ending))
    changed = state[part].copy()
    place = np.unravel_index(np.abs(changed).argmax(), changed.shape)
    changed.view(np.int32)[place] ^= 1 << 19
    given = taps_of(witness, golden, state | {part: changed})
    assert failed(golden, given) == [f"{'encoder.' if led else ''}layer.0"]


FAULTS: dict[str, tuple[str, Callable[[Arrays], Arrays]]] = {
    "padding is attended": ("attention_mask", lambda inputs: {"attention_mask": np.ones_like(inputs["input_ids"])}),
    "global tokens are those of row 0": (
        "global_attention_mask",
        lambda inputs: {
            "global_attention_mask": np.broadcast_to(
                inputs["global_attention_mask"][:1], inputs["input_ids"].shape
            ).copy()
        },
    ),
    "no token is global": (
        "global_attention_mask",
        lambda inputs: {"global_attention_mask": np.zeros_like(inputs["input_ids"])},
    ),
    "padding of the decoder is attended": (
        "decoder_attention_mask",
        lambda inputs: {"decoder_attention_mask": np.ones_like(inputs["decoder_input_ids"])},
    ),
}
SEEN_BY = {
    "padding is attended": "taps_sapiens_roberta",
    "global tokens are those of row 0": "taps_sapiens_longformer",
    "no token is global": "taps_sapiens_led",
    "padding of the decoder is attended": "taps_bart_led",
}


@pytest.mark.parametrize("witness", WITNESSES)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_mask_that_is_ignored_is_seen(fault: str, witness: str) -> None:
    golden = open_store().golden(SEEN_BY[fault])
    argument, change = FAULTS[fault]
    assert argument in golden.inputs
    given = taps_of(witness, golden, state_of(golden), inputs=golden.inputs | change(golden.inputs))
    assert failed(golden, given)[0].endswith("layer.0.attention")


def test_rows_of_a_decoder_are_its_own() -> None:
    golden = open_store().golden("taps_bart_led")
    for name in tap_names(golden):
        length = golden.inputs["input_ids" if name.startswith("encoder") else "decoder_input_ids"].shape[1]
        rows = rows_of(golden, name)
        assert rows is not None
        assert rows.max() == length - 1
