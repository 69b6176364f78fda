"""How the arrays of a call lie in memory when a target gets them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trueband.properties.candidate.desk import Desk
from trueband.properties.cases.backward import LAYOUTS, Backward

Array = NDArray[Any]
PACKED = ("packed", "interleaved")


class Layout:
    """Puts arrays on a desk.

    Attributes:
        tokens_first: whether the target takes (b, n, h, d) in place of (b, h, n, d).
    """

    def __init__(self, desk: Desk, library: Any, tokens_first: bool) -> None:
        self.desk, self.library, self.tokens_first = desk, library, tokens_first

    def turn(self, array: Any) -> Any:
        """Convert between (b, h, n, d) and the layout of the target; the same in both directions."""
        return array.swapaxes(1, 2) if self.tokens_first and array.ndim == 4 else array

    def inputs(self, arrays: dict[str, Array], dtype: str, how: Backward) -> dict[str, Any]:
        """Return the arrays of a call as the target gets them, each in the layout that `how` asks for."""
        self.desk.clear(keep=how.layout == "reused")
        inputs = {
            name: self.put(name, self.turn(array), dtype, how.layout_of(name))
            for name, array in arrays.items()
            if array.ndim != 4 or how.layout_of(name) not in PACKED
        }
        for end in ("", "_global"):
            names = [f"{name}{end}" for name in ("query", "key", "value")]
            names = [name for name in names if name in arrays and name not in inputs]
            for shape in dict.fromkeys(arrays[name].shape for name in names):  # only equal ones share a storage
                together = [name for name in names if arrays[name].shape == shape]
                inputs |= self._pack(together, [self.turn(arrays[name]) for name in together], dtype, how.layout)
        return {name: inputs[name] for name in arrays}

    def _pack(self, names: list[str], arrays: list[Array], dtype: str, layout: str) -> dict[str, Any]:
        """Return inputs as views of one storage, one after another in each token, or in each head of a token."""
        heads, tokens = (2, 1) if self.tokens_first else (1, 2)
        axis = 2 if layout == "packed" else 3
        storage = np.stack([array.transpose(0, tokens, heads, 3) for array in arrays], axis)
        put = self.desk.put(" and ".join(names), storage, dtype)
        before = (slice(None),) * axis
        views = [self.library.transpose(put[(*before, place)], (0, tokens, heads, 3)) for place in range(len(names))]
        return dict(zip(names, views, strict=True))

    def put(self, name: str, array: Array, dtype: str, layout: str) -> Any:
        """Return one array, in the axes of the target, as the target gets it. ValueError for an unknown layout."""
        if array.ndim == 2 and layout in ("transposed", "offset"):
            return self._put_mask(name, array, dtype, layout)
        if array.ndim == 3 and layout in ("transposed", "offset"):
            return self._put_packed(name, array, dtype, layout)
        if array.ndim != 4 or layout in ("contiguous", "reused"):
            return self.desk.put(name, array, dtype)
        if layout == "transposed":
            return self.library.transpose(self.desk.put(name, array.transpose(0, 2, 1, 3), dtype), (0, 2, 1, 3))
        if layout == "columns":
            order, back = ((0, 2, 3, 1), (0, 3, 1, 2)) if self.tokens_first else ((0, 1, 3, 2), (0, 1, 3, 2))
            return self.library.transpose(self.desk.put(name, array.transpose(order), dtype), back)
        if layout == "offset":
            batch, heads, tokens, head_dim = array.shape
            guarded = np.full((batch + 1, heads + 1, tokens + 3, head_dim + 5), np.nan)
            inside = np.s_[1:, :heads, 2 : tokens + 2, 3 : head_dim + 3]
            guarded[inside] = array
            return self.desk.put(name, guarded, dtype)[inside]
        if layout == "expanded":
            axes = range(4) if name == "grad_output" else (0, 2 if self.tokens_first else 1)
            reduced = array
            for axis in axes:
                first = reduced.take([0], axis)
                reduced = first if (reduced == first).all() else reduced
            if reduced.shape == array.shape and array.size > 1:
                raise ValueError(f"layout: expected equal {name} in a batch or in heads to expand, got different ones")
            return self.library.broadcast(self.desk.put(name, reduced, dtype), array.shape)
        raise ValueError(f"layout: expected one of {', '.join(LAYOUTS)}, got {layout!r}")

    def _put_packed(self, name: str, array: Array, dtype: str, layout: str) -> Any:
        """Lay out a packed array (total, heads, dim) in (heads, total, dim) memory, or as a slice of larger storage."""
        if layout == "transposed":
            return self.library.transpose(self.desk.put(name, array.swapaxes(0, 1), dtype), (1, 0, 2))
        inside = tuple(slice(2, size + 2) for size in array.shape)
        guarded = np.full([size + 5 for size in array.shape], np.nan)
        guarded[inside] = array
        return self.desk.put(name, guarded, dtype)[inside]

    def _put_mask(self, name: str, mask: Array, dtype: str, layout: str) -> Any:
        """Lay out a mask (b, n) in (n, b) memory, or as a slice of a larger mask that says the opposite."""
        if layout == "transposed":
            return self.library.transpose(self.desk.put(name, mask.T, dtype), (1, 0))
        other = ~mask[:1, :1] if mask.dtype == np.bool_ else mask[:1, :1] + 1
        larger = np.repeat(other, len(mask) + 1, axis=0).repeat(mask.shape[1] + 3, axis=1)
        larger[1:, 2:-1] = mask
        return self.desk.put(name, larger, dtype)[1:, 2:-1]
