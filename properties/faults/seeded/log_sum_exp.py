"""Faults of lse, and of gradients through it."""

from __future__ import annotations

from typing import Any

import numpy as np

from trueband.properties.faults.seeded.registry import fault
from trueband.properties.faults.specimens.extended import Extended
from trueband.properties.faults.specimens.extended_call import Array, ExtendedCall
from trueband.properties.faults.specimens.extended_tiled import ExtendedTiled


@fault(
    "lse",
    "lse is a logarithm of base 2",
    "lse_matches_reference",
    "parts_merge",
    step="finish_lse",
    of=Extended,
    seen="kernels that compute with exp2, and hand out what they have",
)
def lse_in_base_2(self: Extended, call: ExtendedCall, lse: Array) -> Array:
    return (lse / np.log(2)).astype(call.wide)


@fault(
    "lse", "lse passes through half precision", "lse_matches_reference", "parts_merge", step="finish_lse", of=Extended
)
def lse_through_half(self: Extended, call: ExtendedCall, lse: Array) -> Array:
    return lse.astype(np.float16).astype(call.wide)


@fault("lse", "lse is laid out (b, m, h)", "parts_merge", "lse_matches_reference", step="finish_lse", of=Extended)
def lse_queries_first(self: Extended, call: ExtendedCall, lse: Array) -> Array:
    return np.ascontiguousarray(Extended.finish_lse(self, call, lse).transpose(0, 2, 1))


@fault(
    "lse", "the lse of a row without keys is 0", "parts_merge", "lse_matches_reference", step="finish_lse", of=Extended
)
def lse_without_keys_is_0(self: Extended, call: ExtendedCall, lse: Array) -> Array:
    return np.where(np.isfinite(lse), lse, 0).astype(call.wide)


@fault(
    "lse",
    "the lse of a row without keys is NaN",
    "parts_merge",
    "lse_matches_reference",
    step="finish_lse",
    of=Extended,
    seen="minus infinity less minus infinity",
)
def lse_without_keys_is_nan(self: Extended, call: ExtendedCall, lse: Array) -> Array:
    return np.where(np.isfinite(lse), lse, np.nan).astype(call.wide)


@fault(
    "lse",
    "the lse of a row without keys is infinite, and positive",
    "parts_merge",
    "lse_matches_reference",
    step="finish_lse",
    of=Extended,
    seen="FlashAttention 2, in which it is meant so",
)
def lse_without_keys_is_positive(self: Extended, call: ExtendedCall, lse: Array) -> Array:
    return np.where(np.isfinite(lse), lse, np.inf).astype(call.wide)


@fault("lse", "the lse of a row without keys is -1e30", "lse_matches_reference", step="finish_lse", of=Extended)
def lse_without_keys_is_finite(self: Extended, call: ExtendedCall, lse: Array) -> Array:
    return np.where(np.isfinite(lse), lse, -1e30).astype(call.wide)


@fault(
    "lse",
    "the lse of a real row without keys is 0, that of a masked one is right",
    "parts_merge",
    "lse_matches_reference",
    step="unmasked",
    of=Extended,
)
def lse_of_real_row_without_keys_is_0(self: Extended, call: ExtendedCall, b: int) -> tuple[Array, Array]:
    output, lse = Extended.unmasked(self, call, b)
    return output, np.where(self.real_rows(call, b)[None, :, None] & ~np.isfinite(lse), 0, lse)


@fault("lse", "lse lacks the maximum", "lse_matches_reference", "parts_merge", step="log_sum", of=Extended)
def lse_without_maximum(self: Extended, call: ExtendedCall, top: Array, total: Array) -> Array:
    return np.log(total)


@fault("lse", "lse is the maximum", "lse_matches_reference", "parts_merge", step="log_sum", of=Extended)
def lse_is_maximum(self: Extended, call: ExtendedCall, top: Array, total: Array) -> Array:
    return top


@fault("lse", "lse lacks the sink", "sink_far_above", "sinks_take_weight", step="softmax", of=Extended)
def lse_without_sink(self: Extended, call: ExtendedCall, scores: Array) -> tuple[Array, Array]:
    p, lse = Extended.softmax(self, call, scores)
    sinks, call.sinks = call.sinks, None
    bare = Extended.softmax(self, call, scores)[1]
    call.sinks = sinks
    return p, lse if sinks is None else bare


@fault(
    "lse",
    "lse is that of the scores before the softcap",
    "lse_matches_reference",
    "parts_merge",
    step="attend",
    of=Extended,
)
def lse_before_softcap(self: Extended, call: ExtendedCall, inputs: list[Array], keys: Array) -> tuple[Array, Array]:
    output, _ = Extended.attend(self, call, inputs, keys)
    softcap, call.softcap = call.softcap, None
    lse = Extended.attend(self, call, inputs, keys)[1]
    call.softcap = softcap
    return output, lse


