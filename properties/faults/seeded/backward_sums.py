"""Faults of the backward pass: sums and saved statistics in a narrow format, and the gradient of the head mask."""

from __future__ import annotations

import numpy as np

from trueband.properties.faults.seeded.registry import fault
from trueband.properties.faults.specimens.plain import Array, Call, Specimen


@fault(
    "gradients",
    "the gradient of the query is kept in half precision from two keys to the next two",
    "query_gradient_sums_are_wide",
    step="grad_query",
)
def query_gradient_summed_in_half(self: Specimen, call: Call, grad_s: Array, key: Array) -> Array:
    total = np.zeros(grad_s.shape[:-1] + key.shape[-1:], np.float16)
    for start in range(0, grad_s.shape[-1], 2):
        keys = slice(start, start + 2)
        total = (total + Specimen.grad_query(self, call, grad_s[..., keys], key[..., keys, :])).astype(np.float16)
    return total.astype(call.wide)


@fault(
    "gradients",
    "the gradient of the key is kept in half precision from two rows to the next two",
    "key_gradient_sums_are_wide",
    step="grad_key",
)
def key_gradient_summed_in_half(self: Specimen, call: Call, grad_s: Array, query: Array) -> Array:
    total = np.zeros((*grad_s.shape[:-2], grad_s.shape[-1], query.shape[-1]), np.float16)
    for start in range(0, grad_s.shape[-2], 2):
        rows = slice(start, start + 2)
        total = (total + Specimen.grad_key(self, call, grad_s[..., rows, :], query[..., rows, :])).astype(np.float16)
    return total.astype(call.wide)


@fault(
    "gradients",
    "the log-sum-exp that the backward pass uses is saved in half precision",
    "gradients_match_reference",
    step="rows_backward",
    seen="saved statistics",
)
def log_sum_exp_saved_in_half(
    self: Specimen, call: Call, inputs: list[Array], keys: Array, upstream: Array
) -> tuple[Array, Array, Array]:
    query, key, value = inputs
    scores = np.where(keys, self.scores(call, query, key), -np.inf)
    top = scores.max(axis=-1, keepdims=True)
    top = np.where(np.isfinite(top), top, 0)
    total = np.exp(scores - top).sum(axis=-1, keepdims=True)
    saved: Array = (top + np.log(np.where(total == 0, 1, total))).astype(np.float16).astype(call.wide)
    p = np.exp(scores - saved)
    grad_s = self.grad_scores(call, p, upstream @ value.transpose(0, 2, 1), keys)
    return self.grad_query(call, grad_s, key), self.grad_key(call, grad_s, query), self.grad_value(call, p, upstream)


@fault(
    "gradients",
    "the output that the backward pass uses is saved in half precision",
    "gradients_match_reference",
    "key_gradients_cancel",
    step="rows_backward",
    seen="saved statistics",
)
def output_saved_in_half(
    self: Specimen, call: Call, inputs: list[Array], keys: Array, upstream: Array
) -> tuple[Array, Array, Array]:
    query, key, value = inputs
    p, output = self.rows(call, inputs, keys)
    saved: Array = output.astype(np.float16).astype(call.wide)
    delta = (saved * upstream).sum(axis=-1, keepdims=True)
    grad_s = p * (upstream @ value.transpose(0, 2, 1) - delta)
    return self.grad_query(call, grad_s, key), self.grad_key(call, grad_s, query), self.grad_value(call, p, upstream)


@fault("gradients", "the gradient of the head mask is taken of the masked output", "head_mask_gradient", step="heads")
def head_mask_gradient_masked(self: Specimen, call: Call, b: int, grad_output: Array) -> Array:
    return Specimen.heads(self, call, b, grad_output) * call.factor.astype(call.wide)


@fault("gradients", "the gradient of the head mask lacks the rows of global tokens", "head_mask_gradient", step="heads")
def head_mask_gradient_without_globals(self: Specimen, call: Call, b: int, grad_output: Array) -> Array:
    local = np.where(call.flagged[b][None, :, None], 0, grad_output[b])
    return Specimen.heads(self, call, b, np.repeat(local[None], len(call.real), axis=0))


@fault(
    "gradients",
    "the gradient of the head mask is that of the last sequence of the batch",
    "head_mask_gradient",
    step="heads",
)
def head_mask_gradient_of_last(self: Specimen, call: Call, b: int, grad_output: Array) -> Array:
    return Specimen.heads(self, call, b, grad_output) * call.wide(b == len(call.real) - 1)
