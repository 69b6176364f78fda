"""Faults of which tokens are global, which rows they get, and which projections are read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from trueband.properties.faults.seeded.registry import fault
from trueband.properties.faults.specimens.plain import Array, Call, Specimen


@fault(
    "globals",
    "local rows see global tokens only in their window",
    "mask_decoding",
    "reachability",
    step="local_keys",
    seen="allenai/longformer #28, #254",
)
def globals_seen_in_window_only(self: Specimen, call: Call, b: int) -> Array:
    bands = np.array([self.in_band(call, b, dilation) for dilation in call.dilations])
    return Specimen.local_keys(self, call, b) & bands


@fault("globals", "a global key is taken out of the window and not put back", "mask_decoding", step="local_keys")
def global_lost_from_window(self: Specimen, call: Call, b: int) -> Array:
    bands = np.array([self.in_band(call, b, dilation) for dilation in call.dilations])
    return Specimen.local_keys(self, call, b) & ~(bands & call.flagged[b][None, None, :])


@fault("globals", "only the first global token gets a row that reads everything", "mask_decoding", step="far_keys")
def one_global_row(self: Specimen, call: Call, b: int) -> Array:
    first = np.cumsum(call.flagged[b]) == 1
    bands = np.array([self.in_band(call, b, dilation) for dilation in call.dilations])
    return Specimen.far_keys(self, call, b) & (bands | first[None, :, None])


@fault(
    "globals",
    "rows of global tokens read only global tokens",
    "mask_decoding",
    step="far_keys",
    seen="ETC's global-to-global part alone",
)
def global_rows_read_globals(self: Specimen, call: Call, b: int) -> Array:
    return Specimen.far_keys(self, call, b) & call.flagged[b][None, None, :]


@fault("globals", "rows of global tokens are causal", "all_global_is_full_attention", "mask_decoding", step="far_keys")
def global_rows_causal(self: Specimen, call: Call, b: int) -> Array:
    return np.tril(Specimen.far_keys(self, call, b))


@fault(
    "globals",
    "rows of global tokens read multiples of the dilation only",
    "mask_decoding",
    "all_global_is_full_attention",
    step="far_keys",
)
def global_rows_dilated(self: Specimen, call: Call, b: int) -> Array:
    position = np.arange(call.real.shape[1])
    ahead = position[None, :] - position[:, None]
    return Specimen.far_keys(self, call, b) & np.array([ahead % dilation == 0 for dilation in call.dilations])


@fault(
    "globals",
    "rows of global tokens do not read themselves",
    "mask_decoding",
    "all_global_is_full_attention",
    step="far_keys",
)
def global_rows_skip_themselves(self: Specimen, call: Call, b: int) -> Array:
    return Specimen.far_keys(self, call, b) & ~np.eye(call.real.shape[1], dtype=bool)


@fault(
    "globals",
    "rows of global tokens use the local keys",
    "global_rows_ignore_local_projections",
    "matches_reference",
    step="far_inputs",
)
def global_rows_use_local_key(self: Specimen, call: Call, b: int) -> list[Array]:
    (query, _, value), (key,) = self.clean(call, b, call.far), self.clean(call, b, call.local[1:2])
    return [query, key, value]


@fault("globals", "key_global and value_global are swapped", "matches_reference", "mask_decoding", step="far_inputs")
def global_key_and_value_swapped(self: Specimen, call: Call, b: int) -> list[Array]:
    query, key, value = Specimen.far_inputs(self, call, b)
    return [query, value, key]


@fault(
    "globals",
    "the scale is missing in rows of global tokens",
    "matches_reference",
    "all_global_is_full_attention",
    step="far_inputs",
)
def global_rows_unscaled(self: Specimen, call: Call, b: int) -> list[Array]:
    query, key, value = Specimen.far_inputs(self, call, b)
    return [query / call.wide(call.scale), key, value]


for _names, _which in (("values", 2), ("keys", 1)):

    @fault(
        "globals",
        f"local rows read the {_names} of global tokens from {_names[:-1]}_global",
        "local_rows_ignore_global_projections",
        "matches_reference",
        step="local_inputs",
        name=f"locals_read_global_{_names}",
    )
    def _locals_read(self: Specimen, call: Call, b: int, which: int = _which) -> list[Array]:
        inputs = Specimen.local_inputs(self, call, b)
        (far,) = self.clean(call, b, (call.far[which],))
        inputs[which] = np.where(call.flagged[b][None, :, None], far, inputs[which])
        return inputs


@fault(
    "globals",
    "local rows use query_global wherever a global token exists",
    "local_rows_ignore_global_projections",
    "matches_reference",
    step="local_inputs",
)
def locals_use_global_query(self: Specimen, call: Call, b: int) -> list[Array]:
    query, key, value = Specimen.local_inputs(self, call, b)
    return [self.clean(call, b, call.far[:1])[0] if call.flagged[b].any() else query, key, value]


@fault(
    "globals",
    "rows of global tokens are never written",
    "mask_decoding",
    "all_global_is_full_attention",
    step="put_far_rows",
)
def global_rows_unwritten(self: Specimen, call: Call, b: int, local: Array) -> Array:
    return local


@fault("globals", "rows of global tokens are written in reverse order", "matches_reference", step="put_far_rows")
def global_rows_reversed(self: Specimen, call: Call, b: int, local: Array) -> Array:
    output, rows = Specimen.put_far_rows(self, call, b, local).copy(), np.flatnonzero(call.flagged[b])
    output[:, rows] = output[:, rows[::-1]]
    return output


@fault(
    "globals",
    "rows of global tokens are written to the first rows",
    "mask_decoding",
    "matches_reference",
    step="put_far_rows",
)
def global_rows_written_in_front(self: Specimen, call: Call, b: int, local: Array) -> Array:
    output, rows = Specimen.put_far_rows(self, call, b, local), np.flatnonzero(call.flagged[b])
    moved = output.copy()
    moved[:, rows] = local[:, rows]
    moved[:, : len(rows)] = output[:, rows]
    return moved


@fault(
    "globals",
    "rows of global tokens are added to what stands there from the window",
    "mask_decoding",
    "all_global_is_full_attention",
    step="put_far_rows",
)
def global_rows_added(self: Specimen, call: Call, b: int, local: Array) -> Array:
    near = Specimen.local_keys(self, replace(call, flagged=np.zeros_like(call.flagged)), b)
    _, window = self.rows(call, self.local_inputs(call, b), near & call.flagged[b][None, :, None])
    return Specimen.put_far_rows(self, call, b, local) + window


@fault(
    "globals",
    "the flags of the first row of the batch are used for all",
    "row_alone",
    "mask_decoding",
    step="drop_flags",
)
def flags_of_row_0(self: Specimen, flagged: Array, real: Array) -> Array:
    return flagged[:1] & real


@fault(
    "globals",
    "flags are taken to be the first so many tokens",
    "mask_decoding",
    "matches_reference",
    step="drop_flags",
    seen="BigBird- and ETC-style kernels: a global prefix",
)
def flags_are_a_prefix(self: Specimen, flagged: Array, real: Array) -> Array:
    count = (flagged & real).sum(axis=1, keepdims=True)
    return (np.arange(flagged.shape[1])[None, :] < count) & real


@fault(
    "globals",
    "positions of global tokens are counted among real tokens",
    "mask_decoding",
    "matches_reference",
    step="drop_flags",
)
def flags_counted_among_real(self: Specimen, flagged: Array, real: Array) -> Array:
    moved = np.zeros_like(flagged)
    for b in range(len(flagged)):
        moved[b, : real[b].sum()] = flagged[b][real[b]]
    return moved & real


@fault("globals", "the first token is global whenever one is", "mask_decoding", "matches_reference", step="drop_flags")
def first_token_global_too(self: Specimen, flagged: Array, real: Array) -> Array:
    flags = flagged & real
    return (flags | ((np.arange(flagged.shape[1]) == 0) & flags.any(axis=1, keepdims=True))) & real


@fault(
    "globals",
    "no more than two tokens are global",
    "mask_decoding",
    "matches_reference",
    step="drop_flags",
    seen="kernels with room for a fixed number",
)
def third_global_dropped(self: Specimen, flagged: Array, real: Array) -> Array:
    return flagged & real & (np.cumsum(flagged & real, axis=1) <= 2)


@fault("globals", "the last token cannot be global", "all_global_is_full_attention", "mask_decoding", step="drop_flags")
def last_token_never_global(self: Specimen, flagged: Array, real: Array) -> Array:
    valid = flagged & real
    valid[:, -1] = False
    return valid


@fault(
    "globals",
    "where all tokens are global, the local projections are used",
    "all_global_is_full_attention",
    "mask_decoding",
    step="far_inputs",
)
def all_global_path_is_local(self: Specimen, call: Call, b: int) -> list[Array]:
    local = call.flagged[b].all()
    return self.clean(call, b, call.local if local else call.far)


@fault("globals", "window and global keys are normalized apart and averaged", "mask_decoding", step="normalize")
def global_keys_normalized_apart(self: Specimen, call: Call, weights: Array, keys: Array) -> Array:
    far = call.flagged[call.index][None, None, :]
    parts = [Specimen.normalize(self, call, weights * far, keys), Specimen.normalize(self, call, weights * ~far, keys)]
    both = (keys & far).any(axis=-1, keepdims=True) & (keys & ~far).any(axis=-1, keepdims=True)
    return ((parts[0] + parts[1]) / (1 + both)).astype(call.wide)


@fault("globals", "key_global and value_global are ignored", "mask_decoding", "matches_reference", step="read")
def only_query_global_is_read(self: Specimen, *arrays: Array, **options: Any) -> Call:
    call = Specimen.read(self, *arrays, **options)
    return replace(call, far=(call.far[0], call.local[1], call.local[2]))


@fault("globals", "two global tokens side by side are one", "mask_decoding", "matches_reference", step="drop_flags")
def neighboring_globals_merged(self: Specimen, flagged: Array, real: Array) -> Array:
    valid = flagged & real
    return valid & ~np.pad(valid, ((0, 0), (1, 0)))[:, :-1]
