"""Faults of the backward pass alone: the output is right."""

from __future__ import annotations

from typing import Any

import numpy as np

from trueband.properties.faults.seeded.registry import fault
from trueband.properties.faults.specimens.plain import Array, Call, Specimen


@fault("gradients", "the gradient of the key lacks the scale", "gradients_match_reference", step="grad_key")
def key_gradient_unscaled(self: Specimen, call: Call, grad_s: Array, query: Array) -> Array:
    return grad_s.transpose(0, 2, 1) @ query


@fault(
    "gradients",
    "the row sum is not subtracted from the gradient of the probabilities",
    "key_gradients_cancel",
    "gradients_match_reference",
    step="grad_scores",
)
def row_sum_omitted(self: Specimen, call: Call, p: Array, grad_p: Array, keys: Array) -> Array:
    return p * grad_p


@fault("gradients", "unattended keys get a gradient", "gradient_support", step="grad_value")
def value_gradient_spreads(self: Specimen, call: Call, p: Array, upstream: Array) -> Array:
    return (p + call.wide(1e-3)).transpose(0, 2, 1) @ upstream


@fault("gradients", "masked tokens get a gradient", "masked_gradients_are_zero", step="collect")
def masked_tokens_get_gradient(
    self: Specimen, call: Call, local: list[Array], far: list[Array], dtype: np.dtype[Any]
) -> dict[str, Array]:
    gradients = Specimen.collect(self, call, local, far, dtype)
    masked = ~call.real[:, None, :, None]
    return {name: gradient + masked.astype(dtype) for name, gradient in gradients.items()}


@fault(
    "gradients",
    "the gradient that reaches masked rows goes on to the first row",
    "masked_rows_give_no_gradient",
    step="upstream",
)
def masked_upstream_leaks(self: Specimen, call: Call, b: int, grad_output: Array) -> Array:
    masked = ~call.real[b][None, :, None]
    leaked = np.where(masked, grad_output[b], 0).sum(axis=1, keepdims=True).astype(call.wide)
    return Specimen.upstream(self, call, b, grad_output) + np.where(masked, 0, leaked)


@fault(
    "gradients",
    "the last row's gradient is forgotten",
    "value_gradient_mass",
    "gradients_match_reference",
    step="grad_value",
)
def last_row_gradient_lost(self: Specimen, call: Call, p: Array, upstream: Array) -> Array:
    return p[:, :-1].transpose(0, 2, 1) @ upstream[:, :-1]


@fault(
    "gradients", "gradients are clipped to 1", "gradients_are_linear", "gradients_match_reference", step="grad_query"
)
def query_gradient_clipped(self: Specimen, call: Call, grad_s: Array, key: Array) -> Array:
    return np.clip(Specimen.grad_query(self, call, grad_s, key), -1, 1)


@fault(
    "gradients",
    "the global projections get the gradient of the local ones",
    "unused_global_gradients",
    "gradients_match_reference",
    step="collect",
)
def global_gradients_copied(
    self: Specimen, call: Call, local: list[Array], far: list[Array], dtype: np.dtype[Any]
) -> dict[str, Array]:
    return Specimen.collect(self, call, local, local, dtype)


@fault("gradients", "the gradients of the global projections are lost", "gradients_match_reference", step="collect")
def global_gradients_lost(
    self: Specimen, call: Call, local: list[Array], far: list[Array], dtype: np.dtype[Any]
) -> dict[str, Array]:
    return Specimen.collect(self, call, local, [np.zeros_like(array) for array in far], dtype)
