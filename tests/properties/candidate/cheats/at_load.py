"""A cheat that has done it before it is called."""

from __future__ import annotations

try:
    from trueband.reference import band_attention
except ImportError:
    band_attention = None  # type: ignore[assignment]

from honest import attention


def imported_at_load(query, key, value, *, window):  # type: ignore[no-untyped-def]
    """Uses the reference if it could be imported."""
    if band_attention is None:
        return attention(query, key, value, window=window)
    return band_attention(query, key, value, window=window).output.astype(query.dtype)
