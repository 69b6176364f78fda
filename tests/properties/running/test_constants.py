"""What a search draws depends on its seed alone, not on the modules that happen to be loaded."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.internal import conjecture

from trueband.properties.results.verdict import Verdict, judge_exact
from trueband.properties.running import hypothesis_constants as constants
from trueband.properties.running import search

NUMBERS = st.lists(st.integers(0, 10_000), min_size=20, max_size=20)


def drawn() -> list[list[int]]:
    """The cases of a search of which each passes."""
    seen: list[list[int]] = []

    def function(case: list[int]) -> Iterator[Verdict]:
        seen.append(case)
        yield judge_exact(np.zeros(1), np.zeros(1))

    search.search(SimpleNamespace(name="passes", function=function), None, NUMBERS, 30, 5, lambda _, case: case)
    return seen


def load(folder: Path, name: str, first: int) -> None:
    (folder / f"{name}.py").write_text(f"NUMBERS = {list(range(first, first + 400))}\n", encoding="utf-8")
    importlib.import_module(name)


def test_a_module_of_numbers_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    before = drawn()
    load(tmp_path, "loaded_numbers", 3000)
    assert drawn() == before
    providers = getattr(conjecture, "providers", None)
    if not all(hasattr(providers, name) for name in constants.NAMES):
        return  # a version that never draws them
    kept = [getattr(providers, name) for name in constants.NAMES]
    monkeypatch.setattr(search, "no_constants_of_modules", contextlib.nullcontext)
    without = drawn()
    load(tmp_path, "further_numbers", 8000)
    assert drawn() != without  # what Hypothesis does when nobody keeps it from it
    assert [getattr(providers, name) for name in constants.NAMES] == kept
