"""Where planted faults, and right kernels near to them, are registered. A line with a fault ends in "# fault"."""

from __future__ import annotations

from collections.abc import Callable

import torch

FAULTY: dict[str, Callable[[], None]] = {}
RIGHT: dict[str, Callable[[], None]] = {}


def faulty(kind: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Launches kernels with a fault of this kind; `test_sanitizer.py` reads it off the source."""

    def register(function: Callable[[], None]) -> Callable[[], None]:
        FAULTY[function.__name__] = function
        return function

    return register


def right(function: Callable[[], None]) -> Callable[[], None]:
    """Launches kernels without a fault."""
    RIGHT[function.__name__] = function
    return function


def same(found: torch.Tensor, expected: torch.Tensor) -> None:
    """A fault that the numbers tell is not what is planted."""
    assert torch.equal(found, expected), f"expected {expected}, got {found}"
