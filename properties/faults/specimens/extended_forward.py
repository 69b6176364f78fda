"""The forward pass of a correct kernel of the second edition of the contract, in steps that a fault can replace.

NumPy, one sequence of the batch at a time, float32 arithmetic for float32 and float16 (float64 for float64). It shares
no code with the reference. Shapes: h query heads, k key heads, m queries, n tokens, d and e head dims; every step sees
one sequence.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from trueband.properties.faults.specimens.extended_call import Array, ExtendedCall


class ExtendedForward:
    """The operator without its gradients."""

    @np.errstate(all="ignore")
    def __call__(self, query: Array, key: Array, value: Array, **options: Any) -> Any:
        call = self.read(query, key, value, **options)
        results = [self.sequence(call, b) for b in range(len(query))]
        output = self.finish(np.stack([output for output, _ in results]), query.dtype)
        return (output, self.finish_lse(call, np.stack([lse for _, lse in results]))) if call.return_lse else output

    def read(
        self,
        query: Array,
        key: Array,
        value: Array,
        *,
        window: Any,
        attention_mask: Array | None = None,
        global_attention_mask: Array | None = None,
        query_global: Array | None = None,
        key_global: Array | None = None,
        value_global: Array | None = None,
        dilation: Any = 1,
        causal: bool = False,
        head_mask: Array | None = None,
        scale: float | None = None,
        offset: Any = 0,
        segments: Array | None = None,
        softcap: float | None = None,
        sinks: Array | None = None,
        slopes: Array | None = None,
        return_lse: bool = False,
    ) -> ExtendedCall:
        batch, heads, queries, _ = query.shape
        tokens = key.shape[2]
        real = np.ones((batch, tokens), bool) if attention_mask is None else attention_mask
        flagged = np.zeros((batch, tokens), bool) if global_attention_mask is None else global_attention_mask
        separate = (query_global, key_global, value_global)
        far = [own if other is None else other for own, other in zip((query, key, value), separate, strict=True)]
        wide = np.float64 if query.dtype == np.float64 else np.float32
        left, right = self.limits(window, causal)
        return ExtendedCall(
            (query, key, value),
            (far[0], far[1], far[2]),
            real,
            self.drop_flags(flagged, real),
            self.places(offset, batch, queries, tokens),
            left,
            right,
            [dilation] * heads if isinstance(dilation, int) else list(dilation),
            causal,
            np.ones(heads) if head_mask is None else head_mask,
            self.default_scale(query, key, value) if scale is None else scale,
            (query_global is None, key_global is None, value_global is None),
            segments,
            softcap,
            None if sinks is None else sinks.astype(wide),
            None if slopes is None else slopes.astype(wide),
            return_lse,
            wide,
        )

    def default_scale(self, query: Array, key: Array, value: Array) -> float:
        return float(query.shape[-1] ** -0.5)

    def limits(self, window: Any, causal: bool) -> tuple[int | None, int | None]:
        """Return the limits to the left and to the right; causal is one of 0 to the right."""
        left, right = window if isinstance(window, tuple) else (window, window)
        return left, 0 if causal else right

    def places(self, offset: Any, batch: int, queries: int, tokens: int) -> Array:
        """Return (b, m): the tokens at which the queries stand."""
        first = np.broadcast_to(np.asarray(offset, np.int64), (batch,))
        return first[:, None] + np.arange(queries)

    def drop_flags(self, flagged: Array, real: Array) -> Array:
        return flagged & real

    # --- which keys a row attends

    def of_queries(self, call: ExtendedCall, b: int, flags: Array, beyond: bool) -> Array:
        """Return (m,): the flags (n,) of the queries' own tokens, and `beyond` for those that stand at none."""
        at = call.at[b]
        inside = (at >= 0) & (at < call.tokens)
        return np.where(inside, flags[np.clip(at, 0, call.tokens - 1)], beyond)

    def real_rows(self, call: ExtendedCall, b: int) -> Array:
        """Return (m,): which queries are not masked."""
        return self.of_queries(call, b, call.real[b], True)

    def far_rows(self, call: ExtendedCall, b: int) -> Array:
        """Return (m,): which queries are those of global tokens."""
        return self.of_queries(call, b, call.flagged[b], False)

    def ahead(self, call: ExtendedCall, b: int) -> Array:
        """Return (m, n): how far each key stands to the right of each query."""
        return np.arange(call.tokens)[None, :] - call.at[b][:, None]

    def in_band(self, call: ExtendedCall, b: int, dilation: int) -> Array:
        """Return (m, n): the band of a head with this dilation."""
        ahead = self.ahead(call, b)
        return self.left_of(call, ahead, dilation) & self.right_of(call, ahead, dilation) & (ahead % dilation == 0)

    def left_of(self, call: ExtendedCall, ahead: Array, dilation: int) -> Array:
        """Return (m, n): keys that the limit to the left leaves."""
        return np.ones(ahead.shape, bool) if call.left is None else ahead >= -call.left * dilation

    def right_of(self, call: ExtendedCall, ahead: Array, dilation: int) -> Array:
        """Return (m, n): keys that the limit to the right leaves."""
        return np.ones(ahead.shape, bool) if call.right is None else ahead <= call.right * dilation

    def same_segment(self, call: ExtendedCall, b: int, segments: Array) -> Array:
        """Return (m, n): keys of the segment of the query's token."""
        own = segments[np.clip(call.at[b], 0, call.tokens - 1)]
        return own[:, None] == segments[None, :]

    def local_keys(self, call: ExtendedCall, b: int) -> Array:
        """Return (h, m, n): what local rows attend."""
        bands = np.array([self.in_band(call, b, dilation) for dilation in call.dilations])
        if call.segments is not None:
            bands &= self.same_segment(call, b, call.segments[b])[None]
        keys = (bands | call.flagged[b][None, None, :]) & call.real[b][None, None, :]
        return keys & (self.real_rows(call, b) & ~self.far_rows(call, b))[None, :, None]

    def far_keys(self, call: ExtendedCall, b: int) -> Array:
        """Return (h, m, n): what rows of global tokens attend."""
        keys = self.far_rows(call, b)[:, None] & call.real[b][None, :]
        return np.repeat(keys[None], call.heads, axis=0)

    # --- what a row computes

    def inputs(self, call: ExtendedCall, b: int, arrays: tuple[Array, Array, Array]) -> list[Array]:
        """Return query (h, m, d), key (h, n, d), value (h, n, e) of a sequence: wide, 0 for masked tokens."""
        query, key, value = arrays
        rows, real = self.real_rows(call, b), call.real[b]
        wide: list[Array] = [
            np.where(kept[None, :, None], array[b], 0).astype(call.wide)
            for array, kept in ((query, rows), (key, real), (value, real))
        ]
        return [wide[0], self.spread(call, wide[1]), self.spread(call, wide[2])]

    def spread(self, call: ExtendedCall, array: Array) -> Array:
        """Return (h, n, d) of (k, n, d): the head of keys or values that each query head reads."""
        return np.repeat(array, call.heads // call.key_heads, axis=0)

    def products(self, call: ExtendedCall, query: Array, key: Array) -> Array:
        return (query @ key.transpose(0, 2, 1)) * call.wide(call.scale)

    def cap(self, call: ExtendedCall, products: Array) -> Array:
        if call.softcap is None:
            return products
        return call.wide(call.softcap) * np.tanh(products / call.wide(call.softcap))

    def distances(self, call: ExtendedCall) -> Array:
        """Return (m, n): what slopes are multiplied by."""
        return abs(self.ahead(call, call.index)).astype(call.wide)

    def slope_scores(self, call: ExtendedCall) -> Array | None:
        """Return (h, m, n): what slopes add to the scores."""
        return None if call.slopes is None else -call.slopes[:, None, None] * self.distances(call)[None]

    def scores(self, call: ExtendedCall, query: Array, key: Array, keys: Array) -> Array:
        """Return (h, m, n): the scores, -inf for keys that a row does not attend."""
        scores, slope = self.cap(call, self.products(call, query, key)), self.slope_scores(call)
        return np.where(keys, scores if slope is None else scores + slope, -np.inf)

    def sinks(self, call: ExtendedCall, scores: Array) -> Array:
        """Return (h, m, 1): the score of the sink of every row; -inf where there is none."""
        shape = (*scores.shape[:2], 1)
        if call.sinks is None:
            return np.full(shape, -np.inf, call.wide)
        return np.broadcast_to(call.sinks[:, None, None], shape)

    def largest(self, scores: Array, sinks: Array) -> Array:
        """Return (h, m, 1): the largest score of a row, its sink included; -inf for a row without any."""
        return np.maximum(scores.max(axis=-1, keepdims=True), sinks)

    def softmax(self, call: ExtendedCall, scores: Array) -> tuple[Array, Array]:
        """Return the probabilities (h, m, n) and lse (h, m, 1) of scores."""
        sinks = self.sinks(call, scores)
        top = self.largest(scores, sinks)
        safe = np.where(np.isfinite(top), top, 0)
        weights = np.exp(scores - safe).astype(call.wide)
        total = self.normalizer(call, weights, np.exp(sinks - safe))
        return weights / np.where(total == 0, 1, total), self.log_sum(call, top, total)

    def normalizer(self, call: ExtendedCall, weights: Array, of_sinks: Array) -> Array:
        return weights.sum(axis=-1, keepdims=True) + of_sinks

    def log_sum(self, call: ExtendedCall, top: Array, total: Array) -> Array:
        return top + np.log(total)

    def attend(self, call: ExtendedCall, inputs: list[Array], keys: Array) -> tuple[Array, Array]:
        """Return the output (h, m, e) and lse (h, m, 1) of one kind of rows."""
        query, key, value = inputs
        probabilities, lse = self.softmax(call, self.scores(call, query, key, keys))
        return probabilities @ value, lse

    def unmasked(self, call: ExtendedCall, b: int) -> tuple[Array, Array]:
        """Return the output (h, m, e) of a sequence before the head mask, and its lse (h, m, 1)."""
        call.index = b
        output, lse = self.attend(call, self.inputs(call, b, call.local), self.local_keys(call, b))
        if call.flagged[b].any():
            far, far_lse = self.attend(call, self.inputs(call, b, call.far), self.far_keys(call, b))
            rows = self.far_rows(call, b)[None, :, None]
            output, lse = np.where(rows, far, output), np.where(rows, far_lse, lse)
        return self.clear(call, b, output, lse)

    def clear(self, call: ExtendedCall, b: int, output: Array, lse: Array) -> tuple[Array, Array]:
        """Return output and lse with those of masked rows cleared."""
        real = self.real_rows(call, b)[None, :, None]
        return np.where(real, output, 0), np.where(real, lse, -np.inf)

    def sequence(self, call: ExtendedCall, b: int) -> tuple[Array, Array]:
        """Return the output (h, m, e) of one sequence of the batch, and its lse (h, m)."""
        output, lse = self.unmasked(call, b)
        return output * call.factor[:, None, None].astype(call.wide), lse[..., 0]

    def finish(self, output: Array, dtype: np.dtype[Any]) -> Array:
        return output.astype(dtype)

    def finish_lse(self, call: ExtendedCall, lse: Array) -> Array:
        return lse.astype(call.wide)
