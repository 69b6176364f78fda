"""Faults of sinks: a term of the normalizer that weighs no value."""

from __future__ import annotations

from typing import Any

import numpy as np

from trueband.properties.faults.seeded.registry import fault
from trueband.properties.faults.specimens.extended import Extended
from trueband.properties.faults.specimens.extended_call import Array, ExtendedCall
from trueband.properties.faults.specimens.extended_tiled import ExtendedTiled


@fault(
    "sinks",
    "the sink is added without the maximum taken off",
    "sink_far_above",
    step="softmax",
    of=Extended,
    seen="a sink that is added after the loop over the keys",
)
def sink_added_after_maximum(self: Extended, call: ExtendedCall, scores: Array) -> tuple[Array, Array]:
    top = scores.max(axis=-1, keepdims=True)
    weights = np.exp(scores - np.where(np.isfinite(top), top, 0)).astype(call.wide)
    total = self.normalizer(call, weights, np.exp(self.sinks(call, scores)))
    return weights / np.where(total == 0, 1, total), self.log_sum(call, np.where(np.isfinite(top), top, 0), total)


@fault("sinks", "the sink takes no part in the maximum", "sink_far_above", step="softmax", of=Extended)
def sink_not_in_maximum(self: Extended, call: ExtendedCall, scores: Array) -> tuple[Array, Array]:
    top = scores.max(axis=-1, keepdims=True)
    safe = np.where(np.isfinite(top), top, 0)
    weights = np.exp(scores - safe).astype(call.wide)
    total = self.normalizer(call, weights, np.exp(self.sinks(call, scores) - safe))
    return weights / np.where(total == 0, 1, total), self.log_sum(call, safe, total)


@fault("sinks", "the sink is scaled as the scores are", "sinks_take_weight", step="read", of=Extended)
def sink_scaled(self: Extended, *arrays: Array, **options: Any) -> ExtendedCall:
    call = Extended.read(self, *arrays, **options)
    call.sinks = None if call.sinks is None else call.sinks * call.wide(call.scale)
    return call


@fault("sinks", "the sink is capped as the scores are", "sinks_take_weight", step="read", of=Extended)
def sink_capped(self: Extended, *arrays: Array, **options: Any) -> ExtendedCall:
    call = Extended.read(self, *arrays, **options)
    call.sinks = None if call.sinks is None else self.cap(call, call.sinks)
    return call


@fault(
    "sinks",
    "the sink is an exponent of 2",
    "sinks_take_weight",
    step="read",
    of=Extended,
    seen="scores that are multiplied by log2(e), and a sink that is not",
)
def sink_in_base_2(self: Extended, *arrays: Array, **options: Any) -> ExtendedCall:
    call = Extended.read(self, *arrays, **options)
    call.sinks = None if call.sinks is None else call.sinks * call.wide(np.log(2))
    return call


@fault(
    "sinks",
    "every sink is 0",
    "sink_far_below",
    "sinks_take_weight",
    step="read",
    of=Extended,
    seen="softmax with 1 added to the normalizer",
)
def sink_of_0(self: Extended, *arrays: Array, **options: Any) -> ExtendedCall:
    call = Extended.read(self, *arrays, **options)
    call.sinks = None if call.sinks is None else np.zeros_like(call.sinks)
    return call


@fault("sinks", "every head has the sink of the first", "sinks_take_weight", step="read", of=Extended)
def sink_of_head_0(self: Extended, *arrays: Array, **options: Any) -> ExtendedCall:
    call = Extended.read(self, *arrays, **options)
    call.sinks = None if call.sinks is None else np.full_like(call.sinks, call.sinks[0])
    return call


