"""Which keys a row attends, as a dense mask of torch, with what the contract's second edition adds to windows."""

from __future__ import annotations

from typing import Any, NamedTuple


class Rows(NamedTuple):
    """The rows of one call.

    Attributes:
        real: (b, m): rows that are not masked.
        keys: (b, 1, m, n): the keys that a row attends.
    """

    real: Any
    keys: Any


def rows_of(
    query: Any,
    key: Any,
    window: Any,
    attention_mask: Any = None,
    causal: bool = False,
    offset: Any = 0,
    segments: Any = None,
) -> Rows:
    """Rows for a query (b, h, m, d) and keys (b, k, n, d)."""
    import torch

    batch, tokens, device = query.shape[0], key.shape[2], query.device
    start = torch.as_tensor(offset, device=device).reshape(-1, 1).expand(batch, 1)
    at = start + torch.arange(query.shape[2], device=device)  # (b, m): where the queries stand
    ahead = torch.arange(tokens, device=device) - at[..., None]  # (b, m, n)
    left, right = sides(window, causal)
    keys = torch.ones_like(ahead, dtype=torch.bool)
    keys = keys if left is None else keys & (ahead >= -left)
    keys = keys if right is None else keys & (ahead <= right)
    own = at.clamp(0, tokens - 1)
    if segments is not None:
        keys = keys & (segments.gather(1, own)[..., None] == segments[:, None, :])
    real = torch.ones_like(at, dtype=torch.bool)
    if attention_mask is not None:
        keys = keys & attention_mask[:, None, :]
        real = attention_mask.gather(1, own) | (at != own)
    return Rows(real, (keys & real[..., None])[:, None])


def sides(window: Any, causal: bool = False) -> tuple[int | None, int | None]:
    """The limits of a window to the left and to the right; None: no limit."""
    left, right = window if isinstance(window, tuple) else (window, window)
    return left, 0 if causal else right
