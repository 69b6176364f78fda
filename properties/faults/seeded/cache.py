"""Faults of steps with a cache, where the last query stands at the last key and no offset says so."""

from __future__ import annotations

from typing import Any

import numpy as np

from trueband.properties.faults.seeded.registry import fault
from trueband.properties.faults.specimens.bottom_right import BottomRight
from trueband.properties.faults.specimens.extended import Extended
from trueband.properties.faults.specimens.extended_call import Array, ExtendedCall


@fault(
    "cache",
    "the first of the new tokens stands at the first key of the cache",
    "cache_that_grows",
    "mask_decoding",
    step="places",
    of=BottomRight,
    seen="is_causal of torch's scaled_dot_product_attention",
)
def new_tokens_at_the_top_left(self: BottomRight, offset: Any, batch: int, queries: int, tokens: int) -> Array:
    return Extended.places(self, 0, batch, queries, tokens)


@fault(
    "cache",
    "the new tokens stand behind the cache, which has them already",
    "gradients_match_reference",
    step="places",
    of=BottomRight,
)
def new_tokens_behind_the_cache(self: BottomRight, offset: Any, batch: int, queries: int, tokens: int) -> Array:
    places = BottomRight.places(self, offset, batch, queries, tokens)
    return places + (queries < tokens)


@fault(
    "cache", "the new tokens all see each other", "cache_that_grows", "sinks_gradient", step="right_of", of=BottomRight
)
def new_tokens_see_each_other(self: BottomRight, call: ExtendedCall, ahead: Array, dilation: int) -> Array:
    fresh = np.arange(call.tokens)[None, :] >= call.at[0][0]
    chunk = call.at.shape[1] < call.tokens
    return BottomRight.right_of(self, call, ahead, dilation) | (fresh & chunk)


@fault(
    "cache",
    "the cache is read whole, whatever the window",
    "cache_that_grows",
    "sinks_gradient",
    step="left_of",
    of=BottomRight,
)
def cache_read_whole(self: BottomRight, call: ExtendedCall, ahead: Array, dilation: int) -> Array:
    cached = np.arange(call.tokens)[None, :] < call.at[0][0]
    return BottomRight.left_of(self, call, ahead, dilation) | cached


@fault(
    "cache",
    "the window of a step ends one token early in the cache",
    "cache_that_grows",
    "sinks_gradient",
    step="left_of",
    of=BottomRight,
)
def window_of_a_step_short(self: BottomRight, call: ExtendedCall, ahead: Array, dilation: int) -> Array:
    near = BottomRight.left_of(self, call, ahead, dilation)
    if call.left is None or call.at.shape[1] == call.tokens:
        return near
    return near & ((ahead > -call.left * dilation) | (call.left == 0))


@fault(
    "cache",
    "the mask of the keys is that of the first tokens, as many as there are new ones",
    "mask_decoding",
    step="local_keys",
    of=BottomRight,
    seen="a mask that is not lengthened with the cache",
)
def mask_of_new_tokens_only(self: BottomRight, call: ExtendedCall, b: int) -> Array:
    real, rows = call.real, self.real_rows(call, b)
    short = np.arange(call.tokens) >= call.at.shape[1]
    call.real = real | short
    keys = BottomRight.local_keys(self, call, b) & rows[None, :, None]
    call.real = real
    return keys


@fault(
    "cache",
    "the gradients of the cache are those of the new tokens alone",
    "gradients_match_reference",
    step="fold",
    of=BottomRight,
)
def no_gradients_of_cached_tokens(self: BottomRight, call: ExtendedCall, gradient: Array) -> Array:
    cached = np.arange(call.tokens) < call.at[0][0]
    return np.where(cached[:, None], 0, BottomRight.fold(self, call, gradient))


@fault(
    "cache",
    "a call has the window of the call before, where sizes and head dims are the same",
    "matches_reference",
    step="read",
    of=BottomRight,
    seen="block masks that are cached by the shapes, and not by the layer's window",
)
def window_of_the_call_before(self: Any, *arrays: Array, **options: Any) -> ExtendedCall:
    call: ExtendedCall = BottomRight.read(self, *arrays, **options)
    kept = self.__dict__.setdefault("kept", {})
    shapes = tuple(array.shape for array in arrays[:3])
    call.left, call.right = kept.setdefault((shapes, call.causal), (call.left, call.right))
    return call
