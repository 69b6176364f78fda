"""Faults of the softcap."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from trueband.properties.faults.seeded.registry import fault
from trueband.properties.faults.specimens.extended import Extended
from trueband.properties.faults.specimens.extended_call import Array, ExtendedCall


@fault(
    "softcap",
    "the softcap comes after the mask, and gives masked keys a weight",
    "matches_reference",
    step="scores",
    of=Extended,
)
def softcap_after_mask(self: Extended, call: ExtendedCall, query: Array, key: Array, keys: Array) -> Array:
    scores = self.cap(call, np.where(keys, self.products(call, query, key), -np.inf))
    slope = self.slope_scores(call)
    return scores if slope is None else scores + slope


@fault("softcap", "the softcap comes before the scale", "matches_reference", step="products", of=Extended)
def softcap_before_scale(self: Extended, call: ExtendedCall, query: Array, key: Array) -> Array:
    scale = call.wide(call.scale)
    return Extended.cap(self, call, Extended.products(self, call, query, key) / scale) * scale


@fault("softcap", "scores are cut off at the softcap", "matches_reference", step="cap", of=Extended)
def softcap_is_a_clip(self: Extended, call: ExtendedCall, products: Array) -> Array:
    return products if call.softcap is None else np.clip(products, -call.softcap, call.softcap)


@fault("softcap", "the tanh of a softcap is not multiplied by it", "matches_reference", step="cap", of=Extended)
def softcap_not_multiplied(self: Extended, call: ExtendedCall, products: Array) -> Array:
    return products if call.softcap is None else np.tanh(products / call.wide(call.softcap))


@fault("softcap", "products are not divided by the softcap", "matches_reference", step="cap", of=Extended)
def softcap_not_divided(self: Extended, call: ExtendedCall, products: Array) -> Array:
    return products if call.softcap is None else call.wide(call.softcap) * np.tanh(products)


@fault(
    "softcap",
    "every softcap is 50",
    "softcap_of_large_scores",
    "matches_reference",
    step="read",
    of=Extended,
    seen="the softcap of one model in the kernel",
)
def softcap_of_50(self: Extended, *arrays: Array, **options: Any) -> ExtendedCall:
    call = Extended.read(self, *arrays, **options)
    call.softcap = None if call.softcap is None else 50.0
    return call


@fault(
    "softcap",
    "the tanh of a softcap is approximate, to 11 bits",
    "matches_reference",
    step="cap",
    of=Extended,
    seen="tanh.approx.f32",
)
def softcap_tanh_approximate(self: Extended, call: ExtendedCall, products: Array) -> Array:
    if call.softcap is None:
        return products
    return call.wide(call.softcap) * np.tanh(products / call.softcap).astype(np.float16).astype(call.wide)


@fault("softcap", "rows of global tokens have no softcap", "matches_reference", step="unmasked", of=Extended)
def no_softcap_in_global_rows(self: Extended, call: ExtendedCall, b: int) -> tuple[Array, Array]:
    capped, bare = Extended.unmasked(self, call, b), Extended.unmasked(self, replace(call, softcap=None), b)
    far = self.far_rows(call, b)[None, :, None]
    return np.where(far, bare[0], capped[0]), np.where(far, bare[1], capped[1])


@fault("softcap", "a call with sinks has no softcap", "sinks_gradient", step="cap", of=Extended)
def no_softcap_with_sinks(self: Extended, call: ExtendedCall, products: Array) -> Array:
    return products if call.sinks is not None else Extended.cap(self, call, products)


# --- backward


@fault(
    "softcap",
    "the backward pass lacks the derivative of the softcap",
    "gradients_match_reference",
    step="grad_products",
    of=Extended,
    seen="scores that are recomputed, and a derivative that is not",
)
def softcap_derivative_missing(self: Extended, call: ExtendedCall, grad_s: Array, query: Array, key: Array) -> Array:
    return grad_s


@fault("softcap", "the backward pass forgets the softcap", "gradients_match_reference", step="gradients", of=Extended)
def backward_forgets_softcap(self: Extended, *arrays: Array, softcap: Any = None, **options: Any) -> dict[str, Array]:
    return Extended.gradients(self, *arrays, **options)


@fault(
    "softcap",
    "the derivative of the softcap is taken at the capped score",
    "gradients_match_reference",
    step="grad_products",
    of=Extended,
)
def softcap_derivative_at_capped(self: Extended, call: ExtendedCall, grad_s: Array, query: Array, key: Array) -> Array:
    if call.softcap is None:
        return grad_s
    capped = self.cap(call, self.products(call, query, key)) / call.wide(call.softcap)
    return grad_s * (1 - np.tanh(capped) ** 2)


@fault(
    "softcap",
    "the derivative of the softcap is applied twice",
    "gradients_match_reference",
    step="grad_products",
    of=Extended,
)
def softcap_derivative_twice(self: Extended, call: ExtendedCall, grad_s: Array, query: Array, key: Array) -> Array:
    once = Extended.grad_products(self, call, grad_s, query, key)
    return Extended.grad_products(self, call, once, query, key)


@fault(
    "softcap",
    "the derivative of the softcap has the score with its slope",
    "gradient_layouts",
    step="grad_products",
    of=Extended,
)
def softcap_derivative_with_slope(self: Extended, call: ExtendedCall, grad_s: Array, query: Array, key: Array) -> Array:
    slope = self.slope_scores(call)
    if call.softcap is None or slope is None:
        return Extended.grad_products(self, call, grad_s, query, key)
    scores = (self.cap(call, self.products(call, query, key)) + slope) / call.wide(call.softcap)
    return grad_s * (1 - scores * scores)
