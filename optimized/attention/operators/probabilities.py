"""Probabilities, computed only when they are asked for: what multiplied the values, with head mask and dropout.

Full attention: (b, h, n, n) tables. Banded attention, in the compact layout that Longformer and LED return:
local rows have x columns for the global tokens of the row of the batch, in order of position (x: the largest number in
any row of the batch), then 2w + 1 columns for the offsets -w .. w. A global key inside the window stands in its
global column; its place in the window is 0. Rows of global tokens are 0 there: they have a table of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from trueband.optimized.attention.chunked.arguments import BandArguments
from trueband.optimized.attention.chunked.band import plan
from trueband.optimized.attention.chunked.tensors import Unit
from trueband.optimized.attention.operators import full_op, projected_op, relative_op
from trueband.optimized.attention.operators.differentiable import Weights, band_weights, scatter_rows

Pieces = Iterator[tuple[Unit, Tensor, Tensor]]


def full_probabilities(query: Tensor, key: Tensor, *options: Any) -> Tensor:
    """(b, h, queries, keys) of `full_op` with the same arguments but for the value."""
    return scatter_keys(lambda: full_op.weights(query, key, key, *options), query, key)


def relative_probabilities(query: Tensor, key: Tensor, *options: Any) -> Tensor:
    """(b, h, queries, keys) of `relative_op` with the same arguments but for the value."""
    return scatter_keys(lambda: relative_op.weights(query, key, key, *options), query, key)


def scatter_keys(weights: Callable[[], Iterator[Weights]], query: Tensor, key: Tensor) -> Tensor:
    """(b, h, queries, keys) from its pieces."""
    batch, heads, queries, _ = query.shape
    tokens = key.shape[2]

    def pieces() -> Pieces:
        for w in weights():
            start = w.unit.row.tokens.start
            yield w.unit, w.rows, pad(w.probabilities, (start, tokens - start - w.probabilities.shape[-1]))

    with torch.autocast(query.device.type, enabled=False):
        return scatter_rows(pieces(), (batch, heads, queries, tokens), query)


def local_probabilities(
    query: Tensor,
    key: Tensor,
    head_mask: Tensor | None,
    attention_mask: Tensor | None,
    global_attention_mask: Tensor | None,
    seed: Tensor | None,
    window: int,
    scale: float,
    dropout_p: float,
) -> Tensor:
    """(b, h, n, x + 2 * window + 1) of `band_op` without global rows and dilation."""
    batch, heads, tokens, _ = query.shape
    call = BandArguments(
        query,
        key,
        key,
        None,
        None,
        None,
        head_mask,
        attention_mask,
        global_attention_mask,
        seed,
        window,
        dilations=[1] * heads,
        causal=False,
        scale=scale,
        dropout_p=dropout_p,
        global_rows=False,
    )
    work = plan(call)
    columns = max((row.global_count for row in work.rows), default=0)

    def pieces() -> Pieces:
        for w in band_weights(call.inputs, head_mask, work):
            yield w.unit, w.rows, compact(w, window, columns)

    with torch.autocast(query.device.type, enabled=False):
        return scatter_rows(pieces(), (batch, heads, tokens, columns + 2 * window + 1), query)


def compact(weights: Weights, window: int, columns: int) -> Tensor:
    """(c, r, columns + 2 * window + 1)."""
    front, band = weights.probabilities.tensor_split([weights.front], dim=-1)
    offsets = torch.arange(-window, window + 1, device=band.device) * weights.step
    at = (weights.rows[:, None] + offsets - weights.keys[weights.front]) // weights.step  # column of the band
    inside = (at >= 0) & (at < band.shape[-1])
    chosen = band.gather(-1, at.clamp(0, band.shape[-1] - 1).expand(len(band), -1, -1))
    return torch.cat([pad(front, (0, columns - weights.front)), chosen * inside], dim=-1)


def global_probabilities(
    hidden_states: Tensor,
    projections: Sequence[Tensor],
    head_mask: Tensor | None,
    attention_mask: Tensor | None,
    global_attention_mask: Tensor | None,
    seed: Tensor | None,
    heads: int,
    scale: float,
    dropout_p: float,
) -> Tensor | None:
    """(b, h, n, x) of `projected_op`: column g is the row of the g-th global token over all n tokens, 0 for a missing
    one. None when no token is global. `projections`: the six weights and biases.
    """
    batch, tokens, _ = hidden_states.shape
    rows = projected_op.global_rows(hidden_states, attention_mask, global_attention_mask)
    columns = max((row.global_count for row in rows), default=0)
    if columns == 0:
        return None
    wq, bq, wk, bk, wv, bv = projections
    masks = (head_mask, attention_mask, global_attention_mask, seed)

    def pieces() -> Pieces:
        for w in projected_op.weights(hidden_states, wq, bq, wk, bk, wv, bv, *masks, heads, scale, dropout_p):
            row = w.unit.row
            assert row.global_positions is not None
            order = torch.searchsorted(row.global_positions + row.tokens.start, w.rows)
            yield w.unit, order, pad(w.probabilities, (row.tokens.start, tokens - row.tokens.stop))

    with torch.autocast(hidden_states.device.type, enabled=False):
        return scatter_rows(pieces(), (batch, heads, columns, tokens), hidden_states).transpose(-1, -2)