@fault("lse", "the lse of a global token is that of a local row", "lse_matches_reference", step="unmasked", of=Extended)
def lse_of_local_rows_only(self: Extended, call: ExtendedCall, b: int) -> tuple[Array, Array]:
    output, _ = Extended.unmasked(self, call, b)
    lse = Extended.attend(self, call, self.inputs(call, b, call.local), self.local_keys(call, b))[1]
    return Extended.clear(self, call, b, output, lse)


@fault("lse", "the head mask changes lse", "lse_matches_reference", step="sequence", of=Extended)
def head_mask_in_lse(self: Extended, call: ExtendedCall, b: int) -> tuple[Array, Array]:
    output, lse = Extended.sequence(self, call, b)
    return output, (lse + np.log(call.factor)[:, None]).astype(call.wide)


@fault(
    "lse",
    "with lse the output is not divided by the normalizer",
    "lse_matches_reference",
    "parts_merge",
    step="attend",
    of=Extended,
    seen="partial results of split keys, handed out",
)
def output_beside_lse_unnormalized(
    self: Extended, call: ExtendedCall, inputs: list[Array], keys: Array
) -> tuple[Array, Array]:
    output, lse = Extended.attend(self, call, inputs, keys)
    return output * np.where(np.isfinite(lse), np.exp(lse), 1) if call.return_lse else output, lse


@fault(
    "lse",
    "the lse of a key that has no other beside it is 0",
    "parts_merge",
    "lse_matches_reference",
    step="softmax",
    of=Extended,
)
def lse_of_one_key_is_0(self: Extended, call: ExtendedCall, scores: Array) -> tuple[Array, Array]:
    p, lse = Extended.softmax(self, call, scores)
    alone = np.isfinite(scores).sum(axis=-1, keepdims=True) == 1
    return p, np.where(alone & (call.sinks is None), 0, lse)


@fault(
    "lse",
    "lse has the maximum of the last tile",
    "lse_matches_reference",
    "parts_merge",
    step="block",
    of=ExtendedTiled,
)
def lse_with_maximum_of_last_tile(
    self: ExtendedTiled, call: ExtendedCall, inputs: list[Array], keys: Array, rows: slice
) -> tuple[Array, Array]:
    output, lse = ExtendedTiled.block(self, call, inputs, keys, rows)
    scores = self.scores(call, inputs[0], inputs[1], keys)[:, rows]
    *_, first = [0, *self.tiles(call, rows)]
    last = scores[:, :, first:].max(axis=-1, keepdims=True)
    top = scores.max(axis=-1, keepdims=True)
    return output, np.where(np.isfinite(last), lse - top + last, lse)


# --- backward


@fault(
    "lse",
    "no gradient goes through lse",
    "lse_gradients",
    step="upstream_lse",
    of=Extended,
    seen="lse that is marked as not differentiable",
)
def no_gradient_through_lse(self: Extended, call: ExtendedCall, b: int, grad_lse: Array | None) -> Array:
    return Extended.upstream_lse(self, call, b, None)


@fault("lse", "the gradient through lse has the wrong sign", "lse_gradients", step="upstream_lse", of=Extended)
def gradient_through_lse_negative(self: Extended, call: ExtendedCall, b: int, grad_lse: Array | None) -> Array:
    return -Extended.upstream_lse(self, call, b, grad_lse)


@fault("lse", "the gradient through lse is doubled", "lse_gradients", step="upstream_lse", of=Extended)
def gradient_through_lse_doubled(self: Extended, call: ExtendedCall, b: int, grad_lse: Array | None) -> Array:
    return 2 * Extended.upstream_lse(self, call, b, grad_lse)


@fault(
    "lse", "the gradient through lse is multiplied by the head mask", "lse_gradients", step="upstream_lse", of=Extended
)
def gradient_through_lse_head_masked(self: Extended, call: ExtendedCall, b: int, grad_lse: Array | None) -> Array:
    return Extended.upstream_lse(self, call, b, grad_lse) * call.factor[:, None, None].astype(call.wide)


@fault(
    "lse", "the gradient through lse is lost where the output has none", "lse_gradients", step="gradients", of=Extended
)
def gradient_through_lse_needs_output(
    self: Extended, *arrays: Array, grad_output: Array, grad_lse: Any = None, **options: Any
) -> dict[str, Array]:
    kept = grad_lse if grad_output.any() else None
    return Extended.gradients(self, *arrays, grad_output=grad_output, grad_lse=kept, **options)  # type: ignore[misc]
