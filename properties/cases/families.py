"""Families of numbers, from the simplest to the hardest. An array depends on its family, name, shape and seed alone."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from trueband.properties.bounds.precision import round_to

Float = NDArray[np.float64]
Draw = Callable[[str, tuple[int, ...], np.random.Generator], Float]


def _uniform(name: str, shape: tuple[int, ...], random: np.random.Generator) -> Float:
    """Uniform attention: every query is 0, so that every visible key has the same probability."""
    return np.zeros(shape) if name.startswith("query") else random.standard_normal(shape)


def _normal(name: str, shape: tuple[int, ...], random: np.random.Generator) -> Float:
    return random.standard_normal(shape)


def _peaked(name: str, shape: tuple[int, ...], random: np.random.Generator) -> Float:
    """Few keys take almost all of the probability."""
    return random.standard_normal(shape) * (8.0 if name.startswith("query") else 1.0)


def _integer(name: str, shape: tuple[int, ...], random: np.random.Generator) -> Float:
    """Small integers: products and scores are exact in every dtype, and ties are common."""
    return random.integers(-3, 4, shape).astype(np.float64)


def _adversarial(name: str, shape: tuple[int, ...], random: np.random.Generator) -> Float:
    """Cancellation and spread: keys share a large offset, values alternate in sign, sizes span powers of two."""
    numbers = random.standard_normal(shape)
    if name.startswith("key"):
        return numbers + 6.0 * random.standard_normal((*shape[:2], 1, shape[3]))
    if name.startswith("value"):
        sign = np.where(random.integers(0, 2, shape) == 0, -1.0, 1.0)
        return numbers + 64.0 * sign
    return numbers * np.exp2(random.integers(-6, 3, (*shape[:3], 1)))


FAMILIES: dict[str, Draw] = {
    "uniform": _uniform,
    "normal": _normal,
    "peaked": _peaked,
    "integer": _integer,
    "adversarial": _adversarial,
}


def draw(family: str, name: str, shape: tuple[int, ...], seed: int, dtype: str) -> Float:
    """The array `name` of a family, as float64 values on the grid of `dtype`."""
    random = np.random.default_rng([seed, zlib.crc32(name.encode())])
    return round_to(FAMILIES[family](name, shape, random), dtype)
