"""A device that is not there, for a test."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

DEVICES = Path(__file__).parent / "devices"


@pytest.fixture
def kernels() -> Iterator[Any]:
    """The kernels of the stand-in, which is there until the end of a test."""
    import torch

    before = dict(vars(torch.cuda))
    stand_in = _load("stand_in")
    try:
        yield _load("kernels")
    finally:
        stand_in.uninstall(before)
        for name in ("stand_in", "kernels"):
            del sys.modules[name]


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, DEVICES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
