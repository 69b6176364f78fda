"""Faults of global tokens."""

from __future__ import annotations

import numpy as np

from trueband.properties.faults.seeded.registry import fault
from trueband.properties.faults.specimens.plain import Array, Call, Specimen


@fault(
    "globals",
    "a global key inside the window is counted twice",
    "global_key_counts_once",
    "mask_decoding",
    step="normalize",
)
def global_counted_twice(self: Specimen, call: Call, weights: Array, keys: Array) -> Array:
    b = call.index
    band = np.array([Specimen.in_band(self, call, b, dilation) for dilation in call.dilations])
    twice = band & call.flagged[b][None, None, :] & keys & ~call.flagged[b][None, :, None]
    return Specimen.normalize(self, call, weights * np.where(twice, 2, 1).astype(call.wide), keys)


@fault("globals", "the second global token is not read", "mask_decoding", "reachability", step="local_keys")
def second_global_lost(self: Specimen, call: Call, b: int) -> Array:
    keys = Specimen.local_keys(self, call, b)
    position = np.flatnonzero(call.flagged[b])
    if len(position) > 1:
        far = abs(np.arange(keys.shape[1]) - position[1]) > call.window
        keys[:, far, position[1]] = False
    return keys


@fault(
    "globals",
    "rows of global tokens see only their window",
    "all_global_is_full_attention",
    "mask_decoding",
    step="far_keys",
    seen="allenai/longformer #28",
)
def global_rows_see_window(self: Specimen, call: Call, b: int) -> Array:
    bands = np.array([Specimen.in_band(self, call, b, dilation) for dilation in call.dilations])
    return Specimen.far_keys(self, call, b) & bands


@fault(
    "globals",
    "rows of global tokens use the local query",
    "global_rows_ignore_local_projections",
    "matches_reference",
    step="far_inputs",
)
def global_rows_use_local_query(self: Specimen, call: Call, b: int) -> list[Array]:
    return [*self.clean(call, b, call.local[:1]), *self.clean(call, b, call.far[1:])]


@fault(
    "globals",
    "rows of global tokens use the local values",
    "global_rows_ignore_local_projections",
    "mask_decoding",
    step="far_inputs",
)
def global_rows_use_local_value(self: Specimen, call: Call, b: int) -> list[Array]:
    return [*self.clean(call, b, call.far[:2]), *self.clean(call, b, call.local[2:])]


@fault(
    "globals",
    "local rows read global keys through key_global and value_global",
    "local_rows_ignore_global_projections",
    "mask_decoding",
    step="local_inputs",
)
def locals_read_global_projections(self: Specimen, call: Call, b: int) -> list[Array]:
    flags = call.flagged[b][None, :, None]
    query, *near = Specimen.local_inputs(self, call, b)
    distant = self.clean(call, b, call.far[1:])
    return [query, *(np.where(flags, far, own) for far, own in zip(distant, near, strict=True))]


@fault("globals", "a global flag on a masked token counts", "global_flag_on_masked_token", step="drop_flags")
def flag_on_masked_counts(self: Specimen, flagged: Array, real: Array) -> Array:
    return flagged


@fault(
    "globals",
    "the number of globals of the first row of the batch is used for all",
    "row_alone",
    "batch_permutation",
    "batch_invariance",
    step="drop_flags",
    seen="huggingface/transformers #5646",
)
def globals_counted_in_row_0(self: Specimen, flagged: Array, real: Array) -> Array:
    valid = Specimen.drop_flags(self, flagged, real)
    return valid & (np.cumsum(valid, axis=1) <= valid[0].sum())


@fault(
    "globals",
    "global projections blend into rows although no token is global",
    "unused_global_projections",
    step="clean",
)
def unused_projections_blend(self: Specimen, call: Call, b: int, arrays: tuple[Array, ...]) -> list[Array]:
    clean = Specimen.clean(self, call, b, arrays)
    if arrays is call.local and not call.flagged.any() and not all(call.shared):
        far = Specimen.clean(self, call, b, call.far)
        return [own + call.wide(1e-3) * other for own, other in zip(clean, far, strict=True)]
    return clean


@fault("globals", "a global mask without a flag still adds a key", "no_global_mask_is_all_zeros", step="read")
def empty_global_mask_widens(self: Specimen, *arrays: Array, **options: object) -> Call:
    call = Specimen.read(self, *arrays, **options)  # type: ignore[arg-type]
    has_mask = options.get("global_attention_mask") is not None
    return Call(**{**vars(call), "window": call.window + 1}) if has_mask and not call.flagged.any() else call
