"""A correct kernel in small steps, so that a fault can replace one of them.

NumPy, one sequence of the batch at a time, float32 arithmetic for float32 and float16 (float64 for float64). It shares
no code with the reference. Shapes: h heads, n tokens, d head dim; every step sees one sequence, (h, n, d).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray


@dataclass
class Call:
    """One call with its masks spelled out.

    Attributes:
        local, far: (query, key, value) for the rows of local and of global tokens, (b, h, n, d) each.
        real, flagged: real and global tokens, (b, n); flags on masked tokens are already dropped.
        dilations: the dilation of each head.
        shared: which of query, key, value the rows of global tokens share with the local rows.
        index: the place of the sequence in the batch.
    """

    local: tuple[Array, Array, Array]
    far: tuple[Array, Array, Array]
    real: Array
    flagged: Array
    window: int
    dilations: list[int]
    causal: bool
    factor: Array
    scale: float
    shared: tuple[bool, bool, bool]
    wide: type
    index: int = 0


class Specimen:
    """The operator of the contract. Call it, or ask for its gradients.

    Attributes:
        library: the library of its arrays.
        extensions: the features that it has beyond those of the first edition.
    """

    library = "numpy"
    extensions: frozenset[str] = frozenset()

    @np.errstate(all="ignore")
    def __call__(self, query: Array, key: Array, value: Array, **options: Any) -> Array:
        call = self.read(query, key, value, **options)
        rows = [self.sequence(call, b) for b in range(len(query))]
        return self.finish(call, np.stack(rows), query.dtype)

    def read(
        self,
        query: Array,
        key: Array,
        value: Array,
        *,
        window: int,
        attention_mask: Array | None = None,
        global_attention_mask: Array | None = None,
        query_global: Array | None = None,
        key_global: Array | None = None,
        value_global: Array | None = None,
        dilation: Any = 1,
        causal: bool = False,
        head_mask: Array | None = None,
        scale: float | None = None,
    ) -> Call:
        batch, heads, tokens, head_dim = query.shape
        real = np.ones((batch, tokens), bool) if attention_mask is None else attention_mask
        flagged = np.zeros((batch, tokens), bool) if global_attention_mask is None else global_attention_mask
        separate = (query_global, key_global, value_global)
        local = (query, key, value)
        far = [own if other is None else other for own, other in zip(local, separate, strict=True)]
        return Call(
            local,
            (far[0], far[1], far[2]),
            real,
            self.drop_flags(flagged, real),
            window,
            [dilation] * heads if isinstance(dilation, int) else list(dilation),
            causal,
            np.ones(heads) if head_mask is None else head_mask,
            head_dim**-0.5 if scale is None else scale,
            (query_global is None, key_global is None, value_global is None),
            np.float64 if query.dtype == np.float64 else np.float32,
        )

    def drop_flags(self, flagged: Array, real: Array) -> Array:
        return flagged & real

    def clean(self, call: Call, b: int, arrays: tuple[Array, ...]) -> list[Array]:
        """Return wide arrays of one sequence, with the numbers of masked tokens replaced by 0."""
        return [np.where(call.real[b][None, :, None], array[b], 0).astype(call.wide) for array in arrays]

    def in_band(self, call: Call, b: int, dilation: int) -> Array:
        """Return (n, n): the band of one head."""
        position = np.arange(call.real.shape[1])
        ahead = position[None, :] - position[:, None]
        near = abs(ahead) <= call.window * dilation
        if call.causal:
            near &= ahead <= 0
        return near & (ahead % dilation == 0)

    def local_keys(self, call: Call, b: int) -> Array:
        """Return (h, n, n): what local rows attend."""
        bands = np.array([self.in_band(call, b, dilation) for dilation in call.dilations])
        keys = (bands | call.flagged[b][None, None, :]) & call.real[b][None, None, :]
        return keys & (call.real[b] & ~call.flagged[b])[None, :, None]

    def far_keys(self, call: Call, b: int) -> Array:
        """Return (h, n, n): what rows of global tokens attend."""
        keys = call.flagged[b][:, None] & call.real[b][None, :]
        return np.repeat(keys[None], len(call.dilations), axis=0)

    def local_inputs(self, call: Call, b: int) -> list[Array]:
        return self.clean(call, b, call.local)

    def far_inputs(self, call: Call, b: int) -> list[Array]:
        return self.clean(call, b, call.far)

    def scores(self, call: Call, query: Array, key: Array) -> Array:
        return (query @ key.transpose(0, 2, 1)) * call.wide(call.scale)

    def softmax(self, call: Call, scores: Array, keys: Array) -> Array:
        scores = np.where(keys, scores, -np.inf)
        top = scores.max(axis=-1, keepdims=True)
        weights = np.exp(scores - np.where(np.isfinite(top), top, 0)).astype(call.wide)
        return self.normalize(call, weights, keys)

    def normalize(self, call: Call, weights: Array, keys: Array) -> Array:
        total = weights.sum(axis=-1, keepdims=True)
        return weights / np.where(total == 0, 1, total)

    def weigh(self, call: Call, probabilities: Array, value: Array) -> Array:
        return probabilities @ value

    def rows(self, call: Call, inputs: list[Array], keys: Array) -> tuple[Array, Array]:
        """Return the probabilities and the output of one kind of rows."""
        query, key, value = inputs
        probabilities = self.softmax(call, self.scores(call, query, key), keys)
        return probabilities, self.weigh(call, probabilities, value)

    def sequence(self, call: Call, b: int) -> Array:
        """Return (h, n, d): the output of one sequence of the batch."""
        return self.mask_heads(call, self.unmasked(call, b))

    def unmasked(self, call: Call, b: int) -> Array:
        """Return (h, n, d): the output of one sequence before the head mask."""
        call.index = b
        _, local = self.rows(call, self.local_inputs(call, b), self.local_keys(call, b))
        return self.put_far_rows(call, b, local)

    def put_far_rows(self, call: Call, b: int, local: Array) -> Array:
        if not call.flagged[b].any():
            return local
        _, far = self.rows(call, self.far_inputs(call, b), self.far_keys(call, b))
        return np.where(call.flagged[b][None, :, None], far, local)

    def mask_heads(self, call: Call, output: Array) -> Array:
        return output * call.factor[:, None, None].astype(call.wide)

    def finish(self, call: Call, output: Array, dtype: np.dtype[Any]) -> Array:
        return output.astype(dtype)

    # --- backward

    @np.errstate(all="ignore")
    def gradients(self, query: Array, key: Array, value: Array, grad_output: Array, **options: Any) -> dict[str, Array]:
        call = self.read(query, key, value, **options)
        local: list[Array] = [np.zeros(query.shape, call.wide) for _ in range(3)]
        far: list[Array] = [np.zeros(query.shape, call.wide) for _ in range(3)]
        for b in range(len(query)):
            call.index = b
            upstream = self.upstream(call, b, grad_output)
            kinds = (
                (local, self.local_inputs(call, b), self.local_keys(call, b)),
                (far, self.far_inputs(call, b), self.far_keys(call, b)),
            )
            for store, inputs, keys in kinds:
                for total, part in zip(store, self.rows_backward(call, inputs, keys, upstream), strict=True):
                    total[b] = part
        gradients = self.collect(call, local, far, query.dtype)
        return gradients | self.of_head_mask(call, grad_output, query.dtype, options)

    def of_head_mask(
        self, call: Call, grad_output: Array, dtype: np.dtype[Any], options: dict[str, Any]
    ) -> dict[str, Array]:
        """Return the gradient of the head mask, if there is one."""
        if options.get("head_mask") is None:
            return {}
        parts = [self.heads(call, b, grad_output) for b in range(len(grad_output))]
        return {"head_mask": np.sum(parts, axis=0, dtype=call.wide).astype(dtype)}

    def heads(self, call: Call, b: int, grad_output: Array) -> Array:
        """Return (h,): what one sequence adds to the gradient of the head mask."""
        (upstream,) = self.clean(call, b, (grad_output,))
        return (self.unmasked(call, b) * upstream).sum(axis=(1, 2))

    def upstream(self, call: Call, b: int, grad_output: Array) -> Array:
        (clean,) = self.clean(call, b, (grad_output,))
        return clean * call.factor[:, None, None].astype(call.wide)

    def rows_backward(
        self, call: Call, inputs: list[Array], keys: Array, upstream: Array
    ) -> tuple[Array, Array, Array]:
        query, key, value = inputs
        p, _ = self.rows(call, inputs, keys)
        grad_p = upstream @ value.transpose(0, 2, 1)
        grad_s = self.grad_scores(call, p, grad_p, keys)
        return (
            self.grad_query(call, grad_s, key),
            self.grad_key(call, grad_s, query),
            self.grad_value(call, p, upstream),
        )

    def grad_scores(self, call: Call, p: Array, grad_p: Array, keys: Array) -> Array:
        return p * (grad_p - (p * grad_p).sum(axis=-1, keepdims=True))

    def grad_query(self, call: Call, grad_s: Array, key: Array) -> Array:
        return grad_s @ key * call.wide(call.scale)

    def grad_key(self, call: Call, grad_s: Array, query: Array) -> Array:
        return grad_s.transpose(0, 2, 1) @ query * call.wide(call.scale)

    def grad_value(self, call: Call, p: Array, upstream: Array) -> Array:
        return p.transpose(0, 2, 1) @ upstream

    def collect(self, call: Call, local: list[Array], far: list[Array], dtype: np.dtype[Any]) -> dict[str, Array]:
        result = {}
        for name, shared, near, distant in zip(("query", "key", "value"), call.shared, local, far, strict=True):
            result[name] = (near + distant if shared else near).astype(dtype)
            result[f"{name}_global"] = distant.astype(dtype)
        return result