@fault("sinks", "a query head has the sink of its key head's place", "grouped_is_repeated", step="read", of=Extended)
def sink_of_key_head(self: Extended, *arrays: Array, **options: Any) -> ExtendedCall:
    call = Extended.read(self, *arrays, **options)
    if call.sinks is not None:
        call.sinks = call.sinks[np.arange(call.heads) // (call.heads // call.key_heads)]
    return call


@fault("sinks", "the head mask multiplies the sink", "sink_far_above", step="read", of=Extended)
def sink_times_head_mask(self: Extended, *arrays: Array, **options: Any) -> ExtendedCall:
    call = Extended.read(self, *arrays, **options)
    call.sinks = None if call.sinks is None else call.sinks * call.factor.astype(call.wide)
    return call


@fault("sinks", "the sink is subtracted from the normalizer", "convexity", step="normalizer", of=Extended)
def sink_subtracted(self: Extended, call: ExtendedCall, weights: Array, of_sinks: Array) -> Array:
    return abs(weights.sum(axis=-1, keepdims=True) - of_sinks)


@fault(
    "sinks", "a sink weighs at most as much as the keys of the row", "sinks_take_weight", step="normalizer", of=Extended
)
def sink_weighs_at_most_half(self: Extended, call: ExtendedCall, weights: Array, of_sinks: Array) -> Array:
    total = weights.sum(axis=-1, keepdims=True)
    return total + np.where(total > 0, np.minimum(of_sinks, total), of_sinks)


@fault(
    "sinks",
    "the sink weighs the value of the first token",
    "convexity",
    step="attend",
    of=Extended,
    seen="sinks of StreamingLLM, which are tokens",
)
def sink_weighs_first_value(
    self: Extended, call: ExtendedCall, inputs: list[Array], keys: Array
) -> tuple[Array, Array]:
    output, lse = Extended.attend(self, call, inputs, keys)
    weight = np.exp(self.sinks(call, lse) - np.where(np.isfinite(lse), lse, 0))
    return output + weight * inputs[2][:, :1], lse


@fault("sinks", "a row without keys has no sink", "sink_far_above", step="sinks", of=Extended)
def no_sink_without_keys(self: Extended, call: ExtendedCall, scores: Array) -> Array:
    some = np.isfinite(scores).any(axis=-1, keepdims=True)
    return np.where(some, Extended.sinks(self, call, scores), -np.inf)


@fault("sinks", "masked rows have the lse of their sink", "sinks_take_weight", step="clear", of=Extended)
def masked_rows_have_sinks(
    self: Extended, call: ExtendedCall, b: int, output: Array, lse: Array
) -> tuple[Array, Array]:
    return Extended.clear(self, call, b, output, lse)[0], lse


@fault("sinks", "the sink is counted once for each tile of keys", "sides_mirrored", step="add_sum", of=ExtendedTiled)
def sink_of_every_tile(
    self: ExtendedTiled, call: ExtendedCall, total: Array, rescale: Array, weights: Array, higher: Array
) -> Array:
    fresh = ExtendedTiled.add_sum(self, call, total, rescale, weights, higher)
    again = np.exp(self.sinks(call, higher) - np.where(np.isfinite(higher), higher, 0))
    return fresh + np.where(total > 0, again, 0)


@fault(
    "sinks",
    "the result so far is not rescaled where the sink is the maximum",
    "sinks_take_weight",
    step="close",
    of=ExtendedTiled,
)
def result_not_rescaled_for_sink(
    self: ExtendedTiled, call: ExtendedCall, top: Array, total: Array, result: Array
) -> tuple[Array, Array]:
    output, lse = ExtendedTiled.close(self, call, top, total, result)
    rescale = self.rescale(call, top, self.largest(top, self.sinks(call, top)))
    return output / np.where(np.isfinite(top), rescale, 1), lse


# --- backward


@fault("sinks", "sinks have no gradient", "sinks_gradient", step="grad_sinks", of=Extended)
def no_gradient_of_sinks(self: Extended, call: ExtendedCall, of_sinks: Array, row_sum: Array, of_lse: Array) -> Array:
    return np.zeros(call.heads, call.wide)


@fault("sinks", "the gradient of the sinks has the wrong sign", "sinks_gradient", step="grad_sinks", of=Extended)
def gradient_of_sinks_negative(
    self: Extended, call: ExtendedCall, of_sinks: Array, row_sum: Array, of_lse: Array
) -> Array:
    return -Extended.grad_sinks(self, call, of_sinks, row_sum, of_lse)


@fault("sinks", "the gradient of the sinks is a mean over the rows", "sinks_gradient", step="grad_sinks", of=Extended)
def gradient_of_sinks_averaged(
    self: Extended, call: ExtendedCall, of_sinks: Array, row_sum: Array, of_lse: Array
) -> Array:
    return Extended.grad_sinks(self, call, of_sinks, row_sum, of_lse) / call.wide(row_sum.shape[1])


@fault(
    "sinks", "the gradient of the sinks is that of the last sequence", "sinks_gradient", step="add_heads", of=Extended
)
def gradient_of_sinks_not_summed(self: Extended, totals: dict[str, Array], parts: dict[str, Array]) -> None:
    if "sinks" in parts:
        totals["sinks"][:] = 0
    Extended.add_heads(self, totals, parts)


@fault(
    "sinks", "no gradient of lse reaches the sinks", "sinks_gradient", "lse_gradients", step="grad_sinks", of=Extended
)
def gradient_of_sinks_without_lse(
    self: Extended, call: ExtendedCall, of_sinks: Array, row_sum: Array, of_lse: Array
) -> Array:
    return Extended.grad_sinks(self, call, of_sinks, row_sum, np.zeros_like(of_lse))


@fault(
    "sinks", "the backward pass has probabilities without the sink", "sinks_gradient", step="probabilities", of=Extended
)
def backward_probabilities_without_sinks(
    self: Extended, call: ExtendedCall, query: Array, key: Array, keys: Array
) -> tuple[Array, Array]:
    p, of_sinks = Extended.probabilities(self, call, query, key, keys)
    total = p.sum(axis=-1, keepdims=True)
    return p / np.where(total > 0, total, 1), of_sinks
