"""Faults of the head mask."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from trueband.properties.faults.seeded.registry import fault
from trueband.properties.faults.specimens.plain import Array, Call, Specimen


@fault("options", "the head mask is applied twice", "head_mask_scales_heads", "matches_reference", step="mask_heads")
def head_mask_twice(self: Specimen, call: Call, output: Array) -> Array:
    return Specimen.mask_heads(self, call, Specimen.mask_heads(self, call, output))


@fault("options", "the head mask multiplies the scores", "head_mask_scales_heads", "matches_reference", step="scores")
def head_mask_on_scores(self: Specimen, call: Call, query: Array, key: Array) -> Array:
    return Specimen.scores(self, call, query, key) * call.factor[:, None, None].astype(call.wide)


@fault("options", "every head mask but 0 is 1", "head_mask_scales_heads", "matches_reference", step="read")
def head_mask_is_binary(self: Specimen, *arrays: Array, **options: Any) -> Call:
    call = Specimen.read(self, *arrays, **options)
    return replace(call, factor=(call.factor != 0).astype(float))


@fault(
    "options",
    "the head mask is looked up by the row of the batch",
    "head_mask_scales_heads",
    "row_alone",
    step="mask_heads",
)
def head_mask_of_batch_row(self: Specimen, call: Call, output: Array) -> Array:
    return output * call.wide(call.factor[call.index % len(call.factor)])


@fault("options", "the head mask is in reverse order", "head_mask_scales_heads", "head_permutation", step="mask_heads")
def head_mask_reversed(self: Specimen, call: Call, output: Array) -> Array:
    return Specimen.mask_heads(self, replace(call, factor=call.factor[::-1]), output)


@fault(
    "options",
    "the head mask does not reach rows of global tokens",
    "head_mask_scales_heads",
    "matches_reference",
    step="mask_heads",
)
def head_mask_spares_global_rows(self: Specimen, call: Call, output: Array) -> Array:
    flagged = call.flagged[call.index][None, :, None]
    return np.where(flagged, output, Specimen.mask_heads(self, call, output))


@fault(
    "options",
    "masked heads are left out, the others made up for it",
    "head_mask_scales_heads",
    "matches_reference",
    step="mask_heads",
)
def head_mask_renormalized(self: Specimen, call: Call, output: Array) -> Array:
    return Specimen.mask_heads(self, call, output) / call.wide(max(call.factor.mean(), 0.1))
