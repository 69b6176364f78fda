"""Faults of the backward pass alone: it forgets, mixes up or rounds something."""

from __future__ import annotations

from typing import Any

import numpy as np

from trueband.properties.faults.seeded.registry import fault
from trueband.properties.faults.specimens.plain import Array, Call, Specimen

_FORGOTTEN: dict[str, tuple[Any, str]] = {
    "causal": (False, "gradient_support"),
    "dilation": (1, "gradient_support"),
    "attention_mask": (None, "masked_gradients_are_zero"),
    "global_attention_mask": (None, "gradients_match_reference"),
    "head_mask": (None, "gradients_match_reference"),
    "scale": (None, "gradients_match_reference"),
}
for _argument, (_default, _check) in _FORGOTTEN.items():

    @fault(
        "gradients",
        f"the backward pass forgets {_argument}",
        *dict.fromkeys([_check, "gradients_match_reference"]),
        step="gradients",
        name=f"backward_forgets_{_argument}",
    )
    def _forgets(
        self: Specimen, *arrays: Array, argument: str = _argument, default: Any = _default, **options: Any
    ) -> dict[str, Array]:
        return Specimen.gradients(self, **{**options, argument: default})


@fault(
    "gradients",
    "the gradient of the query lacks the scale",
    "gradients_match_reference",
    "gradients_of_rows",
    "gradients_of_keys",
    "query_gradient_counts_at_size",
    step="grad_query",
)
def query_gradient_unscaled(self: Specimen, call: Call, grad_s: Array, key: Array) -> Array:
    return grad_s @ key


@fault(
    "gradients",
    "the gradient of the value comes of rounded probabilities",
    "gradients_match_reference",
    step="grad_value",
)
def value_gradient_from_rounded(self: Specimen, call: Call, p: Array, upstream: Array) -> Array:
    return Specimen.grad_value(self, call, p.astype(np.float16).astype(call.wide), upstream)


@fault(
    "gradients",
    "the gradient of the value is kept in half precision from two rows to the next two",
    "gradient_sums_are_wide",
    step="grad_value",
    seen="torch's flash attention on the CPU in float16",
)
def value_gradient_summed_in_half(self: Specimen, call: Call, p: Array, upstream: Array) -> Array:
    total = np.zeros((*upstream.shape[:-2], p.shape[-1], upstream.shape[-1]), np.float16)
    for start in range(0, p.shape[-2], 2):
        rows = slice(start, start + 2)
        total = (total + Specimen.grad_value(self, call, p[..., rows, :], upstream[..., rows, :])).astype(np.float16)
    return total.astype(call.wide)


@fault(
    "gradients",
    "the gradients of queries and keys are swapped",
    "gradients_match_reference",
    "gradient_support",
    "key_gradient_counts_at_size",
    step="collect",
)
def query_and_key_gradients_swapped(
    self: Specimen, call: Call, local: list[Array], far: list[Array], dtype: np.dtype[Any]
) -> dict[str, Array]:
    return Specimen.collect(self, call, [local[1], local[0], local[2]], far, dtype)


@fault("gradients", "the gradient of every head is that of the first", "gradients_match_reference", step="collect")
def gradient_of_head_0(
    self: Specimen, call: Call, local: list[Array], far: list[Array], dtype: np.dtype[Any]
) -> dict[str, Array]:
    return Specimen.collect(
        self, call, [np.repeat(array[:, :1], array.shape[1], axis=1) for array in local], far, dtype
    )


@fault(
    "gradients",
    "only the first sequence of the batch gets gradients",
    "gradients_match_reference",
    "value_gradient_mass",
    step="collect",
)
def gradient_of_sequence_0(
    self: Specimen, call: Call, local: list[Array], far: list[Array], dtype: np.dtype[Any]
) -> dict[str, Array]:
    lost = (np.arange(len(call.real)) > 0)[:, None, None, None]
    return Specimen.collect(self, call, [np.where(lost, 0, array) for array in local], far, dtype)


@fault(
    "gradients",
    "shared projections get the gradient of the local rows only",
    "gradients_match_reference",
    "value_gradient_mass",
    step="collect",
)
def shared_gradients_not_added(
    self: Specimen, call: Call, local: list[Array], far: list[Array], dtype: np.dtype[Any]
) -> dict[str, Array]:
    shared = [np.zeros_like(array) if own else array for own, array in zip(call.shared, far, strict=True)]
    return Specimen.collect(self, call, local, shared, dtype)


@fault(
    "gradients",
    "local projections get the gradient of the global ones too",
    "gradients_match_reference",
    step="collect",
)
def global_gradients_added(
    self: Specimen, call: Call, local: list[Array], far: list[Array], dtype: np.dtype[Any]
) -> dict[str, Array]:
    gradients = Specimen.collect(self, call, local, far, dtype)
    for name, shared, distant in zip(("query", "key", "value"), call.shared, far, strict=True):
        gradients[name] = gradients[name] if shared else (gradients[name] + distant).astype(dtype)
    return gradients


