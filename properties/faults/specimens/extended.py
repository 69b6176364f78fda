"""A correct kernel of the second edition of the contract, with its gradients, in steps that a fault can replace."""

from __future__ import annotations

from typing import Any

import numpy as np

from trueband.properties.candidate.target import EXTENSIONS
from trueband.properties.faults.specimens.extended_call import Array, ExtendedCall
from trueband.properties.faults.specimens.extended_forward import ExtendedForward


class Extended(ExtendedForward):
    """The operator of the contract, second edition. Call it, or ask for its gradients.

    Attributes:
        library: the library of its arrays.
        extensions: the features that it has beyond those of the first edition.
    """

    library = "numpy"
    extensions = EXTENSIONS - {"bottom_right"}

    @np.errstate(all="ignore")
    def gradients(
        self,
        query: Array,
        key: Array,
        value: Array,
        grad_output: Array,
        grad_lse: Array | None = None,
        **options: Any,
    ) -> dict[str, Array]:
        call = self.read(query, key, value, **options)
        totals: list[list[Array]] = [
            [np.zeros(array.shape, call.wide) for array in arrays] for arrays in (call.local, call.far)
        ]
        options_of_heads: dict[str, Array] = {
            name: np.zeros(call.heads, call.wide)
            for name in ("sinks", "slopes", "head_mask")
            if options.get(name) is not None
        }
        for b in range(len(query)):
            call.index = b
            upstream, of_lse = self.upstream(call, b, grad_output), self.upstream_lse(call, b, grad_lse)
            kinds = [(totals[0], call.local, self.backward_keys(call, b))]
            kinds += [(totals[1], call.far, self.far_keys(call, b))] if call.flagged[b].any() else []
            for store, arrays, keys in kinds:
                inputs = self.inputs(call, b, arrays)
                parts, of_heads = self.rows_backward(call, inputs, keys, upstream, of_lse)
                for total, part in zip(store, parts, strict=True):
                    total[b] = part
                self.add_heads(options_of_heads, of_heads)
            if "head_mask" in options_of_heads:
                self.add_heads(options_of_heads, {"head_mask": self.grad_head_mask(call, b, grad_output)})
        gradients = self.collect(call, totals[0], totals[1], query.dtype)
        return gradients | {name: total.astype(query.dtype) for name, total in options_of_heads.items()}

    def backward_keys(self, call: ExtendedCall, b: int) -> Array:
        """Return (h, m, n): what local rows attend, for the backward pass."""
        return self.local_keys(call, b)

    def upstream(self, call: ExtendedCall, b: int, grad_output: Array) -> Array:
        """Return (h, m, e): the gradient that reaches the weighted means of one sequence."""
        real = self.real_rows(call, b)[None, :, None]
        return np.where(real, grad_output[b], 0).astype(call.wide) * call.factor[:, None, None].astype(call.wide)

    def upstream_lse(self, call: ExtendedCall, b: int, grad_lse: Array | None) -> Array:
        """Return (h, m, 1): the gradient that reaches lse."""
        if grad_lse is None:
            return np.zeros((call.heads, call.at.shape[1], 1), call.wide)
        return np.where(self.real_rows(call, b)[None, :], grad_lse[b], 0).astype(call.wide)[..., None]

    def rows_backward(
        self, call: ExtendedCall, inputs: list[Array], keys: Array, upstream: Array, of_lse: Array
    ) -> tuple[list[Array], dict[str, Array]]:
        """Return the gradients of query (h, m, d), key (k, n, d), value (k, n, e), and of sinks and slopes (h,)."""
        query, key, value = inputs
        p, of_sinks = self.probabilities(call, query, key, keys)
        grad_p = upstream @ value.transpose(0, 2, 1)
        row_sum = self.row_sum(p, grad_p)
        grad_s = self.grad_scores(p, grad_p, row_sum, of_lse)
        grad_t = self.grad_products(call, grad_s, query, key)
        parts = [
            self.grad_query(call, grad_t, key),
            self.fold(call, self.grad_key(call, grad_t, query)),
            self.fold(call, self.grad_value(call, p, upstream)),
        ]
        of_heads = {}
        if call.sinks is not None:
            of_heads["sinks"] = self.grad_sinks(call, of_sinks, row_sum, of_lse)
        if call.slopes is not None:
            of_heads["slopes"] = self.grad_slopes(call, grad_s)
        return parts, of_heads

    def probabilities(self, call: ExtendedCall, query: Array, key: Array, keys: Array) -> tuple[Array, Array]:
        """Return the probabilities (h, m, n), and those of the sinks (h, m, 1), 0 for masked rows."""
        scores = self.scores(call, query, key, keys)
        p, lse = self.softmax(call, scores)
        real = self.real_rows(call, call.index)[None, :, None]
        finite = np.where(np.isfinite(lse), lse, np.inf)
        return p, np.where(real, np.exp(self.sinks(call, scores) - finite), 0).astype(call.wide)

    def row_sum(self, p: Array, grad_p: Array) -> Array:
        """Return (h, m, 1): the mean of the gradients of the probabilities of a row."""
        return (p * grad_p).sum(axis=-1, keepdims=True)

    def grad_scores(self, p: Array, grad_p: Array, row_sum: Array, of_lse: Array) -> Array:
        return p * (grad_p - row_sum + of_lse)

    def grad_products(self, call: ExtendedCall, grad_s: Array, query: Array, key: Array) -> Array:
        """Return (h, m, n): the gradient of the products, back through the softcap."""
        if call.softcap is None:
            return grad_s
        capped = self.cap(call, self.products(call, query, key)) / call.wide(call.softcap)
        return grad_s * (1 - capped * capped)

    def grad_query(self, call: ExtendedCall, grad_t: Array, key: Array) -> Array:
        return grad_t @ key * call.wide(call.scale)

    def grad_key(self, call: ExtendedCall, grad_t: Array, query: Array) -> Array:
        return grad_t.transpose(0, 2, 1) @ query * call.wide(call.scale)

    def grad_value(self, call: ExtendedCall, p: Array, upstream: Array) -> Array:
        return p.transpose(0, 2, 1) @ upstream

    def fold(self, call: ExtendedCall, gradient: Array) -> Array:
        """Return (k, n, d) of (h, n, d): a head of keys or values gets the sum over its query heads."""
        return gradient.reshape(call.key_heads, -1, *gradient.shape[1:]).sum(axis=1)

    def grad_sinks(self, call: ExtendedCall, of_sinks: Array, row_sum: Array, of_lse: Array) -> Array:
        """Return (h,): what one sequence adds to the gradient of the sinks."""
        return (of_sinks * (of_lse - row_sum)).sum(axis=(1, 2))

    def grad_slopes(self, call: ExtendedCall, grad_s: Array) -> Array:
        """Return (h,): what one sequence adds to the gradient of the slopes."""
        return -(grad_s * self.distances(call)[None]).sum(axis=(1, 2))

    def grad_head_mask(self, call: ExtendedCall, b: int, grad_output: Array) -> Array:
        """Return (h,): what one sequence adds to the gradient of the head mask."""
        real = self.real_rows(call, b)[None, :, None]
        clean: Array = np.where(real, grad_output[b], 0).astype(call.wide)
        return (self.unmasked(call, b)[0] * clean).sum(axis=(1, 2))

    def add_heads(self, totals: dict[str, Array], parts: dict[str, Array]) -> None:
        """Add what one sequence gives to the gradients of sinks, slopes and the head mask."""
        for name, part in parts.items():
            totals[name] += part

    def collect(
        self, call: ExtendedCall, local: list[Array], far: list[Array], dtype: np.dtype[Any]
    ) -> dict[str, Array]:
        result = {}
        for name, shared, near, distant in zip(("query", "key", "value"), call.shared, local, far, strict=True):
            result[name] = (near + distant if shared else near).astype(dtype)
            result[f"{name}_global"] = distant.astype(dtype)
        return result
