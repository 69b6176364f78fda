"""Kernels with planted faults, and right ones that come near: `TRITON_INTERPRET=1 python planted.py MODE`.

Prints {name: what went wrong}. MODE is plain: in Triton's interpreter alone; sanitized; or mended: sanitized, in the
interpreter as the package mends it. Or it is orders: prints in which order programs run.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import sys
from collections.abc import Callable

import numpy as np
import torch
import triton
import triton.language as tl
from planted_registry import FAULTY, RIGHT

from trueband.gpu.interpreter import mend
from trueband.properties.gpu.sanitizer import sanitized
from trueband.properties.gpu.triton_version import numbers

NEWER = ["newer"] if numbers(triton.__version__) >= (3, 4) else []
MODULES = ["bounds", "forms", "lanes", "memory", *NEWER, "order", "races"]


@triton.jit
def note_order(places, counter):
    program = (tl.program_id(0) * tl.num_programs(1) + tl.program_id(1)) * tl.num_programs(2) + tl.program_id(2)
    tl.store(places + tl.atomic_add(counter, 1), program)


def orders() -> list[list[int]]:
    """In which order twelve programs run, for two seeds."""
    found = []
    for seed in (0, 1):
        places, counter = torch.empty(12, dtype=torch.int32), torch.zeros(1, dtype=torch.int32)
        with sanitized(seed):
            note_order[(3, 2, 2)](places, counter)
        found.append(places.tolist())
    return found


def plain(function: Callable[[], None]) -> str | None:
    try:
        function()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def watched(function: Callable[[], None]) -> list[list[str]]:
    """[kind, the line of the source, tensor] of each finding."""
    with sanitized() as report, contextlib.suppress(AssertionError):  # an access that is refused changes the numbers
        function()
    return [[finding.kind, finding.place.source, finding.tensor] for finding in report.findings]


if __name__ == "__main__":
    np.seterr(all="ignore")
    torch.set_num_threads(1)
    for module in MODULES:
        importlib.import_module(f"planted_{module}")
    if sys.argv[1] == "orders":
        print(json.dumps(orders()))
        sys.exit()
    if sys.argv[1] == "mended":
        mend()
    look = plain if sys.argv[1] == "plain" else watched
    print(json.dumps({name: look(function) for name, function in {**FAULTY, **RIGHT}.items()}))
