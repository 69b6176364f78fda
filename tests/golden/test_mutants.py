"""Teeth of the published numbers: one mantissa bit of one weight, or the window of one layer, and a golden fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from trueband.golden import GoldenRecord, load_sapiens
from trueband.golden.seq2seq_witness import reference_seq2seq
from trueband.golden.weights.bart import bart_to_led
from trueband.golden.weights.bart_g2p import load_bart_g2p
from trueband.golden.witness import reference_masked_lm

pytestmark = pytest.mark.evidence

Run = Callable[..., GoldenRecord]
Arrays = dict[str, np.ndarray]
TOP = 22  # the highest bit of a float32's mantissa: the weight changes by a quarter to a half of itself
TRIED = 4  # the largest weights of an array; one of them may stand before a unit that is off
SAPIENS = ["sapiens_embedding_fairseq_2022", "sapiens_scores_row_0", "sapiens_scores_row_3"]
BART = ["bart_g2p_encoder_row0", "bart_g2p_first_logits", "bart_led_first_logits_all_global"]

# What no output of the model depends on: a key's bias adds the same to all scores of a row, which the softmax takes
# away again; one of two tied arrays is read; zeros stay below all digits with any one bit of the mantissa set.
NEVER_SEEN = {"token_type_embeddings.weight", "lm_head.decoder.bias", "final_logits_bias"}
# The first step of the decoder attends one token, itself, whatever the scores.
NOT_AT_THE_FIRST_STEP = {f"led.decoder.layers.0.self_attn.{x}_proj.{y}" for x in "qk" for y in ("weight", "bias")}


def flipped(array: np.ndarray, place: int) -> np.ndarray:
    changed = array.copy()
    changed.reshape(-1).view(np.uint32)[place] ^= np.uint32(1 << TOP)
    return changed


def masked_lm(name: str, place: int) -> Callable[..., Any]:
    def wrong(architecture: str, config: Any, state: Arrays, *rest: Any) -> dict[str, Any]:
        return reference_masked_lm(architecture, config, state | {name: flipped(state[name], place)}, *rest)

    return wrong


def seq2seq(name: str, place: int) -> Callable[..., Any]:
    def wrong(config: Any, state: Arrays, *rest: Any) -> dict[str, Any]:
        return reference_seq2seq(config, state | {name: flipped(state[name], place)}, *rest)

    return wrong


def hidden(name: str) -> bool:
    never = any(name.endswith(each) for each in NEVER_SEEN) or name in NOT_AT_THE_FIRST_STEP
    return never or any(f"{part}.bias" in name for part in (".key", ".key_global", "k_proj"))


def read(name: str, array: np.ndarray) -> np.ndarray:
    """Places of the largest weights, of tables in the rows that the texts use: their positions and first tokens."""
    size = np.abs(array)
    if "position" in name:
        used = slice(0, 1) if "decoder" in name else slice(1, 3) if name.startswith("led.") else slice(2, 100)
        size = np.where(np.isin(np.arange(len(array)), np.arange(len(array))[used])[:, None], size, -1)
    elif "shared" in name:  # the start symbol, of both texts
        size = np.where((np.arange(len(array)) == 1)[:, None], size, -1)
    return np.argsort(-size, axis=None)[:TRIED]


SAPIENS_STATE = load_sapiens().state
BART_STATE = bart_to_led(load_bart_g2p(), 64, 128).state
SEEN = [
    *(("masked_lm", name) for name in SAPIENS_STATE if not hidden(name)),
    *(("seq2seq", name) for name in BART_STATE if not hidden(name)),
]


@pytest.mark.parametrize(("form", "name"), SEEN)
def test_one_bit_of_one_weight_is_seen(outcome_of: Run, form: str, name: str) -> None:
    state, goldens, wrong = {
        "masked_lm": (SAPIENS_STATE, SAPIENS, masked_lm),
        "seq2seq": (BART_STATE, BART, seq2seq),
    }[form]
    for place in read(name, state[name]):
        for golden in goldens:
            record = outcome_of(golden, {form: wrong(name, int(place))})
            assert "raised" not in record.detail
            if not record.passed:
                return
    pytest.fail(f"{name}: no golden sees it")


@pytest.mark.parametrize("name", [name for name in SAPIENS_STATE if hidden(name)])
def test_what_no_output_depends_on_is_not_seen(outcome_of: Run, name: str) -> None:
    place = int(read(name, SAPIENS_STATE[name])[0])
    assert all(outcome_of(golden, {"masked_lm": masked_lm(name, place)}).passed for golden in SAPIENS)


@pytest.mark.parametrize("layer", range(4))
@pytest.mark.parametrize("by", [-2, 2])
@pytest.mark.parametrize("name", ["longformer_layers_64_no_globals", "longformer_layers_64_globals_padded"])
def test_the_window_of_one_layer_is_seen(outcome_of: Run, name: str, layer: int, by: int) -> None:
    """One token more or less on each side, in one layer of four."""

    def wrong(architecture: str, config: dict[str, Any], *rest: Any) -> dict[str, Any]:
        windows = [config["attention_window"] + by * (i == layer) for i in range(4)]
        return reference_masked_lm(architecture, config | {"attention_window": windows}, *rest)

    record = outcome_of(name, {"masked_lm": wrong})
    assert not record.passed
    assert f"layer {layer}" in record.detail


@pytest.mark.parametrize("layer", range(4))
def test_a_published_number_sees_the_window_of_one_layer(outcome_of: Run, layer: int) -> None:
    """Half the window in one layer no longer covers the text."""

    def wrong(architecture: str, config: dict[str, Any], *rest: Any) -> dict[str, Any]:
        windows = [128 if i == layer else config["attention_window"] for i in range(4)]
        return reference_masked_lm(architecture, config | {"attention_window": windows}, *rest)

    assert not outcome_of("longformer_window_256_no_globals", {"masked_lm": wrong}).passed
