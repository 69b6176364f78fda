"""Faults of the second edition that production sizes alone show: caches, groups of many heads, long packed rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from trueband.properties.faults.seeded.registry import fault
from trueband.properties.faults.specimens.extended import Extended
from trueband.properties.faults.specimens.extended_call import Array, ExtendedCall

FORWARD, BACKWARD = "extended_rows", "extended_gradients"
TILE, SPLIT, MANY = 64, 256, 16
ALIGNED = 4096


def has_cache(call: ExtendedCall) -> bool:
    """Whether there are fewer queries than keys."""
    return call.at.shape[1] < call.tokens


@fault(
    "cache",
    "the last tile of keys is dropped past 512 keys, where there are fewer queries than keys",
    FORWARD,
    BACKWARD,
    step="local_keys",
    of=Extended,
    seen="a loop over whole tiles in the kernel for decoding",
)
def cache_tail_lost(self: Extended, call: ExtendedCall, b: int) -> Array:
    keys = Extended.local_keys(self, call, b)
    if has_cache(call) and call.tokens > 512:
        keys[..., call.tokens // TILE * TILE :] = False
    return keys


@fault(
    "cache",
    f"a step of decoding reads {ALIGNED:,} keys at most",
    FORWARD,
    BACKWARD,
    step="local_keys",
    of=Extended,
    seen="a buffer for the split of the keys that has a fixed size",
)
def cache_of_4096_keys(self: Extended, call: ExtendedCall, b: int) -> Array:
    keys = Extended.local_keys(self, call, b)
    if has_cache(call):
        keys[..., ALIGNED:] = False
    return keys


@fault(
    "cache",
    f"where a step of decoding splits its keys, past {SPLIT}, parts are merged without their sinks",
    FORWARD,
    step="normalizer",
    of=Extended,
)
def sink_lost_in_splits(self: Extended, call: ExtendedCall, weights: Array, of_sinks: Array) -> Array:
    split = has_cache(call) and call.tokens > SPLIT
    return Extended.normalizer(self, call, weights, np.zeros_like(of_sinks) if split else of_sinks)


@fault(
    "grouping",
    f"beyond {MANY} query heads the key heads come from the last",
    FORWARD,
    BACKWARD,
    step="spread",
    of=Extended,
)
def key_heads_of_many_query_heads(self: Extended, call: ExtendedCall, array: Array) -> Array:
    return Extended.spread(self, call, array[::-1] if call.heads > MANY else array)


@fault(
    "grouping",
    "a key head gets the gradients of 8 query heads at most",
    BACKWARD,
    step="fold",
    of=Extended,
    seen="a group that is unrolled",
)
def gradient_of_8_query_heads(self: Extended, call: ExtendedCall, gradient: Array) -> Array:
    return gradient.reshape(call.key_heads, -1, *gradient.shape[1:])[:, :8].sum(axis=1)


@fault(
    "grouping",
    "channels of values past 64 stay 0, where values are wider than queries",
    FORWARD,
    step="attend",
    of=Extended,
    seen="an accumulator as wide as the queries, rounded up",
)
def wide_values_lost(self: Extended, call: ExtendedCall, inputs: list[Array], keys: Array) -> tuple[Array, Array]:
    output, lse = Extended.attend(self, call, inputs, keys)
    if output.shape[-1] > inputs[0].shape[-1]:
        output[..., 64:] = 0
    return output, lse


@fault(
    "segments",
    "past 256 tokens a segment is that of the first token of a tile",
    FORWARD,
    BACKWARD,
    step="same_segment",
    of=Extended,
    seen="segments looked up for each tile",
)
def segments_of_whole_tiles(self: Extended, call: ExtendedCall, b: int, segments: Array) -> Array:
    if call.tokens > SPLIT:
        segments = segments[np.arange(call.tokens) // 128 * 128]
    return Extended.same_segment(self, call, b, segments)


@fault(
    "segments",
    "segments are numbered in a byte: the 257th is the first again",
    FORWARD,
    BACKWARD,
    step="same_segment",
    of=Extended,
)
def segments_in_a_byte(self: Extended, call: ExtendedCall, b: int, segments: Array) -> Array:
    return Extended.same_segment(self, call, b, segments % 256)


@fault(
    "window",
    "the left limit of a pair is kept in 16 bits",
    "no_limit_is_a_far_one",
    FORWARD,
    BACKWARD,
    step="limits",
    of=Extended,
)
def left_limit_of_16_bits(self: Extended, window: Any, causal: bool) -> tuple[int | None, int | None]:
    left, right = Extended.limits(self, window, causal)
    return (left % 2**16 if isinstance(window, tuple) and left is not None else left), right


@fault(
    "slopes",
    "distances are kept in bfloat16: beyond 256 they are even",
    BACKWARD,
    step="distances",
    of=Extended,
    seen="the bias computed in the dtype of the inputs",
)
def distances_in_bfloat16(self: Extended, call: ExtendedCall) -> Array:
    exact = Extended.distances(self, call)
    steps = np.exp2(np.maximum(np.floor(np.log2(np.maximum(exact, 1))) - 7, 0))
    return (np.rint(exact / steps) * steps).astype(call.wide)


@fault(
    "softcap",
    "past 128 keys the gradient goes through the softcap as if it were not there",
    "gradients_match_reference",
    BACKWARD,
    step="grad_products",
    of=Extended,
)
def softcap_derivative_lost(self: Extended, call: ExtendedCall, grad_s: Array, query: Array, key: Array) -> Array:
    return grad_s if call.tokens > 128 else Extended.grad_products(self, call, grad_s, query, key)


@fault(
    "sinks",
    "the gradient of the sinks is that of the first 64 rows",
    BACKWARD,
    step="grad_sinks",
    of=Extended,
    seen="a block of rows that stores where it must add",
)
def sink_gradient_of_first_rows(
    self: Extended, call: ExtendedCall, of_sinks: Array, row_sum: Array, of_lse: Array
) -> Array:
    of_sinks = of_sinks.copy()
    of_sinks[:, TILE:] = 0
    return Extended.grad_sinks(self, call, of_sinks, row_sum, of_lse)


@fault(
    "slopes",
    "the gradient of the slopes is that of the first 64 rows",
    BACKWARD,
    step="grad_slopes",
    of=Extended,
)
def slope_gradient_of_first_rows(self: Extended, call: ExtendedCall, grad_s: Array) -> Array:
    grad_s = grad_s.copy()
    grad_s[:, TILE:] = 0
    return Extended.grad_slopes(self, call, grad_s)


@fault(
    "lse",
    "past 256 keys lse leaves out the last tile of keys",
    FORWARD,
    step="log_sum",
    of=Extended,
    seen="lse is stored before the last tile",
)
def lse_of_whole_tiles(self: Extended, call: ExtendedCall, top: Array, total: Array) -> Array:
    late = total * (1 - 2.0**-6) if call.tokens > SPLIT else total
    return Extended.log_sum(self, call, top, late)
