"""The recorded files are the ones that the index tells of, small, and complete."""

from __future__ import annotations

import hashlib
from importlib.resources import files

import numpy as np
import pytest

from trueband.golden.recorded import FOLDER, index, recorded

RECORDINGS = (
    "led_head_masks", "led_sequence_classification", "roberta_cross_head_mask", "roberta_decoder_relative_key",
    "roberta_decoder_relative_key_query", "roberta_head_mask", "roberta_pruned", "roberta_relative_key",
    "roberta_relative_key_query",
)  # fmt: skip
LARGEST_FILE, LARGEST_SUM = 300_000, 4_000_000


def test_every_recording_is_there() -> None:
    assert tuple(sorted(index())) == RECORDINGS
    folder = files("trueband.golden").joinpath(FOLDER)
    names = {each.name for each in folder.iterdir()}
    assert names == {"index.json", *(f"{name}.safetensors" for name in RECORDINGS)}
    assert sum(told["bytes"] for told in index().values()) < LARGEST_SUM


@pytest.mark.parametrize("name", RECORDINGS)
def test_a_recording_is_what_the_index_says(name: str) -> None:
    told, recording = index()[name], recorded(name)
    content = files("trueband.golden").joinpath(FOLDER, f"{name}.safetensors").read_bytes()
    assert hashlib.sha256(content).hexdigest() == told["sha256"]
    assert len(content) == told["bytes"] < LARGEST_FILE
    assert recording.metadata == {key: value for key, value in told.items() if key not in ("sha256", "bytes")}
    assert recording.metadata["transformers"] == "4.46.3"
    assert {array.dtype for array in recording.state.values()} == {np.dtype(np.float32)}
    assert {array.dtype for array in recording.outputs.values()} == {np.dtype(np.float64)}
    for key, output in recording.outputs.items():
        array = output.copy()
        if key.startswith("encoder_global_attentions."):  # a missing global token's slot, in the second text:
            assert np.isnan(array[1, :, :, 1]).all()  # the peer's float64 gives NaN there, and never reads it
            array[1, :, :, 1] = 0
        assert np.isfinite(array).all(), key
    assert "input_ids" in recording.inputs


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ValueError, match=r"name: expected one of led_head_masks, .*, got 'ghost'"):
        recorded("ghost")
