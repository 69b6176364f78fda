"""Faults of slopes: what is taken off a score with the distance."""

from __future__ import annotations

from typing import Any

import numpy as np

from trueband.properties.faults.seeded.registry import fault
from trueband.properties.faults.specimens.extended import Extended
from trueband.properties.faults.specimens.extended_call import Array, ExtendedCall
from trueband.properties.faults.specimens.extended_tiled import TILE, ExtendedTiled


@fault(
    "slopes",
    "a slope adds with the place of the key, and not with its distance",
    "sides_mirrored",
    step="distances",
    of=Extended,
    seen="the first ALiBi models: right for causal attention, but for lse",
)
def slope_of_place(self: Extended, call: ExtendedCall) -> Array:
    return np.broadcast_to(-np.arange(call.tokens), (call.at.shape[1], call.tokens)).astype(call.wide)


@fault("slopes", "keys to the right gain what those to the left lose", "sides_mirrored", step="distances", of=Extended)
def slope_signed(self: Extended, call: ExtendedCall) -> Array:
    return -self.ahead(call, call.index).astype(call.wide)


@fault("slopes", "a slope takes nothing off keys to the right", "sides_mirrored", step="distances", of=Extended)
def no_slope_to_the_right(self: Extended, call: ExtendedCall) -> Array:
    return np.maximum(-self.ahead(call, call.index), 0).astype(call.wide)


@fault("slopes", "the own token has a distance of 1", "lse_matches_reference", step="distances", of=Extended)
def distance_from_1(self: Extended, call: ExtendedCall) -> Array:
    return Extended.distances(self, call) + 1


@fault("slopes", "distances are counted without the offset", "cache_with_offset", step="distances", of=Extended)
def distance_without_offset(self: Extended, call: ExtendedCall) -> Array:
    at = call.at[call.index]
    return abs(np.arange(call.tokens)[None, :] - (at - at[0])[:, None]).astype(call.wide)


@fault(
    "slopes",
    "distances have the offset of the first row of the batch",
    "offset_of_each_row",
    step="distances",
    of=Extended,
)
def distance_of_row_0(self: Extended, call: ExtendedCall) -> Array:
    return abs(self.ahead(call, 0)).astype(call.wide)


@fault("slopes", "the slope is scaled as the scores are", "gradient_layouts", step="read", of=Extended)
def slope_scaled(self: Extended, *arrays: Array, **options: Any) -> ExtendedCall:
    call = Extended.read(self, *arrays, **options)
    call.slopes = None if call.slopes is None else call.slopes * call.wide(call.scale)
    return call


@fault("slopes", "the slope is an exponent of 2", "gradient_layouts", step="read", of=Extended)
def slope_in_base_2(self: Extended, *arrays: Array, **options: Any) -> ExtendedCall:
    call = Extended.read(self, *arrays, **options)
    call.slopes = None if call.slopes is None else call.slopes * call.wide(np.log(2))
    return call


@fault("slopes", "a slope is added", "gradient_layouts", step="read", of=Extended)
def slope_added(self: Extended, *arrays: Array, **options: Any) -> ExtendedCall:
    call = Extended.read(self, *arrays, **options)
    call.slopes = None if call.slopes is None else -call.slopes
    return call


@fault("slopes", "a query head has the slope of its key head's place", "grouped_is_repeated", step="read", of=Extended)
def slope_of_key_head(self: Extended, *arrays: Array, **options: Any) -> ExtendedCall:
    call = Extended.read(self, *arrays, **options)
    if call.slopes is not None:
        call.slopes = call.slopes[np.arange(call.heads) // (call.heads // call.key_heads)]
    return call


@fault(
    "slopes",
    "slopes are the powers of 2 of the number of heads, whatever is passed",
    "slopes_of_zero",
    "segments_that_come_again",
    step="read",
    of=Extended,
)
def slopes_of_number_of_heads(self: Extended, *arrays: Array, **options: Any) -> ExtendedCall:
    call = Extended.read(self, *arrays, **options)
    if call.slopes is not None:
        call.slopes = (2.0 ** (-8 * np.arange(1, call.heads + 1) / call.heads)).astype(call.wide)
    return call


@fault("slopes", "the slope comes before the softcap", "gradient_layouts", step="scores", of=Extended)
def slope_before_softcap(self: Extended, call: ExtendedCall, query: Array, key: Array, keys: Array) -> Array:
    products, slope = self.products(call, query, key), self.slope_scores(call)
    return np.where(keys, self.cap(call, products if slope is None else products + slope), -np.inf)


@fault(
    "slopes",
    "distances are counted from the first row of a block",
    "sides_mirrored",
    step="distances",
    of=ExtendedTiled,
)
def distance_of_block(self: ExtendedTiled, call: ExtendedCall) -> Array:
    first = np.arange(call.at.shape[1]) // TILE * TILE
    return ExtendedTiled.distances(self, call)[first]


# --- backward


@fault("slopes", "slopes have no gradient", "slopes_gradient", step="grad_slopes", of=Extended)
def no_gradient_of_slopes(self: Extended, call: ExtendedCall, grad_s: Array) -> Array:
    return np.zeros(call.heads, call.wide)


@fault("slopes", "the gradient of the slopes has the wrong sign", "slopes_gradient", step="grad_slopes", of=Extended)
def gradient_of_slopes_negative(self: Extended, call: ExtendedCall, grad_s: Array) -> Array:
    return -Extended.grad_slopes(self, call, grad_s)


@fault("slopes", "the gradient of the slopes has signed distances", "slopes_gradient", step="grad_slopes", of=Extended)
def gradient_of_slopes_signed(self: Extended, call: ExtendedCall, grad_s: Array) -> Array:
    return (grad_s * self.ahead(call, call.index)[None]).sum(axis=(1, 2)).astype(call.wide)


@fault(
    "slopes",
    "the gradient of the slopes goes through the softcap",
    "slopes_gradient",
    step="rows_backward",
    of=Extended,
)
def gradient_of_slopes_capped(
    self: Extended, call: ExtendedCall, inputs: list[Array], keys: Array, upstream: Array, of_lse: Array
) -> tuple[list[Array], dict[str, Array]]:
    parts, of_heads = Extended.rows_backward(self, call, inputs, keys, upstream, of_lse)
    if call.slopes is not None:
        query, key, value = inputs
        p, _ = self.probabilities(call, query, key, keys)
        grad_p = upstream @ value.transpose(0, 2, 1)
        grad_s = self.grad_scores(p, grad_p, self.row_sum(p, grad_p), of_lse)
        of_heads["slopes"] = self.grad_slopes(call, self.grad_products(call, grad_s, query, key))
    return parts, of_heads


@fault(
    "slopes",
    "the gradient of the slopes is that of the last sequence",
    "slopes_gradient",
    step="add_heads",
    of=Extended,
)
def gradient_of_slopes_not_summed(self: Extended, totals: dict[str, Array], parts: dict[str, Array]) -> None:
    if "slopes" in parts:
        totals["slopes"][:] = 0
    Extended.add_heads(self, totals, parts)


@fault(
    "slopes",
    "the backward pass has probabilities without slopes",
    "gradient_layouts",
    step="probabilities",
    of=Extended,
)
def backward_probabilities_without_slopes(
    self: Extended, call: ExtendedCall, query: Array, key: Array, keys: Array
) -> tuple[Array, Array]:
    slopes, call.slopes = call.slopes, None
    found = Extended.probabilities(self, call, query, key, keys)
    call.slopes = slopes
    return found
