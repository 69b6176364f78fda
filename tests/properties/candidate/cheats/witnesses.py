"""Cheats that let the package answer its own question."""

from __future__ import annotations

import importlib
import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from honest import attention

FOUND: Any = importlib.util.find_spec("trueband.properties")
SOURCE = Path(FOUND.submodule_search_locations[0]).parent / "reference" / "masks.py"


def imports_the_reference(query, key, value, *, window):  # type: ignore[no-untyped-def]
    """Returns what the reference returns."""
    from trueband.reference import band_attention

    return band_attention(query, key, value, window=window).output.astype(query.dtype)


def tries_and_falls_back(query, key, value, *, window):  # type: ignore[no-untyped-def]
    """Tries the optimized witness, and is honest where it cannot have it."""
    try:
        importlib.import_module("trueband.optimized")
    except Exception:
        return attention(query, key, value, window=window)
    return np.zeros_like(query)


def imports_a_specimen(query, key, value, *, window):  # type: ignore[no-untyped-def]
    """Clears the way of all finders that might refuse, and takes the kernel that faults are seeded into."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if "trueband" not in type(finder).__module__]
    faults = importlib.import_module("trueband.properties.faults")
    return faults.Specimen()(query, key, value, window=window)


def reads_the_source(query, key, value, *, window):  # type: ignore[no-untyped-def]
    """Does not import the reference: it executes its source."""
    names: dict = {}
    exec(SOURCE.read_text(encoding="utf-8"), names)
    return attention(query, key, value, window=window)


def reads_the_source_by_a_link(query, key, value, *, window):  # type: ignore[no-untyped-def]
    """The same, through a link of another name."""
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / "notes.txt"
        link.symlink_to(SOURCE)
        link.read_text(encoding="utf-8")
    return attention(query, key, value, window=window)


def asks_another_process(query, key, value, *, window):  # type: ignore[no-untyped-def]
    """Has a process of its own that nobody watches."""
    subprocess.run([sys.executable, "-c", "from trueband.reference import band_attention"], check=True)
    return attention(query, key, value, window=window)


def asks_a_fork(query, key, value, *, window):  # type: ignore[no-untyped-def]
    """Has a copy of itself import the reference."""
    child = os.fork()
    if child == 0:
        try:
            importlib.import_module("trueband.reference.attention")
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    return attention(query, key, value, window=window)


def reads_the_judge(query, key, value, *, window):  # type: ignore[no-untyped-def]
    """Looks for the expected result in the memory of the judging process."""
    with Path(f"/proc/{os.getppid()}/mem").open("rb") as memory:
        memory.read(8)
    return attention(query, key, value, window=window)


def ends_the_judge(query, key, value, *, window):  # type: ignore[no-untyped-def]
    """Who has no judge fails no check."""
    os.kill(os.getppid(), signal.SIGTERM)
    return np.zeros_like(query)
