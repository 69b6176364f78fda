"""The examples in the docstrings of the reference run, and say what they print."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from types import ModuleType

import pytest

import trueband.reference

MODULES = [
    "trueband.reference",
    *(f"trueband.reference.{m.name}" for m in pkgutil.iter_modules(trueband.reference.__path__)),
]


def run(module: ModuleType) -> doctest.TestResults:
    return doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    assert run(importlib.import_module(name)).failed == 0


def test_the_operator_has_an_example() -> None:
    assert run(importlib.import_module("trueband.reference.attention")).attempted > 0


def test_a_wrong_example_is_seen(capsys: pytest.CaptureFixture[str]) -> None:
    wrong = ModuleType("wrong", ">>> 1 + 1\n3\n")
    assert run(wrong).failed == 1
    assert "Expected:" in capsys.readouterr().out
