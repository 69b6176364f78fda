"""Which keys a row attends, as dense boolean tables (docs/contract.md, section 1). One function for each rule.

Query i stands at a token, its position, of the axis of the keys: i itself, unless there is an offset.
Shapes: b batch, h heads, m queries, n keys.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Bool = NDArray[np.bool_]
Positions = NDArray[np.int64]
Limits = tuple[int | None, int | None]
Window = int | Limits


def real_tokens(attention_mask: Bool | None, batch: int, tokens: int) -> Bool:
    """(b, n): True for a real token, False for padding. No mask: all tokens are real."""
    return np.ones((batch, tokens), dtype=bool) if attention_mask is None else attention_mask


def global_tokens(global_attention_mask: Bool | None, real: Bool) -> Bool:
    """(b, n): True for a global token. A global flag on a masked token is dropped."""
    return np.zeros_like(real) if global_attention_mask is None else global_attention_mask & real


def of_queries(flags: Bool, positions: Positions, beyond: bool) -> Bool:
    """(b, m): the flag (b, n) of the token that each query stands at, (b, m); `beyond` where there is no such token."""
    tokens = flags.shape[1]
    own = np.take_along_axis(flags, np.clip(positions, 0, tokens - 1), axis=1)
    return np.where((positions >= 0) & (positions < tokens), own, beyond)


def limits(window: Window, causal: bool) -> Limits:
    """How many steps a row sees to the left and to the right; None: no limit. `causal` is none to the right.

    >>> limits(3, causal=False), limits(3, causal=True), limits((None, 2), causal=False)
    ((3, 3), (3, 0), (None, 2))
    """
    left, right = window if isinstance(window, tuple) else (window, window)
    return left, 0 if causal else right


def band(tokens: int, window: Window, dilation: int, causal: bool) -> Bool:
    """(n, n): row i sees key j when j - i is a multiple of the dilation, within the limits of the window."""
    return in_band(np.arange(tokens), np.arange(tokens), window, dilation, causal)


def in_band(rows: Positions, keys: Positions, window: Window, dilation: int, causal: bool) -> Bool:
    """(rows, keys): the same for some positions only."""
    left, right = limits(window, causal)
    ahead = keys[None, :] - rows[:, None]
    seen = ahead % dilation == 0
    if left is not None:
        seen &= ahead >= -left * dilation
    if right is not None:
        seen &= ahead <= right * dilation
    return seen


def visible_to_local_rows(
    real: Bool,
    is_global: Bool,
    window: Window,
    dilations: tuple[int, ...],
    causal: bool,
    positions: Positions | None = None,
    segments: NDArray[np.integer] | None = None,
) -> Bool:
    """(b, h, m, n): keys that local rows attend: the band and the global keys, each once, real ones only.

    Rows of global and of masked tokens are all False.

    Args:
        real, is_global: (b, n).
        positions: (b, m), or (1, m) where all sequences have the same; None: m = n, each query at its own token.
        segments: (b, n); a row attends keys of the segment of its own token only. None: one segment.
    """
    batch, tokens = real.shape
    keys = np.arange(tokens)
    at = keys[None] if positions is None else positions
    bands = np.stack([[in_band(rows, keys, window, dilation, causal) for dilation in dilations] for rows in at])
    at = np.broadcast_to(at, (batch, at.shape[1]))
    seen = (bands | is_global[:, None, None, :]) & real[:, None, None, :]
    if segments is not None:
        seen = seen & (np.take_along_axis(segments, at, axis=1)[:, :, None] == segments[:, None, :])[:, None]
    is_local = of_queries(real, at, beyond=True) & ~of_queries(is_global, at, beyond=False)
    return seen & is_local[:, None, :, None]


def visible_to_global_rows(real: Bool, is_global: Bool, heads: int) -> Bool:
    """(b, h, m, n): keys that global rows attend: every real token. All other rows are False.

    Args:
        real: (b, n), of the keys.
        is_global: (b, m), of the queries.
    """
    seen = is_global[:, :, None] & real[:, None, :]
    return np.repeat(seen[:, None], heads, axis=1)
