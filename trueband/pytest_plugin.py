"""The pytest plugin: the fixture `golden`. It does nothing to a suite that does not use it, and loads nothing before.

def test_my_layers(golden):
    recording = golden("tests/data/my-model.safetensors")
    recording.assert_close(run(recording.inputs), tap="layer.3", dtype="bfloat16")

    published = golden("sapiens_accuracy")
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from trueband.golden_fixture import GoldenInTest


@pytest.fixture(scope="session")
def golden() -> Callable[[str | Path], GoldenInTest]:
    """A golden by its id in the store of the package, or a recording by its path: see `trueband.golden_fixture`."""
    from trueband.golden_fixture import golden_in_test

    return golden_in_test
