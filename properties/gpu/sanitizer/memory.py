"""The memory behind tensors, as a launch finds and leaves it: what was there before, and what is not written yet."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trueband.properties.gpu.sanitizer.conflicts import Conflicts
from trueband.properties.gpu.sanitizer.fresh import Fresh, at

Bytes = NDArray[np.uint8]
Pages = dict[int, Bytes]  # by number
PAGE = 1 << 12  # bytes


class Memory:
    """One storage during one launch.

    Attributes:
        address, size: in bytes.
        conflicts: who has read and written what.
        fresh: what has never been written; None: everything has.
        before: pages that were written, as they were before the launch.
    """

    def __init__(self, storage: Any, item: int, fresh: Fresh | None) -> None:
        self.address, self.size = storage.data_ptr(), storage.nbytes()
        self.conflicts = Conflicts(self.size, item)
        self.fresh = fresh
        self.before: Pages = {}
        self._bytes = at(self.address, self.size)

    def keep(self, starts: NDArray[np.int64], size: int) -> None:
        """Call it before `size` bytes are written at each of these: the first time, what was there is kept."""
        for page in np.unique(np.concatenate([starts // PAGE, (starts + size - 1) // PAGE])):
            if int(page) not in self.before:
                self.before[int(page)] = self._page(int(page)).copy()

    def swap(self, others: Pages) -> Pages:
        """Put other pages in place, and return what was there."""
        pages = {page: self._page(page).copy() for page in others}
        for page, other in others.items():
            self._page(page)[:] = other
        return pages

    def _page(self, page: int) -> Bytes:
        return self._bytes[page * PAGE : (page + 1) * PAGE]
