"""One call of the second edition of the operator, read from its arguments."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = np.ndarray


@dataclass
class ExtendedCall:
    """A call with its masks and places spelled out: b batch, h query heads, k key heads, m queries, n tokens.

    Attributes:
        local, far: (query, key, value) for the rows of local and of global tokens.
        real, flagged: real and global tokens, (b, n); flags on masked tokens are already dropped.
        at: the tokens at which the queries stand, (b, m).
        left, right: the limits of the window in steps of the dilation; None: no limit.
        dilations: of each query head.
        factor: the head mask, (h,).
        shared: which of query, key, value the rows of global tokens share with the local rows.
        segments: of each token, (b, n); None: one segment.
        sinks, slopes: of each query head, (h,), or None.
        wide: the dtype of all arithmetic.
        index: the place of the sequence in the batch.
        kept: whatever a fault has to remember.
    """

    local: tuple[Array, Array, Array]
    far: tuple[Array, Array, Array]
    real: Array
    flagged: Array
    at: Array
    left: int | None
    right: int | None
    dilations: list[int]
    causal: bool
    factor: Array
    scale: float
    shared: tuple[bool, bool, bool]
    segments: Array | None
    softcap: float | None
    sinks: Array | None
    slopes: Array | None
    return_lse: bool
    wide: type
    index: int = 0
    kept: dict[str, Any] = field(default_factory=dict)

    @property
    def heads(self) -> int:
        """The heads of the queries."""
        return len(self.dilations)

    @property
    def key_heads(self) -> int:
        """The heads of the keys and values."""
        return int(self.local[1].shape[1])

    @property
    def tokens(self) -> int:
        """The tokens of the axis of the keys."""
        return int(self.real.shape[1])
