"""Standard deviations in two bytes: sixteenths of a power of two, rounded up, so that no bound gets tighter."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trueband.properties.bounds.bound import Float

STEPS = 16  # of a factor of 2; at most 4.5 percent above the true value
ZERO = np.iinfo(np.int16).min  # stands for a standard deviation of 0


def packed(sigma: Float) -> NDArray[np.int16]:
    """The smallest steps that are not below sigma."""
    with np.errstate(divide="ignore"):
        steps = np.where(sigma == 0, ZERO, np.ceil(STEPS * np.log2(sigma)))
    return (steps + (unpacked(steps) < sigma)).astype(np.int16)  # the logarithm is rounded too


def unpacked(steps: NDArray[Any]) -> Float:
    """Standard deviations, never below those that were packed."""
    return np.where(steps == ZERO, 0.0, np.exp2(steps / STEPS))
