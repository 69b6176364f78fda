"""The recorder of the store's taps still makes them: the same inputs, rows and words about them."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from trueband.golden.store import Metadata, open_store

TOOLS = Path(__file__).resolve().parents[3] / "tools"
STORE = open_store()
TAPS = [name for name in STORE if STORE.index[name]["kind"] == "taps"]


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(TOOLS))
    import record_taps

    yield record_taps
    del sys.modules["record_taps"]


def told(metadata: Metadata) -> Metadata:
    """All but the version that wrote it, and the reasons why it was written again."""
    return dataclasses.replace(metadata, generator="", why=[])


def test_every_golden_of_the_kind_is_made(recorder: ModuleType) -> None:
    assert sorted(recorder.cases()) == TAPS


@pytest.mark.evidence
@pytest.mark.parametrize("name", TAPS)
def test_the_golden_is_made_again(recorder: ModuleType, name: str) -> None:
    made, stored = recorder.record(name, recorder.cases()[name], []), STORE.golden(name)
    assert told(made.metadata) == told(stored.metadata)
    assert {key: array.dtype for key, array in made.arrays.items()} == {
        key: array.dtype for key, array in stored.arrays.items()
    }
    # Numbers of the reference depend on the order of sums, so on the machine; what was chosen does not.
    chosen = [key for key in stored.arrays if key.startswith("input.") or key in ("rows", "decoder_rows", "columns")]
    assert [key for key in chosen if not np.array_equal(made.arrays[key], stored.arrays[key])] == []
