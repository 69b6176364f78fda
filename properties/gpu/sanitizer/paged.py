"""Arrays as long as a tensor, of which only the pages that are touched exist."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Units = NDArray[np.int64]
PAGE = 1 << 10  # units


class Paged:
    """Some values for each unit of a storage, however large that is: untouched pages cost four bytes each.

    Args:
        units: how many there are.
        fill: what each holds at first, one value for each row.
        on_page: called when a page is first touched, with its first unit and its contents, (rows, units).

    Attributes:
        data: (rows, places) of the pages that exist, in the order in which they were touched; see `places`.
    """

    def __init__(
        self, units: int, fill: NDArray[np.generic], on_page: Callable[[int, NDArray[np.generic]], None] | None = None
    ) -> None:
        self._page, self._fill, self._on_page = max(1, min(PAGE, units)), fill, on_page
        self._slots = np.full(-(-units // self._page), -1, dtype=np.int32)
        self._pages: list[int] = []
        self.data = np.repeat(fill[:, None], self._page, axis=1)

    def places(self, units: Units) -> Units:
        """Return the places of units in `data`, which may be another array after this."""
        pages = units // self._page
        slots = self._slots[pages]
        if (slots < 0).any():
            for page in np.unique(pages[slots < 0]):
                self._add(int(page))
            slots = self._slots[pages]
        units_of_pages: Units = slots * np.int64(self._page) + units % self._page
        return units_of_pages

    def existing(self) -> list[tuple[int, NDArray[np.generic]]]:
        """(first unit, (rows, units)) of each page that exists; a view."""
        return [(page * self._page, self._slot(slot)) for slot, page in enumerate(self._pages)]

    def split(self, parts: int) -> None:
        """Each unit becomes so many, which hold what it held."""
        self._page *= parts
        self.data = np.repeat(self.data, parts, axis=1)

    def _add(self, page: int) -> None:
        slot = len(self._pages)
        if (slot + 1) * self._page > self.data.shape[1]:
            self.data = np.concatenate([self.data, np.repeat(self._fill[:, None], self.data.shape[1], axis=1)], axis=1)
        self._slots[page] = slot
        self._pages.append(page)
        if self._on_page is not None:
            self._on_page(page * self._page, self._slot(slot))

    def _slot(self, slot: int) -> NDArray[np.generic]:
        return self.data[:, slot * self._page : (slot + 1) * self._page]
