"""Faults of windows of two limits, and of sides without one."""

from __future__ import annotations

from typing import Any

import numpy as np

from trueband.properties.faults.seeded.registry import fault
from trueband.properties.faults.specimens.extended import Extended
from trueband.properties.faults.specimens.extended_call import Array, ExtendedCall

Limits = tuple[int | None, int | None]


@fault(
    "window",
    "the left limit of a pair counts the token itself",
    "equal_sides",
    "mask_decoding",
    step="limits",
    of=Extended,
    seen="sliding_window of Hugging Face and local_window_size of ONNX Runtime, handed on as the left limit",
)
def left_of_a_pair_counts_itself(self: Extended, window: Any, causal: bool) -> Limits:
    left, right = Extended.limits(self, window, causal)
    return (max(left - 1, 0) if isinstance(window, tuple) and left is not None else left), right


@fault(
    "window", "the right limit of a pair is exclusive", "sides_mirrored", "mask_decoding", step="limits", of=Extended
)
def right_of_a_pair_exclusive(self: Extended, window: Any, causal: bool) -> Limits:
    left, right = Extended.limits(self, window, causal)
    return left, (max(right - 1, 0) if isinstance(window, tuple) and right is not None else right)


@fault("window", "without causal there is no limit to the right of a pair", "mask_decoding", step="limits", of=Extended)
def right_limit_needs_causal(self: Extended, window: Any, causal: bool) -> Limits:
    left, right = Extended.limits(self, window, causal)
    return left, (None if isinstance(window, tuple) and not causal else right)


@fault(
    "window",
    "causal is lost where the left limit covers the keys",
    "mask_decoding",
    step="read",
    of=Extended,
    seen="kernels that take a window of the whole length for full attention",
)
def causal_lost_where_window_covers(self: Extended, *arrays: Array, **options: Any) -> ExtendedCall:
    call = Extended.read(self, *arrays, **options)
    if call.causal and (call.left is None or call.left >= call.tokens):
        call.right = None
    return call


@fault(
    "window",
    "causal is widened by the right limit of a pair",
    "causal_is_a_side",
    "matches_reference",
    step="limits",
    of=Extended,
)
def causal_widened_by_right(self: Extended, window: Any, causal: bool) -> Limits:
    left, right = window if isinstance(window, tuple) else (window, window)
    return left, (0 if causal and not isinstance(window, tuple) else right)


@fault(
    "window",
    "under causal the left limit is no wider than the right one",
    "causal_is_a_side",
    step="limits",
    of=Extended,
)
def causal_narrows_left(self: Extended, window: Any, causal: bool) -> Limits:
    left, right = Extended.limits(self, window, causal)
    if causal and isinstance(window, tuple) and None not in window:
        left = min(window)
    return left, right


@fault("window", "the limits of a pair are exchanged", "mask_decoding", step="limits", of=Extended)
def pair_exchanged(self: Extended, window: Any, causal: bool) -> Limits:
    return Extended.limits(self, window[::-1] if isinstance(window, tuple) else window, causal)


@fault("window", "under causal the limits of a pair are exchanged", "causal_is_a_side", step="limits", of=Extended)
def pair_exchanged_under_causal(self: Extended, window: Any, causal: bool) -> Limits:
    return Extended.limits(self, window[::-1] if isinstance(window, tuple) and causal else window, causal)


@fault("window", "both sides have the larger limit of a pair", "mask_decoding", step="limits", of=Extended)
def larger_limit_on_both_sides(self: Extended, window: Any, causal: bool) -> Limits:
    if isinstance(window, tuple) and None not in window:
        window = max(window)
    return Extended.limits(self, window, causal)


@fault("window", "the left limit of a pair is the width of both", "mask_decoding", step="limits", of=Extended)
def left_is_the_width(self: Extended, window: Any, causal: bool) -> Limits:
    if isinstance(window, tuple) and None not in window:
        window = (sum(window), window[1])
    return Extended.limits(self, window, causal)


