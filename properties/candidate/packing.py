"""The layout "packed": the real tokens of all sequences one after another, with where each sequence begins.

Arrays are (total, heads, dim). `cu_seqlens_q` and `cu_seqlens_k`, (b + 1,) int32, say where each sequence begins and
the last one ends, `max_seqlen_q` and `max_seqlen_k` how long the longest is. No mask is passed. Sequences may be
empty.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
ARGUMENTS = ("cu_seqlens_q", "cu_seqlens_k", "max_seqlen_q", "max_seqlen_k")


@dataclass(frozen=True)
class Packing:
    """How the arrays of one call are packed.

    Attributes:
        queries: (b, m) bool, which queries there are.
        keys: (b, n) bool, which keys there are.
    """

    queries: NDArray[np.bool_]
    keys: NDArray[np.bool_]

    @classmethod
    def of(cls, arrays: dict[str, Array], options: dict[str, Any]) -> Self:
        """Of a call: a query is left out if its own token is masked."""
        batch, _, queries, _ = arrays["query"].shape
        tokens = arrays["key"].shape[2]
        keys = arrays.get("attention_mask", np.ones((batch, tokens), dtype=bool))
        first = np.reshape(arrays.get("offset", options.get("offset", 0)), (-1, 1))
        at = np.broadcast_to(first + np.arange(queries), (batch, queries))
        own = np.take_along_axis(keys, np.clip(at, 0, tokens - 1), axis=1)
        return cls(np.where((at >= 0) & (at < tokens), own, True), keys)

    def arrays(self, arrays: dict[str, Array]) -> dict[str, Array]:
        """The arrays that the target is given."""
        packed = {name: self.packed(name, array) for name, array in arrays.items() if name != "attention_mask"}
        return {**packed, "cu_seqlens_q": _starts(self.queries), "cu_seqlens_k": _starts(self.keys)}

    @property
    def options(self) -> dict[str, int]:
        """The options that the target is given beside those of the call."""
        longest = {"max_seqlen_q": self.queries, "max_seqlen_k": self.keys}
        return {name: int(there.sum(axis=1).max()) for name, there in longest.items()}

    def packed(self, name: str, array: Array) -> Array:
        """(total, heads, dim) of (b, heads, tokens, dim), and (total, heads) of lse; anything else as it is."""
        if array.ndim == 4 or name in ("lse", "grad_lse"):
            return np.ascontiguousarray(array.swapaxes(1, 2)[self._there(name)])
        return array

    def unpacked(self, name: str, packed: Array, fill: float = 0.0) -> Array:
        """(b, heads, tokens, dim), or (b, heads, tokens) of lse, with `fill` where there is no token."""
        there = self._there(name)
        array = np.full((*there.shape, *packed.shape[1:]), fill)
        array[there] = packed
        return array.swapaxes(1, 2)

    def _there(self, name: str) -> NDArray[np.bool_]:
        return self.keys if name.startswith(("key", "value")) else self.queries


def _starts(there: NDArray[np.bool_]) -> Array:
    return np.concatenate([[0], np.cumsum(there.sum(axis=1))]).astype(np.int32)
