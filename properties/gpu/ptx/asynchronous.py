"""Work that runs beside the threads: cp.async and wgmma, in groups that are waited for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Places = NDArray[np.int64]


def renumber(places: Places, chosen: NDArray[np.bool_], size: int) -> tuple[NDArray[np.bool_], Places]:
    """Which places are in chosen blocks of `size` bytes, and where those are when only these blocks are left."""
    block = places // size
    new = np.cumsum(chosen) - 1
    return chosen[block], places + (new[block] - block) * size


class Copy(NamedTuple):
    """A cp.async: (k,) places of the first bytes, (k, size) bytes, and the (k,) warps that asked for it."""

    places: Places
    data: NDArray[np.uint8]
    warps: NDArray[np.uint8]

    def of(self, chosen: NDArray[np.bool_], size: int) -> Copy:
        kept, places = renumber(self.places, chosen, size)
        return Copy(places[kept], self.data[kept], self.warps[kept])


@dataclass
class Copies:
    """cp.async under way: those not yet committed, and the groups."""

    open: list[Copy] = field(default_factory=list)
    groups: list[list[Copy]] = field(default_factory=list)

    def of(self, chosen: NDArray[np.bool_], size: int) -> Copies:
        return Copies(
            [copy.of(chosen, size) for copy in self.open],
            [[copy.of(chosen, size) for copy in group] for group in self.groups],
        )


@dataclass
class Product:
    """A wgmma: registers it writes and reads, and the places in shared memory that it reads."""

    written: frozenset[str]
    read: frozenset[str]
    places: Places

    def of(self, chosen: NDArray[np.bool_], size: int) -> Product:
        kept, places = renumber(self.places, chosen, size)
        return Product(self.written, self.read, places[kept])


@dataclass
class Products:
    """wgmma under way.

    Attributes:
        open: copies that are not yet committed. groups: those that are.
        written, read: registers of all of them.
        fenced: there was a wgmma.fence, and no wait since.
    """

    open: list[Product] = field(default_factory=list)
    groups: list[list[Product]] = field(default_factory=list)
    written: frozenset[str] = frozenset()
    read: frozenset[str] = frozenset()
    fenced: bool = False

    @property
    def pending(self) -> bool:
        return bool(self.written)

    def begin(self, product: Product) -> None:
        self.open.append(product)
        self.written, self.read = self.written | product.written, self.read | product.read

    def commit(self) -> None:
        self.groups.append(self.open)
        self.open = []

    def wait(self, most: int) -> list[Product]:
        """Leave at most so many groups; the products that are done."""
        self.fenced = False
        cut = max(len(self.groups) - most, 0)
        done = [product for group in self.groups[:cut] for product in group]
        self.groups = self.groups[cut:]
        rest = [*self.open, *(product for group in self.groups for product in group)]
        self.written, self.read = _union(copy.written for copy in rest), _union(copy.read for copy in rest)
        return done

    def of(self, chosen: NDArray[np.bool_], size: int) -> Products:
        return Products(
            [product.of(chosen, size) for product in self.open],
            [[product.of(chosen, size) for product in group] for group in self.groups],
            self.written,
            self.read,
            self.fenced,
        )


def _union(sets: Iterable[frozenset[str]]) -> frozenset[str]:
    return frozenset().union(*sets)
