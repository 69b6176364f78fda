"""A correct kernel that works in blocks of 16 tokens, without its declaration and with it."""

from __future__ import annotations

from typing import Any

from array_kernels import right  # beside this file

import trueband


def blocks_of_16(query: Any, key: Any, value: Any, *, window: int) -> Any:
    """(b, h, n, d), NumPy."""
    tokens = query.shape[2]
    if tokens % 16:
        raise ValueError(f"expected blocks of 16, got {tokens} tokens")
    if window < 1:
        raise ValueError("expected neighbours")
    return right(query, key, value, window=window)


undeclared = trueband.Target(blocks_of_16, library="numpy")
declared = trueband.Target(
    blocks_of_16,
    library="numpy",
    sizes={"tokens": trueband.Sizes(multiple=16), "window": trueband.Sizes(least=1)},
)
