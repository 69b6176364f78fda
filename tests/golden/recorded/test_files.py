"""The recordings of transformers 4.46 are goldens of the store, small, and complete."""

from __future__ import annotations

import numpy as np
import pytest

from trueband.golden.recorded import START, names, recorded
from trueband.golden.store import open_store

RECORDINGS = (
    "led_head_masks", "led_sequence_classification", "roberta_cross_head_mask", "roberta_decoder_relative_key",
    "roberta_decoder_relative_key_query", "roberta_head_mask", "roberta_pruned", "roberta_relative_key",
    "roberta_relative_key_query",
)  # fmt: skip
LARGEST_FILE, LARGEST_SUM = 300_000, 4_000_000


def test_every_recording_is_there() -> None:
    assert names() == RECORDINGS
    store = open_store()
    sizes = [(store.folder / store.index[f"{START}{name}"]["file"]).stat().st_size for name in names()]
    assert max(sizes) < LARGEST_FILE
    assert sum(sizes) < LARGEST_SUM


@pytest.mark.parametrize("name", RECORDINGS)
def test_a_recording_is_complete(name: str) -> None:
    recording = recorded(name)
    assert {"class", "config", "seed", "torch", "numpy", "what"} <= recording.metadata.keys()
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
