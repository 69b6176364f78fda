"""Faults of the loop over tiles of keys that a window, an offset or a side without a limit leaves."""

from __future__ import annotations

import numpy as np

from trueband.properties.faults.seeded.registry import fault
from trueband.properties.faults.specimens.extended_call import Array, ExtendedCall
from trueband.properties.faults.specimens.extended_tiled import TILE, ExtendedTiled


@fault(
    "tiles",
    "the left limit is the first tile, and nothing within it",
    "mask_decoding",
    "rows_without_keys",
    "gradients_without_keys",
    step="left_of",
    of=ExtendedTiled,
)
def left_limit_of_tiles_only(self: ExtendedTiled, call: ExtendedCall, ahead: Array, dilation: int) -> Array:
    return np.ones(ahead.shape, bool)


@fault(
    "tiles",
    "the right limit is the last tile, and nothing within it",
    "mask_decoding",
    "matches_reference",
    "gradients_match_reference",
    step="right_of",
    of=ExtendedTiled,
)
def right_limit_of_tiles_only(self: ExtendedTiled, call: ExtendedCall, ahead: Array, dilation: int) -> Array:
    causal = call.right == 0
    return ExtendedTiled.right_of(self, call, ahead, dilation) if causal else np.ones(ahead.shape, bool)