@fault("gradients", "gradients are rounded to half precision", "gradients_match_reference", step="collect")
def gradients_in_half(
    self: Specimen, call: Call, local: list[Array], far: list[Array], dtype: np.dtype[Any]
) -> dict[str, Array]:
    gradients = Specimen.collect(self, call, local, far, dtype)
    return {name: array.astype(np.float16).astype(dtype) for name, array in gradients.items()}


@fault(
    "gradients",
    "the row sum is kept in half precision",
    "gradients_match_reference",
    "key_gradients_cancel",
    step="grad_scores",
)
def row_sum_in_half(self: Specimen, call: Call, p: Array, grad_p: Array, keys: Array) -> Array:
    total = (p * grad_p).sum(axis=-1, keepdims=True).astype(np.float16).astype(call.wide)
    return p * (grad_p - total)


@fault(
    "gradients",
    "the row sum is that of the row before",
    "key_gradients_cancel",
    "gradients_match_reference",
    step="grad_scores",
)
def row_sum_of_row_before(self: Specimen, call: Call, p: Array, grad_p: Array, keys: Array) -> Array:
    return p * (grad_p - np.roll((p * grad_p).sum(axis=-1, keepdims=True), 1, axis=1))


@fault(
    "gradients",
    "only the diagonal of the softmax's derivative is used",
    "gradients_match_reference",
    "key_gradients_cancel",
    step="grad_scores",
)
def jacobian_is_diagonal(self: Specimen, call: Call, p: Array, grad_p: Array, keys: Array) -> Array:
    return p * (1 - p) * grad_p


@fault(
    "gradients",
    "the likeliest key gets no gradient",
    "gradients_match_reference",
    "key_gradients_cancel",
    step="grad_scores",
    seen="a maximum that is not detached",
)
def likeliest_key_gets_none(self: Specimen, call: Call, p: Array, grad_p: Array, keys: Array) -> Array:
    top = (p == p.max(axis=-1, keepdims=True)) & (p < 1)
    return np.where(top, 0, Specimen.grad_scores(self, call, p, grad_p, keys))


@fault(
    "gradients",
    "the gradient of a row without keys is NaN",
    "masked_gradients_are_zero",
    step="grad_scores",
    seen="pytorch #103749 (backward)",
)
def empty_row_gradient_is_nan(self: Specimen, call: Call, p: Array, grad_p: Array, keys: Array) -> Array:
    empty = ~keys.any(axis=(0, 2)) & ~call.real[call.index]
    return Specimen.grad_scores(self, call, np.where(empty[None, :, None], np.nan, p), grad_p, keys)


@fault(
    "gradients",
    "the gradient of the value is a mean over the rows",
    "value_gradient_mass",
    "gradients_match_reference",
    step="grad_value",
)
def value_gradient_averaged(self: Specimen, call: Call, p: Array, upstream: Array) -> Array:
    return Specimen.grad_value(self, call, p, upstream) / call.wide(p.shape[1])


@fault(
    "gradients",
    "the gradient of the value uses the probabilities of the key",
    "gradients_match_reference",
    "value_gradient_mass",
    step="grad_value",
)
def value_gradient_not_transposed(self: Specimen, call: Call, p: Array, upstream: Array) -> Array:
    return p @ upstream


@fault("gradients", "the gradient of the first query is lost", "gradients_match_reference", step="grad_query")
def first_query_gradient_lost(self: Specimen, call: Call, grad_s: Array, key: Array) -> Array:
    gradient = Specimen.grad_query(self, call, grad_s, key)
    return np.concatenate([0 * gradient[:, :1], gradient[:, 1:]], axis=1)


@fault(
    "gradients",
    "the gradient of the key takes the query of the row before",
    "gradients_match_reference",
    step="grad_key",
)
def key_gradient_of_row_before(self: Specimen, call: Call, grad_s: Array, query: Array) -> Array:
    return Specimen.grad_key(self, call, grad_s, np.roll(query, 1, axis=1))


@fault(
    "gradients",
    "gradients smaller than 1/100 are dropped",
    "gradients_match_reference",
    "gradients_are_linear",
    step="grad_key",
)
def small_gradients_dropped(self: Specimen, call: Call, grad_s: Array, query: Array) -> Array:
    gradient = Specimen.grad_key(self, call, grad_s, query)
    return np.where(abs(gradient) < 0.01, 0, gradient)


@fault(
    "gradients",
    "the gradient of the output is normalized",
    "gradients_are_linear",
    "gradients_match_reference",
    step="upstream",
)
def upstream_normalized(self: Specimen, call: Call, b: int, grad_output: Array) -> Array:
    upstream = Specimen.upstream(self, call, b, grad_output)
    return upstream / max(float(abs(upstream).max()), 1e-30)


@fault("gradients", "the window of the backward pass is one short", "gradients_match_reference", step="gradients")
def backward_window_short(self: Specimen, *arrays: Array, window: int, **options: Any) -> dict[str, Array]:
    return Specimen.gradients(self, *arrays, window=max(window - 1, 0), **options)


@fault(
    "gradients",
    "the window of the backward pass is one wide",
    "gradient_support",
    "gradients_match_reference",
    step="gradients",
)
def backward_window_wide(self: Specimen, *arrays: Array, window: int, **options: Any) -> dict[str, Array]:
    return Specimen.gradients(self, *arrays, window=window + 1, **options)
