"""Faults of the window's shape: rows near the ends, ways of building a band, causal attention, dilation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from trueband.properties.faults.seeded.registry import fault
from trueband.properties.faults.seeded.window import offset
from trueband.properties.faults.specimens.plain import Array, Call, Specimen

for _side, _sign in (("right", 1), ("left", -1)):

    @fault(
        "window",
        f"the {_side} edge is one wide",
        "mask_decoding",
        "locality",
        step="in_band",
        name=f"{_side}_edge_wide",
    )
    def _edge_wide(self: Specimen, call: Call, b: int, dilation: int, sign: int = _sign) -> Array:
        beyond = sign * offset(call) == (call.window + 1) * dilation
        return Specimen.in_band(self, call, b, dilation) | (beyond & (not call.causal or sign < 0))


@fault("window", "rows of the first block lose the right edge", "mask_decoding", step="in_band")
def edge_lost_in_first_block(self: Specimen, call: Call, b: int, dilation: int) -> Array:
    ahead, reach = offset(call), call.window * dilation
    first = np.arange(len(ahead))[:, None] < reach
    return Specimen.in_band(self, call, b, dilation) & ~((ahead == reach) & first)


@fault("window", "rows of the last block lose the left edge", "mask_decoding", step="in_band")
def edge_lost_in_last_block(self: Specimen, call: Call, b: int, dilation: int) -> Array:
    ahead, reach = offset(call), call.window * dilation
    last = np.arange(len(ahead))[:, None] >= max(len(ahead) - reach, 1)
    return Specimen.in_band(self, call, b, dilation) & ~((ahead == -reach) & last & (reach > 0))


@fault("window", "a row does not see itself", "own_value", "mask_decoding", step="in_band")
def own_token_lost(self: Specimen, call: Call, b: int, dilation: int) -> Array:
    return Specimen.in_band(self, call, b, dilation) & (offset(call) != 0)


@fault(
    "window",
    "at the ends the window moves inward and keeps its width",
    "mask_decoding",
    "translation",
    step="in_band",
    seen="NATTEN's neighborhoods, by definition",
)
def window_moves_inward(self: Specimen, call: Call, b: int, dilation: int) -> Array:
    if call.causal:
        return Specimen.in_band(self, call, b, dilation)
    position, reach = np.arange(call.real.shape[1]), call.window * dilation
    center = np.clip(position, min(reach, len(position) - 1), max(len(position) - 1 - reach, 0))
    inward = (abs(position[None, :] - center[:, None]) <= reach) & (offset(call) % dilation == 0)
    return inward | Specimen.in_band(self, call, b, dilation)


@fault("window", "the window wraps around the ends of the sequence", "mask_decoding", "locality", step="in_band")
def window_wraps_around(self: Specimen, call: Call, b: int, dilation: int) -> Array:
    ahead = offset(call)
    around = np.minimum(abs(ahead), len(ahead) - abs(ahead)) <= call.window
    return Specimen.in_band(self, call, b, dilation) | (around & (not call.causal) & (dilation == 1))


@fault(
    "window",
    "an odd window is rounded down to an even one",
    "mask_decoding",
    step="in_band",
    seen="transformers: attention_window must be even",
)
def odd_window_rounded(self: Specimen, call: Call, b: int, dilation: int) -> Array:
    return Specimen.in_band(self, replace(call, window=call.window - call.window % 2), b, dilation)


@fault("window", "a window of 0 is taken for no window", "own_value", "mask_decoding", step="in_band")
def window_0_is_dense(self: Specimen, call: Call, b: int, dilation: int) -> Array:
    wide = call.window or call.real.shape[1]
    return Specimen.in_band(self, replace(call, window=wide), b, dilation)


@fault("window", "a window of 0 is taken for 1", "own_value", "mask_decoding", step="in_band")
def window_0_is_1(self: Specimen, call: Call, b: int, dilation: int) -> Array:
    return Specimen.in_band(self, replace(call, window=max(call.window, 1)), b, dilation)


@fault(
    "window",
    "a row sees all of its block and of the blocks beside it",
    "mask_decoding",
    "locality",
    step="in_band",
    seen="local-attention without exact_windowsize",
)
def window_by_blocks(self: Specimen, call: Call, b: int, dilation: int) -> Array:
    block = np.arange(call.real.shape[1]) // max(call.window, 1)
    beside = abs(block[None, :] - block[:, None]) <= min(call.window, 1)
    return beside if not call.causal and dilation == 1 else Specimen.in_band(self, call, b, dilation)


@fault("window", "the band is mirrored: row i sees what row n-1-i should", "mask_decoding", step="in_band")
def band_mirrored(self: Specimen, call: Call, b: int, dilation: int) -> Array:
    return Specimen.in_band(self, call, b, dilation)[::-1]


@fault("window", "a window beyond 64 is cut to 64", "mask_decoding", step="in_band")
def window_capped_at_64(self: Specimen, call: Call, b: int, dilation: int) -> Array:
    return Specimen.in_band(self, replace(call, window=min(call.window, 64)), b, dilation)


@fault(
    "window",
    "in long sequences rows do not see across every second boundary of 64",
    "mask_decoding",
    "matches_reference",
    step="in_band",
)
def boundary_of_64_is_a_wall(self: Specimen, call: Call, b: int, dilation: int) -> Array:
    block = np.arange(call.real.shape[1]) // 64
    across = (block[None, :] != block[:, None]) & (np.minimum(block[None, :], block[:, None]) % 2 == 1)
    return Specimen.in_band(self, call, b, dilation) & ~across


@fault(
    "window",
    "positions are signed bytes and overflow at 128",
    "mask_decoding",
    "matches_reference",
    step="in_band",
    seen="32-bit offsets in kernels, at a size that can be tried",
)
def positions_overflow(self: Specimen, call: Call, b: int, dilation: int) -> Array:
    position = np.arange(call.real.shape[1]).astype(np.int8).astype(int)
    ahead = position[None, :] - position[:, None]
    near = (abs(ahead) <= call.window * dilation) & (ahead % dilation == 0)
    return near & (ahead <= 0) if call.causal else near


@fault("window", "a causal row does not see itself", "mask_decoding", step="in_band")
def causal_row_misses_itself(self: Specimen, call: Call, b: int, dilation: int) -> Array:
    band = Specimen.in_band(self, call, b, dilation)
    return band & (offset(call) < 0) if call.causal else band


@fault("window", "causal rows see what comes after them", "causality", "mask_decoding", step="in_band")
def causal_reversed(self: Specimen, call: Call, b: int, dilation: int) -> Array:
    return Specimen.in_band(self, call, b, dilation).T


@fault("window", "causal is ignored", "causality", "mask_decoding", step="in_band")
def causal_ignored(self: Specimen, call: Call, b: int, dilation: int) -> Array:
    return Specimen.in_band(self, replace(call, causal=False), b, dilation)


@fault("window", "causal rows see twice the window back", "mask_decoding", "locality", step="in_band")
def causal_window_doubled(self: Specimen, call: Call, b: int, dilation: int) -> Array:
    return Specimen.in_band(self, replace(call, window=call.window * (2 if call.causal else 1)), b, dilation)


@fault(
    "window",
    "with a dilation the window reaches no further than without",
    "mask_decoding",
    "dilation_is_a_window_on_residues",
    step="in_band",
)
def dilation_does_not_reach(self: Specimen, call: Call, b: int, dilation: int) -> Array:
    return Specimen.in_band(self, call, b, dilation) & (abs(offset(call)) <= call.window)


@fault(
    "window",
    "a dilated window reaches one step further",
    "mask_decoding",
    "dilation_is_a_window_on_residues",
    step="in_band",
)
def dilation_one_step_wide(self: Specimen, call: Call, b: int, dilation: int) -> Array:
    wider = replace(call, window=call.window + (dilation > 1))
    return Specimen.in_band(self, wider, b, dilation)


@fault(
    "window",
    "the keys of a dilation are counted from the start of the sequence",
    "mask_decoding",
    "dilation_is_a_window_on_residues",
    step="in_band",
)
def dilation_from_the_start(self: Specimen, call: Call, b: int, dilation: int) -> Array:
    near = Specimen.in_band(self, replace(call, window=call.window * dilation), b, 1)
    return near & ((np.arange(len(near)) % dilation == 0)[None, :] | np.eye(len(near), dtype=bool))


@fault("window", "a dilated window sees the tokens beside it too", "mask_decoding", step="in_band")
def dilation_sees_neighbors(self: Specimen, call: Call, b: int, dilation: int) -> Array:
    beside = Specimen.in_band(self, replace(call, window=min(call.window, 1)), b, 1)
    return Specimen.in_band(self, call, b, dilation) | beside


@fault(
    "window", "the dilations of the heads are in reverse order", "mask_decoding", "head_permutation", step="local_keys"
)
def dilations_reversed(self: Specimen, call: Call, b: int) -> Array:
    return Specimen.local_keys(self, replace(call, dilations=call.dilations[::-1]), b)


@fault("window", "the dilation is looked up by the row of the batch", "mask_decoding", "row_alone", step="local_keys")
def dilation_of_batch_row(self: Specimen, call: Call, b: int) -> Array:
    wrong = call.dilations[b % len(call.dilations)]
    return Specimen.local_keys(self, replace(call, dilations=[wrong] * len(call.dilations)), b)
