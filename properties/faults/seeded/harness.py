"""Faults of memory and state: right once, or right for arrays that lie as expected."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from trueband.properties.faults.seeded.registry import fault
from trueband.properties.faults.specimens.plain import Array, Call, Specimen


@fault("harness", "the first result of a shape is returned for ever", "stateless", "matches_reference", step="__call__")
def cached_by_shape(self: Any, query: Array, key: Array, value: Array, **options: Any) -> Array:
    signature = (query.shape, query.dtype, repr(sorted(options.items(), key=lambda item: item[0])))
    cache = self.__dict__.setdefault("cache", {})
    if signature not in cache:
        cache[signature] = Specimen.__call__(self, query, key, value, **options)
    return cache[signature].copy()


@fault("harness", "the query is scaled in place", "inputs_unchanged", "matches_reference", step="__call__")
def scales_query_in_place(self: Specimen, query: Array, key: Array, value: Array, **options: Any) -> Array:
    output = Specimen.__call__(self, query, key, value, **options)
    query += 1
    return output


@fault("harness", "every other call adds noise of one unit in the last place", "deterministic", step="__call__")
def noisy(self: Any, query: Array, key: Array, value: Array, **options: Any) -> Array:
    output = Specimen.__call__(self, query, key, value, **options)
    count = self.__dict__.setdefault("count", itertools.count())
    return np.nextafter(output, output.dtype.type(9)) if next(count) % 2 else output


def _as_if_contiguous(array: Array) -> Array:
    """Read from the start of the storage as if the array filled it."""
    storage = array if array.base is None else array.base
    return np.resize(storage.ravel(order="K"), array.shape)


@fault("harness", "strides are ignored", "transposed_inputs", "expanded_inputs", "layouts_at_size", step="__call__")
def strides_ignored(self: Specimen, query: Array, key: Array, value: Array, **options: Any) -> Array:
    plain = [np.resize(np.asarray(array).ravel(order="K"), array.shape) for array in (query, key, value)]
    if 0 in value.strides:
        plain[2] = np.concatenate([plain[2][:1], 0 * plain[2][1:]])
    return Specimen.__call__(self, *plain, **options)


@fault("harness", "the storage offset is ignored", "offset_inputs", step="__call__")
def storage_offset_ignored(self: Specimen, query: Array, key: Array, value: Array, **options: Any) -> Array:
    return Specimen.__call__(self, query, key, _as_if_contiguous(value), **options)


@fault("harness", "the order of summation depends on the size of the batch", "batch_invariance", step="weigh")
def order_depends_on_batch(self: Specimen, call: Call, probabilities: Array, value: Array) -> Array:
    if len(call.real) == 1:
        return probabilities @ value
    return (probabilities[..., ::-1] @ value[:, ::-1]) * (1 + call.wide(np.finfo(call.wide).eps))


@fault(
    "harness", "odd rows of the batch are computed in another order", "duplicate_rows", "batch_invariance", step="weigh"
)
def odd_rows_differ(self: Specimen, call: Call, probabilities: Array, value: Array) -> Array:
    rounding = call.wide(1 + (call.index % 2) * np.finfo(call.wide).eps)
    return (probabilities @ value) * rounding


@fault("harness", "bad input is taken for good", "rejects_bad_input", step="__call__", claims="validation")
def accepts_anything(self: Specimen, query: Array, key: Array, value: Array, **options: Any) -> Array:
    return np.zeros_like(query)


@fault(
    "harness", "a pipeline is not flushed: every third result is that of the call before", "call_order", step="__call__"
)
def one_call_late(self: Any, query: Array, key: Array, value: Array, **options: Any) -> Array:
    output = Specimen.__call__(self, query, key, value, **options)
    count, last = self.__dict__.get("seen", (0, output))
    self.__dict__["seen"] = (count + 1, output)
    return last.copy() if count % 3 == 2 and last.shape == output.shape and last.dtype == output.dtype else output
