"""Faults of the backward pass that depend on the layout of memory, and on what earlier calls left there."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from trueband.properties.faults.seeded.registry import fault
from trueband.properties.faults.specimens.plain import Array, Specimen

LAYOUTS = "gradient_layouts"
GRAD_OUTPUT = "grad_output_layouts"
NAMES = ("query", "key", "value")


def _gradients(self: Specimen, arguments: dict[str, Any]) -> dict[str, Array]:
    return Specimen.gradients(self, **arguments)


def _named(arrays: tuple[Array, ...], options: dict[str, Any]) -> dict[str, Any]:
    return {**dict(zip(NAMES, arrays, strict=False)), **options}


def _as_if_contiguous(array: Array) -> Array:
    """Read on from the first number as if the array were contiguous."""
    if 0 in array.strides:
        return array
    strides = np.cumprod([array.itemsize, *array.shape[:0:-1]])[::-1]
    return np.lib.stride_tricks.as_strided(array, array.shape, tuple(int(stride) for stride in strides))


def _in_order_of(array: Array, other: Array) -> Array:
    """Read the numbers in memory as if their axes had the order of the other array's."""
    order = np.argsort([-abs(stride) for stride in other.strides], kind="stable")
    packed = array.ravel(order="K").reshape([array.shape[axis] for axis in order])
    return packed.transpose(np.argsort(order))


@fault(
    "harness",
    "the strides of grad_output are ignored",
    GRAD_OUTPUT,
    step="gradients",
    seen="two widely used libraries: every model merges heads behind attention",
)
def grad_output_strides_ignored(self: Specimen, *arrays: Array, **options: Any) -> dict[str, Array]:
    arguments = _named(arrays, options)
    return _gradients(self, {**arguments, "grad_output": _as_if_contiguous(arguments["grad_output"])})


@fault(
    "harness",
    "a grad_output of stride 0 is read as if it were full",
    GRAD_OUTPUT,
    step="gradients",
    seen="out.sum().backward()",
)
def grad_output_stride_0_read_on(self: Specimen, *arrays: Array, **options: Any) -> dict[str, Array]:
    arguments = _named(arrays, options)
    grad_output = arguments["grad_output"]
    if 0 in grad_output.strides:
        grad_output = np.where(np.arange(grad_output.size).reshape(grad_output.shape) == 0, grad_output, np.nan)
    return _gradients(self, {**arguments, "grad_output": grad_output.astype(arguments["query"].dtype)})


@fault("harness", "grad_output is read with the strides of the query", GRAD_OUTPUT, LAYOUTS, step="gradients")
def grad_output_with_strides_of_query(self: Specimen, *arrays: Array, **options: Any) -> dict[str, Array]:
    arguments = _named(arrays, options)
    return _gradients(self, {**arguments, "grad_output": _in_order_of(arguments["grad_output"], arguments["query"])})


for _name, _other in (("query", "value"), ("key", "query"), ("value", "key")):

    @fault(
        "harness",
        f"the backward pass reads the {_name} with the strides of the {_other}",
        LAYOUTS,
        step="gradients",
        name=f"backward_{_name}_with_strides_of_{_other}",
    )
    def _strides_of_another(
        self: Specimen, *arrays: Array, name: str = _name, other: str = _other, **options: Any
    ) -> dict[str, Array]:
        arguments = _named(arrays, options)
        return _gradients(self, {**arguments, name: _in_order_of(arguments[name], arguments[other])})


@fault("harness", "the backward pass reads the global key with the strides of the local one", LAYOUTS, step="gradients")
def backward_key_global_with_strides_of_key(self: Specimen, *arrays: Array, **options: Any) -> dict[str, Array]:
    arguments = _named(arrays, options)
    if arguments.get("key_global") is not None:
        arguments["key_global"] = _in_order_of(arguments["key_global"], arguments["key"])
    return _gradients(self, arguments)


