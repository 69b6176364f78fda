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
LIBRARY = "liblegal_blas.so"


class NoCompiler(Exception):
    """The library cannot be built on this machine."""


def build(folder: Path, source: Path = SOURCE) -> Path:
    """The shared library, in a folder.

    Raises:
        NoCompiler: there is no C compiler, or it refuses.
    """
    names = [name for name in (os.environ.get("CC", ""), *COMPILERS) if name]
    compiler = next(filter(None, map(shutil.which, names)), None)
    if compiler is None:
        raise NoCompiler(f"legal_blas: expected a C compiler ({', '.join(COMPILERS)}, or CC), got none")
    library = folder / LIBRARY
    # Without contraction: a product and a sum are two roundings, on every machine.
    command = [compiler, "-O2", "-std=gnu11", "-ffp-contract=off", "-shared", "-fPIC", "-o", str(library), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        told = " ".join(done.stderr.split())
        raise NoCompiler(f"legal_blas: expected {compiler} to build {source.name}, got: {told}")
    return library


def variables(library: Path, mode: str) -> dict[str, str]:
    """What a process needs to compute with the library. It logs its calls beside the library; see `called`."""
    return {"LD_PRELOAD": str(library), "LEGAL_BLAS": mode, "LEGAL_BLAS_LOG": str(library.with_name(f"{mode}.log"))}


def environment(library: Path, mode: str, given: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables of a process that computes with the library; `given`: the others, None: those of this process."""
    return {**(os.environ if given is None else given), **variables(library, mode)}


def called(library: Path, mode: str) -> int:
    """How many processes have computed with the library in a mode. 0: what was shown by them, it has not shown."""
    log = library.with_name(f"{mode}.log")
    lines = log.read_text(encoding="ascii").splitlines() if log.exists() else []
    return sum(line.endswith(f" {mode}") for line in lines)
