"""The published outputs of checkpoints in the store: each can be read, run or says why not."""

from __future__ import annotations

import numpy as np
import pytest

from trueband import optimized
from trueband.golden.checkpoints import read_table
from trueband.golden.checkpoints.outputs import OUTPUTS
from trueband.golden.checkpoints.slices import parse_slice
from trueband.golden.store import Golden, open_store
from trueband.golden.store.digest import inputs_sha256

FIELDS = ("last_hidden_state", "encoder_last_hidden_state", "logits", "loss", "generated_tokens")


@pytest.fixture(scope="module")
def goldens() -> list[Golden]:
    store = open_store()
    return [store.golden(name) for name in store if store.index[name]["file"].startswith("checkpoints/")]


def test_all_entries_are_there(goldens: list[Golden]) -> None:
    kinds = [golden.metadata.kind for golden in goldens]
    assert len(goldens) >= 130
    assert kinds.count("superseded") == 4
    assert kinds.count("derived") >= 5


def test_each_belongs_to_a_checkpoint_of_the_table(goldens: list[Golden]) -> None:
    table = read_table()
    assert {golden.metadata.checkpoint for golden in goldens} <= table.keys()
    used = {golden.metadata.checkpoint for golden in goldens}
    assert [name for name, each in table.items() if not each.keys & used] == []


def test_each_runs_or_says_why_not(goldens: list[Golden]) -> None:
    for golden in goldens:
        told = golden.metadata
        assert told.run in ("checkpoint", "token_ids"), told.id
        if told.cannot_run is None and told.run == "checkpoint":
            assert told.model_class in optimized.__all__, told.id
            assert told.output in (*OUTPUTS, *FIELDS), told.id
            assert told.inputs, told.id
        if told.cannot_run is None:
            parse_slice(told.slice)


def test_each_tells_its_source_and_its_tolerance(goldens: list[Golden]) -> None:
    for golden in goldens:
        told = golden.metadata
        assert told.source.publisher, told.id
        assert told.source.path, told.id
        assert told.license, told.id
        assert told.inputs_sha256 == inputs_sha256(told.inputs, {}), told.id
        if "expected" in golden.arrays and golden.expected.dtype.kind == "f":
            assert told.tolerance is not None, told.id
            assert told.tolerance.why, told.id
            assert np.isfinite(golden.expected).all(), told.id


def test_a_superseded_value_is_out_of_reach_of_the_one_that_replaced_it(goldens: list[Golden]) -> None:
    """A correct implementation, which hits the new value, misses the old one."""
    by_id = {golden.id: golden for golden in goldens}
    pairs = {
        golden.id: golden.id.removesuffix("_v2_11").removesuffix("_old")
        for golden in goldens
        if golden.metadata.kind == "superseded"
    }
    for old, new in pairs.items():
        both = [(by_id[each].metadata.tolerance, by_id[each].expected) for each in (old, new)]
        reach = [t.absolute + t.relative * np.abs(expected) for t, expected in both if t is not None]
        assert (np.abs(both[0][1] - both[1][1]) > reach[0] + reach[1]).any(), old