@fault(
    "window",
    "a limit of 0 in a pair is taken for none",
    "causal_is_a_side",
    step="limits",
    of=Extended,
    seen="`window[0] or None`, and -1 and 0 that both mean no limit",
)
def limit_of_0_is_none(self: Extended, window: Any, causal: bool) -> Limits:
    if isinstance(window, tuple):
        window = tuple(limit or None for limit in window)
    return Extended.limits(self, window, causal)


@fault(
    "window",
    "no limit to the left is one of 0",
    "no_limit_is_a_far_one",
    "matches_reference",
    step="limits",
    of=Extended,
)
def open_left_is_0(self: Extended, window: Any, causal: bool) -> Limits:
    left, right = Extended.limits(self, window, causal)
    return left or 0, right


@fault("window", "no limit to the right is one of 0", "integer_scores", step="limits", of=Extended)
def open_right_is_0(self: Extended, window: Any, causal: bool) -> Limits:
    left, right = Extended.limits(self, window, causal)
    return left, right or 0


@fault("window", "a pair without any limit is causal", "no_limit_is_a_far_one", step="limits", of=Extended)
def open_on_both_sides_is_causal(self: Extended, window: Any, causal: bool) -> Limits:
    return Extended.limits(self, window, causal or window == (None, None))


@fault(
    "window",
    "no limit to the left reaches as far as there are queries",
    "softcap_of_large_scores",
    step="left_of",
    of=Extended,
)
def open_left_is_number_of_queries(self: Extended, call: ExtendedCall, ahead: Array, dilation: int) -> Array:
    near: Array = ahead > -call.at.shape[1]
    return near if call.left is None else Extended.left_of(self, call, ahead, dilation)


@fault(
    "window",
    "no limit to the right ends at the last query",
    "queries_in_parts",
    "no_limit_is_a_far_one",
    step="right_of",
    of=Extended,
)
def open_right_ends_at_last_query(self: Extended, call: ExtendedCall, ahead: Array, dilation: int) -> Array:
    reach = np.arange(call.at.shape[1])[::-1, None]
    return ahead <= reach if call.right is None else Extended.right_of(self, call, ahead, dilation)


@fault("window", "a window is cut to the number of queries", "queries_in_parts", step="read", of=Extended)
def window_cut_to_queries(self: Extended, *arrays: Array, **options: Any) -> ExtendedCall:
    call = Extended.read(self, *arrays, **options)
    call.left = None if call.left is None else min(call.left, call.at.shape[1])
    return call


@fault(
    "window", "the left limit of a pair is not multiplied by the dilation", "mask_decoding", step="left_of", of=Extended
)
def left_limit_undilated(self: Extended, call: ExtendedCall, ahead: Array, dilation: int) -> Array:
    return Extended.left_of(self, call, ahead, 1)


@fault(
    "window",
    "the right limit of a pair is not multiplied by the dilation",
    "mask_decoding",
    step="right_of",
    of=Extended,
)
def right_limit_undilated(self: Extended, call: ExtendedCall, ahead: Array, dilation: int) -> Array:
    return Extended.right_of(self, call, ahead, 1)


@fault("window", "keys to the right are not held to the dilation", "mask_decoding", step="in_band", of=Extended)
def no_dilation_to_the_right(self: Extended, call: ExtendedCall, b: int, dilation: int) -> Array:
    ahead = self.ahead(call, b)
    between = (ahead > 0) & self.right_of(call, ahead, dilation)
    return Extended.in_band(self, call, b, dilation) | between


@fault("window", "a side without a limit knows no dilation", "softcap_of_large_scores", step="in_band", of=Extended)
def open_side_undilated(self: Extended, call: ExtendedCall, b: int, dilation: int) -> Array:
    ahead = self.ahead(call, b)
    near = Extended.in_band(self, call, b, dilation)
    return near | (ahead < 0) if call.left is None else near
