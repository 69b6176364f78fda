"""Building `legal_blas.c`, and the environment of a process that computes with it. Linux, torch built with MKL."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

SOURCE = Path(__file__).with_suffix(".c")
MODES = ("align", "shape", "place", "call")
COMPILERS = ("cc", "gcc", "clang")


class NoCompiler(Exception):
    """The library cannot be built on this machine."""


def build(folder: Path) -> Path:
    """The shared library, in a folder.

    Raises:
        NoCompiler: there is no C compiler, or it refuses.
    """
    asked = (os.environ.get("CC", ""), *COMPILERS)
    compiler = next(filter(None, (shutil.which(name) for name in asked if name)), None)
    if compiler is None:
        raise NoCompiler(f"legal_blas: expected a C compiler ({', '.join(COMPILERS)}, or CC), got none")
    library = folder / "liblegal_blas.so"
    # Without contraction: a product and a sum are two roundings, on every machine.
    command = [compiler, "-O2", "-std=gnu11", "-ffp-contract=off", "-shared", "-fPIC", "-o", str(library), str(SOURCE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoCompiler(f"legal_blas: expected {compiler} to build {SOURCE.name}, got: {done.stderr.strip()}")
    return library


def environment(library: Path, mode: str, given: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables of a process that computes with the library; `given`: the others, None: those of this process."""
    return {**(os.environ if given is None else given), "LD_PRELOAD": str(library), "LEGAL_BLAS": mode}
