"""Which keys a row attends, as dense boolean tables (docs/contract.md, section 1). One function for each rule.

Shapes: b batch, h heads, n tokens.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Bool = NDArray[np.bool_]


def real_tokens(attention_mask: Bool | None, batch: int, tokens: int) -> Bool:
    """(b, n): True for a real token, False for padding. No mask: all tokens are real."""
    return np.ones((batch, tokens), dtype=bool) if attention_mask is None else attention_mask


def global_tokens(global_attention_mask: Bool | None, real: Bool) -> Bool:
    """(b, n): True for a global token. A global flag on a masked token is dropped."""
    return np.zeros_like(real) if global_attention_mask is None else global_attention_mask & real


def band(tokens: int, window: int, dilation: int, causal: bool) -> Bool:
    """(n, n): row i sees key j when i - j is a multiple of the dilation, at most `window` multiples away."""
    return in_band(np.arange(tokens), np.arange(tokens), window, dilation, causal)


def in_band(rows: NDArray[np.int64], keys: NDArray[np.int64], window: int, dilation: int, causal: bool) -> Bool:
    """(rows, keys): the same for some positions only."""
    offset = rows[:, None] - keys[None, :]
    seen = (np.abs(offset) <= window * dilation) & (offset % dilation == 0)
    return seen & (offset >= 0) if causal else seen


def visible_to_local_rows(real: Bool, is_global: Bool, window: int, dilations: tuple[int, ...], causal: bool) -> Bool:
    """(b, h, n, n): keys that local rows attend: the band and the global keys, each once, real ones only.

    Rows of global and of masked tokens are all False.
    """
    tokens = real.shape[1]
    bands = np.stack([band(tokens, window, dilation, causal) for dilation in dilations])  # (h, n, n)
    keys = (bands[None] | is_global[:, None, None, :]) & real[:, None, None, :]
    is_local = real & ~is_global
    return keys & is_local[:, None, :, None]


def visible_to_global_rows(real: Bool, is_global: Bool, heads: int) -> Bool:
    """(b, h, n, n): keys that global rows attend: every real token. All other rows are False."""
    seen = is_global[:, :, None] & real[:, None, :]
    return np.repeat(seen[:, None], heads, axis=1)