@fault(
    "tiles",
    "the loop over the keys begins one tile late",
    "mask_decoding",
    "queries_in_parts",
    "matches_reference",
    step="tiles",
    of=ExtendedTiled,
    seen="a lower bound that is rounded up",
)
def first_tile_late(self: ExtendedTiled, call: ExtendedCall, rows: slice) -> range:
    first, last = self.reach(call, rows)
    return range(-(-first // TILE) * TILE, last, TILE)


@fault(
    "tiles",
    "the loop over the keys ends one tile early",
    "sides_mirrored",
    "mask_decoding",
    "matches_reference",
    step="tiles",
    of=ExtendedTiled,
)
def last_tile_early(self: ExtendedTiled, call: ExtendedCall, rows: slice) -> range:
    first, last = self.reach(call, rows)
    return range(first // TILE * TILE, last if last <= TILE else last // TILE * TILE, TILE)


@fault(
    "tiles",
    "the loop over the keys begins where the last row of a block does",
    "queries_in_parts",
    "mask_decoding",
    step="reach",
    of=ExtendedTiled,
)
def first_tile_of_last_row(self: ExtendedTiled, call: ExtendedCall, rows: slice) -> tuple[int, int]:
    first, last = ExtendedTiled.reach(self, call, rows)
    return (first + len(call.at[call.index][rows]) - 1 if first > 0 else first), last


@fault(
    "tiles",
    "the loop over the keys ends where the first row of a block does",
    "matches_reference",
    "lse_matches_reference",
    "queries_in_parts",
    step="reach",
    of=ExtendedTiled,
)
def last_tile_of_first_row(self: ExtendedTiled, call: ExtendedCall, rows: slice) -> tuple[int, int]:
    return ExtendedTiled.reach(self, call, slice(rows.start, rows.start + 1))


@fault(
    "tiles",
    "the loop over the keys begins without the offset",
    "matches_reference",
    "lse_matches_reference",
    step="reach",
    of=ExtendedTiled,
    seen="a Triton kernel with a query offset",
)
def first_tile_without_offset(self: ExtendedTiled, call: ExtendedCall, rows: slice) -> tuple[int, int]:
    first, last = ExtendedTiled.reach(self, call, rows)
    start = call.at[call.index][0]
    return (max(first - start, 0) if start < 0 else max(first, rows.start) if start > 0 else first), last


@fault(
    "tiles",
    "the loop over the keys ends without the offset",
    "queries_in_parts",
    "cache_with_offset",
    step="reach",
    of=ExtendedTiled,
)
def last_tile_without_offset(self: ExtendedTiled, call: ExtendedCall, rows: slice) -> tuple[int, int]:
    first, last = ExtendedTiled.reach(self, call, rows)
    return first, last - max(int(call.at[call.index][0]), 0)


@fault(
    "tiles",
    "the loop over the keys begins as if the dilation were 1",
    "matches_reference",
    step="reach",
    of=ExtendedTiled,
)
def first_tile_undilated(self: ExtendedTiled, call: ExtendedCall, rows: slice) -> tuple[int, int]:
    first, last = ExtendedTiled.reach(self, call, rows)
    plain = 0 if call.left is None else int(call.at[call.index][rows][0]) - call.left
    return (max(plain, 0) if first > 0 or not call.flagged[call.index].any() else first), last


@fault(
    "tiles",
    "the loop over the keys ends with the number of queries",
    "cache_with_offset",
    step="reach",
    of=ExtendedTiled,
)
def last_tile_of_queries(self: ExtendedTiled, call: ExtendedCall, rows: slice) -> tuple[int, int]:
    first, last = ExtendedTiled.reach(self, call, rows)
    return first, min(last, call.at.shape[1])


@fault(
    "tiles",
    "the loop over the keys ends as if the window had two equal sides",
    "parts_merge",
    step="reach",
    of=ExtendedTiled,
)
def last_tile_of_left_limit(self: ExtendedTiled, call: ExtendedCall, rows: slice) -> tuple[int, int]:
    first, last = ExtendedTiled.reach(self, call, rows)
    if call.left is None or call.flagged[call.index].any():
        return first, last
    return first, min(last, int(call.at[call.index][rows][-1]) + call.left * max(call.dilations) + 1)


@fault(
    "tiles",
    "the loop over the keys of a window is that of causal attention",
    "mask_decoding",
    step="reach",
    of=ExtendedTiled,
)
def last_tile_as_if_causal(self: ExtendedTiled, call: ExtendedCall, rows: slice) -> tuple[int, int]:
    first, last = ExtendedTiled.reach(self, call, rows)
    if call.flagged[call.index].any() or call.left is None:
        return first, last
    return first, min(last, int(call.at[call.index][rows][-1]) + 1)


@fault(
    "tiles", "no limit to the left begins at the block's own tile", "matches_reference", step="reach", of=ExtendedTiled
)
def open_left_begins_at_block(self: ExtendedTiled, call: ExtendedCall, rows: slice) -> tuple[int, int]:
    first, last = ExtendedTiled.reach(self, call, rows)
    return (max(int(call.at[call.index][rows][0]), 0) if call.left is None else first), last


@fault("tiles", "global keys outside of the window are not walked", "mask_decoding", step="reach", of=ExtendedTiled)
def global_keys_not_walked(self: ExtendedTiled, call: ExtendedCall, rows: slice) -> tuple[int, int]:
    flagged, call.flagged = call.flagged, np.zeros_like(call.flagged)
    reach = ExtendedTiled.reach(self, call, rows)
    call.flagged = flagged
    return reach


@fault(
    "tiles",
    "a first tile without keys makes a row NaN",
    "mask_decoding",
    step="rescale",
    of=ExtendedTiled,
    seen="minus infinity less minus infinity, in the first tile of a window",
)
def empty_first_tile_is_nan(self: ExtendedTiled, call: ExtendedCall, top: Array, higher: Array) -> Array:
    seen_none = np.isneginf(top) & np.isneginf(higher) & (call.at.shape[1] > 1)
    return np.where(seen_none, np.nan, ExtendedTiled.rescale(self, call, top, higher)).astype(call.wide)


@fault(
    "tiles",
    "keys of a tile that is cut by the end of the sequence are lost",
    "mask_decoding",
    step="tile_keys",
    of=ExtendedTiled,
)
def last_tile_cut(self: ExtendedTiled, call: ExtendedCall, keys: Array, rows: slice, first: int) -> Array:
    return keys & (first < TILE or keys.shape[-1] == TILE)


@fault(
    "tiles",
    "a tile that the window of the first row covers needs no mask",
    "mask_decoding",
    step="tile_keys",
    of=ExtendedTiled,
)
def tile_of_first_row_unmasked(self: ExtendedTiled, call: ExtendedCall, keys: Array, rows: slice, first: int) -> Array:
    return keys | keys[:, :1].all(axis=-1, keepdims=True)


@fault(
    "tiles",
    "the backward pass walks no tile to the right of a block of rows",
    "lse_gradients",
    step="backward_keys",
    of=ExtendedTiled,
)
def backward_ends_with_block(self: ExtendedTiled, call: ExtendedCall, b: int) -> Array:
    tile_of_row, tile_of_key = call.at[b] // TILE, np.arange(call.tokens) // TILE
    return ExtendedTiled.backward_keys(self, call, b) & (tile_of_key[None, :] <= tile_of_row[:, None])


@fault(
    "tiles",
    "the backward pass chooses its tiles without the offset",
    "gradient_layouts",
    step="backward_keys",
    of=ExtendedTiled,
)
def backward_tiles_without_offset(self: ExtendedTiled, call: ExtendedCall, b: int) -> Array:
    keys = ExtendedTiled.backward_keys(self, call, b)
    if call.left is None or call.flagged[b].any() or not call.at[b][0]:
        return keys
    lowest = (np.arange(call.at.shape[1]) - call.left * max(call.dilations)) // TILE
    highest = (np.arange(call.at.shape[1]) + call.left * max(call.dilations)) // TILE
    tile = np.arange(call.tokens) // TILE
    return keys & (tile >= lowest[:, None]) & (tile <= highest[:, None])
