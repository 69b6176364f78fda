"""Faults of the window: its edges, its unit, its tails."""

from __future__ import annotations

import numpy as np

from trueband.properties.faults.seeded.registry import fault
from trueband.properties.faults.specimens.plain import Array, Call, Specimen


def offset(call: Call) -> Array:
    """Return (n, n): how far each key is ahead of each row."""
    position = np.arange(call.real.shape[1])
    return position[None, :] - position[:, None]


@fault(
    "window",
    "the right edge is one short",
    "mask_decoding",
    "matches_reference",
    "reversal",
    "counts_at_size",
    "rows_match_reference",
    step="in_band",
)
def right_edge_short(self: Specimen, call: Call, b: int, dilation: int) -> Array:
    return Specimen.in_band(self, call, b, dilation) & (offset(call) < max(call.window * dilation, 1))


@fault("window", "the left edge is one short", "mask_decoding", "support_of_a_value", step="in_band")
def left_edge_short(self: Specimen, call: Call, b: int, dilation: int) -> Array:
    return Specimen.in_band(self, call, b, dilation) & (-offset(call) < max(call.window * dilation, 1))


@fault(
    "window", "both edges are one wide", "mask_decoding", "locality", "own_value", "locality_at_size", step="in_band"
)
def edges_one_wide(self: Specimen, call: Call, b: int, dilation: int) -> Array:
    wider = Call(**{**vars(call), "window": call.window + 1})
    return Specimen.in_band(self, wider, b, dilation)


@fault(
    "window",
    "the window is taken as two-sided: half of it on each side",
    "mask_decoding",
    "reachability",
    step="in_band",
    seen="allenai/longformer #194",
)
def two_sided_window(self: Specimen, call: Call, b: int, dilation: int) -> Array:
    narrower = Call(**{**vars(call), "window": (call.window + 1) // 2})
    return Specimen.in_band(self, narrower, b, dilation)


@fault("window", "the edge is lost in rows at a multiple of the window", "mask_decoding", "translation", step="in_band")
def edge_lost_at_block_rows(self: Specimen, call: Call, b: int, dilation: int) -> Array:
    rows = np.arange(call.real.shape[1]) % max(call.window, 2) == 1
    lost = (offset(call) == -call.window * dilation) & (call.window > 0)
    return Specimen.in_band(self, call, b, dilation) & ~(lost & rows[:, None])


@fault("window", "a tail that does not fill a block is dropped", "mask_decoding", "reachability", step="in_band")
def tail_dropped(self: Specimen, call: Call, b: int, dilation: int) -> Array:
    tokens = call.real.shape[1]
    kept = tokens - tokens % max(2 * call.window, 1)
    self_ = np.eye(tokens, dtype=bool)
    return Specimen.in_band(self, call, b, dilation) & ((np.arange(tokens) < kept)[None, :] | self_)


@fault("window", "a window longer than the sequence sees nothing but itself", "window_beyond_length", step="in_band")
def long_window_is_empty(self: Specimen, call: Call, b: int, dilation: int) -> Array:
    tokens = call.real.shape[1]
    return Specimen.in_band(self, call, b, dilation) if call.window <= tokens else np.eye(tokens, dtype=bool)


@fault("window", "a causal row sees one token ahead", "causality", "mask_decoding", step="in_band")
def sees_one_ahead(self: Specimen, call: Call, b: int, dilation: int) -> Array:
    band = Specimen.in_band(self, call, b, dilation)
    return band | ((offset(call) == dilation) & (call.window > 0)) if call.causal else band


@fault("window", "the dilation is ignored", "dilation_is_a_window_on_residues", "mask_decoding", step="in_band")
def dilation_ignored(self: Specimen, call: Call, b: int, dilation: int) -> Array:
    return Specimen.in_band(self, call, b, 1)


@fault("window", "the dilation of head 0 is used for all heads", "head_permutation", "mask_decoding", step="in_band")
def dilation_of_head_0(self: Specimen, call: Call, b: int, dilation: int) -> Array:
    return Specimen.in_band(self, call, b, call.dilations[0])


@fault("window", "keys after the middle of the sequence are lost", "key_order", "repeated_sequence", step="in_band")
def second_half_lost(self: Specimen, call: Call, b: int, dilation: int) -> Array:
    tokens = call.real.shape[1]
    near = Specimen.in_band(self, call, b, dilation)
    return near & ((np.arange(tokens) <= tokens // 2)[None, :] | np.eye(tokens, dtype=bool))
