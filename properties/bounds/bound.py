"""A bound on an error: a value for each element, made of named terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Bound:
    """Largest error that correct arithmetic can make, element by element.

    Attributes:
        terms: what the bound is the sum of, each of the shape of the result.
        keys: how many keys the row (or, of a key's gradient, how many rows the key) attends, where that is known;
            broadcasts to the shape of the result.
    """

    terms: Mapping[str, Float]
    keys: NDArray[np.int64] | None = None

    @cached_property
    def total(self) -> Float:
        return np.sum(np.stack(list(self.terms.values())), axis=0)

    def dominant(self, index: tuple[int, ...]) -> str:
        """Name of the largest term at an element."""
        return max(self.terms, key=lambda name: float(self.terms[name][index]))

    def __add__(self, other: Bound) -> Bound:
        """Bound of a sum or difference of two results."""
        names = list(self.terms) + [name for name in other.terms if name not in self.terms]
        zero = np.zeros(())
        terms = {name: self.terms.get(name, zero) + other.terms.get(name, zero) for name in names}
        return Bound(terms, self.keys if self.keys is not None else other.keys)

    def scaled(self, factor: float | Float) -> Bound:
        """Bound of the result times a factor that is exact."""
        return Bound({name: np.abs(factor) * term for name, term in self.terms.items()}, self.keys)

    def at(self, index: object) -> Bound:
        """Bound of a part of the result."""
        keys = None if self.keys is None else np.broadcast_to(self.keys, self.total.shape)[index]  # type: ignore[call-overload]
        return Bound({name: term[index] for name, term in self.terms.items()}, keys)  # type: ignore[call-overload]


def exact(shape: tuple[int, ...]) -> Bound:
    """No error at all."""
    return Bound({"exact": np.zeros(shape)})
