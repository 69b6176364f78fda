"""The memory behind tensors, as a launch finds and leaves it: what was there before, and what is not written yet."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trueband.properties.gpu.sanitizer.conflicts import Conflicts
from trueband.properties.gpu.sanitizer.fresh import Fresh, at

Bytes = NDArray[np.uint8]


class Memory:
    """One storage during one launch.

    Attributes:
        address, size: in bytes.
        conflicts: who has read and written what.
        fresh: what has never been written; None: everything has.
    """

    def __init__(self, storage: Any, item: int, fresh: Fresh | None) -> None:
        self.address, self.size = storage.data_ptr(), storage.nbytes()
        self.conflicts = Conflicts(self.size, item)
        self.fresh = fresh
        self._before: Bytes | None = None

    @property
    def bytes(self) -> Bytes:
        """The memory itself."""
        return at(self.address, self.size)

    def keep(self) -> None:
        """Call it before each write: the first time, what was there is kept."""
        if self._before is None:
            self._before = self.bytes.copy()

    @property
    def written(self) -> bool:
        return self._before is not None

    @property
    def before(self) -> Bytes:
        """What was there before the launch."""
        return self.bytes if self._before is None else self._before

    def swap(self, other: Bytes) -> Bytes:
        """Put other bytes in place, and return what was there."""
        found = self.bytes.copy()
        self.bytes[:] = other
        return found
