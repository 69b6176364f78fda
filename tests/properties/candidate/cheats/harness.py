"""Cheats that change what judges them."""

from __future__ import annotations

import sys

import hypothesis
import numpy as np
import pytest


def patches_numpy(query, key, value, *, window):  # type: ignore[no-untyped-def]
    """Makes every comparison of numpy succeed."""
    for name in ("array_equal", "allclose", "isclose"):
        setattr(np, name, lambda *_, **__: True)
    np.argmax = lambda *_, **__: 0  # type: ignore[assignment]
    np.abs = np.absolute = lambda array: np.zeros_like(array)  # type: ignore[assignment]
    return np.zeros_like(query)


def patches_hypothesis(query, key, value, *, window):  # type: ignore[no-untyped-def]
    """Has no further cases generated."""
    hypothesis.settings.register_profile("none", max_examples=1)
    hypothesis.settings.load_profile("none")
    hypothesis.given = lambda *_, **__: lambda test: test
    return np.zeros_like(query)


def patches_the_runner(query, key, value, *, window):  # type: ignore[no-untyped-def]
    """Replaces what looks at the inputs after a call, and changes them."""
    desk = sys.modules["trueband.properties.candidate.desk"].Desk
    desk.check_inputs = lambda self: None
    value[...] = 0
    return np.zeros_like(query)


def skips_the_test(query, key, value, *, window):  # type: ignore[no-untyped-def]
    """A test that is skipped does not fail."""
    pytest.skip("not on this machine")


def rejects_the_example(query, key, value, *, window):  # type: ignore[no-untyped-def]
    """An example that is rejected does not fail."""
    hypothesis.assume(False)


def exits_with_success(query, key, value, *, window):  # type: ignore[no-untyped-def]
    """A process that ends with 0 has not failed."""
    sys.exit(0)
