"""Copies of stores to spoil."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from trueband.golden.store import Store, open_store
from trueband.golden.store.store import INDEX, write_index


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A folder with three goldens of the package and an index of its own: arrays, texts, weights."""
    whole = open_store()
    for name in ("sapiens_accuracy", "bart_g2p_word_com", "lf_tiny_layer_local_more_digits"):
        file = whole.index[name]["file"]
        (tmp_path / file).parent.mkdir(exist_ok=True)
        shutil.copyfile(whole.folder / file, tmp_path / file)
    write_index(tmp_path)
    return tmp_path


@pytest.fixture
def opened(small: Path) -> Callable[[], Store]:
    """Opens the folder as it stands now."""
    return lambda: open_store.__wrapped__(small)


@pytest.fixture
def index(small: Path) -> Path:
    return small / INDEX
