"""Dropout of the reference: what it multiplies by."""

from __future__ import annotations

import numpy as np

from trueband.properties.models.checks.dropout import judge_count
from trueband.reference.dropout import Dropout, keep_all

SHAPE = (3, 5, 7)


def test_an_element_is_dropped_or_scaled_to_keep_the_mean() -> None:
    keep = Dropout(1, {"hidden": 0.25})
    kept = np.asarray(keep("layer", "hidden", SHAPE))
    assert set(np.unique(kept)) == {0.0, 1 / 0.75}
    assert judge_count(int((kept != 0).sum()), kept.size, 0.75, "layer").passed


def test_a_place_and_a_seed_draw_the_same_again_and_others_do_not() -> None:
    keep, other = (Dropout(seed, {"hidden": 0.5}) for seed in (1, 2))
    first = keep("a", "hidden", SHAPE)
    assert np.array_equal(first, keep("a", "hidden", SHAPE))
    assert not np.array_equal(first, keep("b", "hidden", SHAPE))
    assert not np.array_equal(first, other("a", "hidden", SHAPE))


def test_without_a_rate_nothing_is_dropped() -> None:
    assert Dropout(1, {"hidden": 0.0})("a", "hidden", SHAPE) == 1.0
    assert Dropout(1, {"hidden": 0.5})("a", "attention", SHAPE) == 1.0
    assert keep_all("a", "hidden", SHAPE) == 1.0
