"""Threads of the numerical libraries. Cases are small: more than one thread costs much time and gains nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping

OPENMP = "OMP_NUM_THREADS"
VARIABLES = (OPENMP, "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def single(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables that ask for one thread, without those the user has set.

    OMP_NUM_THREADS sets all of them: MKL and OpenBLAS take its number where they have none of their own.
    """
    environment = os.environ if environment is None else environment
    return {name: "1" for name in VARIABLES if not environment.keys() & {name, OPENMP}}


def use_one() -> None:
    """Ask for one thread in this process and its children. Works before numpy and torch are imported."""
    os.environ.update(single())