@fault(
    "harness",
    "the backward pass takes the value for contiguous",
    LAYOUTS,
    step="gradients",
    seen="a forward pass that copies what is not contiguous, and saves what it was given",
)
def backward_value_strides_ignored(self: Specimen, *arrays: Array, **options: Any) -> dict[str, Array]:
    arguments = _named(arrays, options)
    return _gradients(self, {**arguments, "value": _as_if_contiguous(arguments["value"])})


@fault(
    "harness", "the backward pass takes the batch stride from the shape", "expanded_input_gradients", step="gradients"
)
def backward_batch_stride_assumed(self: Specimen, *arrays: Array, **options: Any) -> dict[str, Array]:
    arguments = _named(arrays, options)
    if arguments["value"].strides[0] == 0:
        arguments["value"] = np.concatenate([arguments["value"][:1], np.full_like(arguments["value"][1:], 7)])
    return _gradients(self, arguments)


@fault(
    "harness",
    "the gradient of expanded heads is summed into the first",
    "expanded_input_gradients",
    step="gradients",
    seen="multi-query attention: the sum is the business of what expands",
)
def gradient_of_expanded_heads_summed(self: Specimen, *arrays: Array, **options: Any) -> dict[str, Array]:
    arguments = _named(arrays, options)
    gradients = _gradients(self, arguments)
    if arguments["key"].strides[1] == 0 and arguments["key"].shape[1] > 1:
        total = gradients["key"].sum(axis=1, keepdims=True)
        gradients["key"] = np.concatenate([total, np.zeros_like(gradients["key"][:, 1:])], axis=1)
    return gradients


@fault(
    "harness",
    "gradients are written to the strides of their input",
    LAYOUTS,
    step="gradients",
    seen="empty_like(query), which keeps strides, filled as if it were contiguous",
)
def gradient_written_to_strides_of_input(self: Specimen, *arrays: Array, **options: Any) -> dict[str, Array]:
    arguments = _named(arrays, options)
    gradients = _gradients(self, arguments)
    query = arguments["query"]
    if query.strides[1] < query.strides[2]:  # (b, n, h, d) memory
        batch, heads, tokens, head_dim = query.shape
        gradients["query"] = gradients["query"].reshape(batch, tokens, heads, head_dim).transpose(0, 2, 1, 3)
    return gradients


@fault(
    "harness",
    "every other call's gradients are summed in another order",
    "deterministic_gradients",
    step="gradients",
    seen="atomics",
)
def noisy_gradients(self: Any, *arrays: Array, **options: Any) -> dict[str, Array]:
    gradients = _gradients(self, _named(arrays, options))
    if next(self.__dict__.setdefault("count", itertools.count())) % 2:
        gradients["key"] = gradients["key"] * (1 + np.finfo(gradients["key"].dtype).eps)
    return gradients


@fault(
    "harness",
    "the gradients of the queries of a shape lie in one buffer",
    "deterministic_gradients",
    "masked_gradients_are_zero",
    step="gradients",
    seen="a static buffer, handed out again",
)
def one_gradient_buffer(self: Any, *arrays: Array, **options: Any) -> dict[str, Array]:
    gradients = _gradients(self, _named(arrays, options))
    query = gradients["query"]
    buffer = self.__dict__.setdefault("buffers", {}).setdefault((query.shape, query.dtype), np.empty_like(query))
    buffer[...] = query
    return {**gradients, "query": buffer}


@fault(
    "harness",
    "the keys of a gradient's address are used again",
    "gradients_same_address",
    step="gradients",
    seen="a cache by pointer",
)
def gradient_keys_cached_by_address(self: Any, *arrays: Array, **options: Any) -> dict[str, Array]:
    arguments = _named(arrays, options)
    key = arguments["key"]
    address = (key.__array_interface__["data"][0], key.shape, key.dtype, key.strides)
    kept = self.__dict__.setdefault("kept", {}).setdefault(address, key.copy())
    return _gradients(self, {**arguments, "key": kept})
