"""Faults that only training sees: of the output with gradients on, of some gradients, of a second backward pass."""

from __future__ import annotations

from typing import Any

import numpy as np

from trueband.properties.faults.seeded.registry import fault
from trueband.properties.faults.specimens.differentiated import Differentiated, Saved
from trueband.properties.faults.specimens.plain import Array

FORWARD = "forward_with_gradients"
SUBSETS = "gradient_subsets"


@fault(
    "gradients",
    "the output is scaled when gradients are on",
    FORWARD,
    step="forward",
    of=Differentiated,
    seen="dropout's factor, applied whenever a model may train",
)
def output_scaled_with_gradients(self: Differentiated, saved: Saved) -> Array:
    output = Differentiated.forward(self, saved)
    return output * output.dtype.type(1 + 1 / 64) if saved.wanted else output


@fault(
    "gradients",
    "the output has some values dropped when gradients are on",
    FORWARD,
    step="forward",
    of=Differentiated,
    seen="dropout that takes requires_grad for training",
)
def output_dropped_with_gradients(self: Differentiated, saved: Saved) -> Array:
    output = Differentiated.forward(self, saved)
    if saved.wanted:
        output.ravel()[::5] = 0
    return output


@fault(
    "gradients",
    "the output is of another precision when gradients are on",
    FORWARD,
    "gradients_match_reference",
    step="forward",
    of=Differentiated,
)
def output_dtype_with_gradients(self: Differentiated, saved: Saved) -> Array:
    output = Differentiated.forward(self, saved)
    return output.astype(np.float32 if output.dtype == np.float64 else np.float64) if saved.wanted else output


@fault(
    "gradients",
    "values are read in half precision when gradients are on",
    FORWARD,
    step="forward",
    of=Differentiated,
    seen="what is saved for the backward pass is cast to save memory",
)
def forward_in_half_with_gradients(self: Differentiated, saved: Saved) -> Array:
    kept = saved.arrays["value"]
    if saved.wanted:
        saved.arrays["value"] = kept.astype(np.float16).astype(kept.dtype)
    output = Differentiated.forward(self, saved)
    saved.arrays["value"] = kept
    return output


@fault(
    "gradients", "the output is other bits when the keys ask for gradients", FORWARD, step="forward", of=Differentiated
)
def output_rounded_otherwise_with_gradients(self: Differentiated, saved: Saved) -> Array:
    output = Differentiated.forward(self, saved)
    return np.nextafter(output, output.dtype.type(9)) if "key" in saved.wanted else output


@fault(
    "gradients",
    "the backward pass writes to the output",
    FORWARD,
    "gradients_match_reference",
    step="backward",
    of=Differentiated,
    seen="dO times O computed in the memory of O",
)
def output_overwritten_by_backward(self: Differentiated, saved: Saved, grad_output: Array) -> dict[str, Array]:
    output = saved.output.detach().numpy()
    gradients = Differentiated.backward(self, saved, grad_output)
    output *= grad_output
    return gradients


@fault(
    "gradients",
    "gradients are handed back by place among those asked for",
    SUBSETS,
    step="hand_back",
    of=Differentiated,
)
def gradients_by_place(self: Differentiated, saved: Saved, gradients: dict[str, Array]) -> list[Array | None]:
    packed = [gradients[name] for name in saved.wanted]
    places = {name: min(place, len(packed) - 1) for place, name in enumerate(saved.arrays)}
    return [packed[places[name]] if name in saved.wanted else None for name in saved.arrays]


@fault(
    "gradients",
    "frozen keys shift the gradients behind them",
    SUBSETS,
    step="hand_back",
    of=Differentiated,
    seen="a tuple built of the gradients that are needed",
)
def frozen_keys_shift(self: Differentiated, saved: Saved, gradients: dict[str, Array]) -> list[Array | None]:
    if "key" not in saved.wanted:
        gradients = {**gradients, "value": gradients["key"]}
    return Differentiated.hand_back(self, saved, gradients)


@fault(
    "gradients",
    "frozen queries freeze everything",
    SUBSETS,
    step="hand_back",
    of=Differentiated,
    seen="needs_input_grad[0] asked for all",
)
def frozen_queries_freeze_all(self: Differentiated, saved: Saved, gradients: dict[str, Array]) -> list[Array | None]:
    handed = Differentiated.hand_back(self, saved, gradients)
    return handed if "query" in saved.wanted else [None] * len(handed)


@fault(
    "gradients",
    "without a gradient of the values the row sums are not computed",
    SUBSETS,
    step="backward",
    of=Differentiated,
)
def row_sums_with_values_only(self: Differentiated, saved: Saved, grad_output: Array) -> dict[str, Array]:
    gradients = Differentiated.backward(self, saved, grad_output)
    if "value" not in saved.wanted:
        gradients["query"] = gradients["query"] + saved.arrays["key"]
    return gradients


@fault(
    "gradients",
    "a second backward pass gives twice the gradients",
    "gradients_twice",
    step="backward",
    of=Differentiated,
    seen="a workspace of the graph that is added to",
)
def second_backward_doubled(self: Differentiated, saved: Saved, grad_output: Array) -> dict[str, Array]:
    gradients = Differentiated.backward(self, saved, grad_output)
    return {name: gradient * gradient.dtype.type(1 + saved.passes) for name, gradient in gradients.items()}


@fault(
    "gradients",
    "a second backward pass finds nothing saved",
    "gradients_twice",
    step="backward",
    of=Differentiated,
    seen="buffers freed after the first",
)
def second_backward_empty(self: Differentiated, saved: Saved, grad_output: Array) -> dict[str, Array]:
    gradients = Differentiated.backward(self, saved, grad_output)
    return {name: np.zeros_like(gradient) if saved.passes else gradient for name, gradient in gradients.items()}


@fault(
    "gradients",
    "the query that is saved is scaled in place by every backward pass",
    "gradients_twice",
    step="backward",
    of=Differentiated,
)
def saved_query_scaled(self: Differentiated, saved: Saved, grad_output: Array) -> dict[str, Array]:
    query = saved.kept.setdefault("query", saved.arrays["query"].copy())
    saved.arrays["query"] = query
    gradients = Differentiated.backward(self, saved, grad_output)
    query *= 2
    return gradients


@fault(
    "gradients",
    "a gradient that is there is overwritten",
    "gradients_accumulate",
    step="hand_back",
    of=Differentiated,
    seen="fused accumulation of gradients",
)
def gradient_overwritten(self: Differentiated, saved: Saved, gradients: dict[str, Array]) -> list[Array | None]:
    return _into_grad(self, saved, gradients, lambda before, gradient: gradient)


@fault(
    "gradients",
    "a gradient is added twice to one that is there",
    "gradients_accumulate",
    step="hand_back",
    of=Differentiated,
    seen="fused accumulation of gradients, which are handed back as well",
)
def gradient_added_twice(self: Differentiated, saved: Saved, gradients: dict[str, Array]) -> list[Array | None]:
    return _into_grad(self, saved, gradients, lambda before, gradient: before + 2 * gradient)


def _into_grad(self: Differentiated, saved: Saved, gradients: dict[str, Array], change: Any) -> list[Array | None]:
    """Write to the `.grad` of the arguments that have one, and return the other gradients."""
    handed = Differentiated.hand_back(self, saved, gradients)
    for place, name in enumerate(saved.arrays):
        grad = saved.tensors[name].grad
        if name in saved.wanted and grad is not None:
            before = grad.numpy()
            before[...] = change(before, gradients[name])
            handed[place] = None
    return handed


@fault(
    "gradients",
    "what is saved of the queries lies in one buffer for all calls",
    "gradients_after_another_call",
    step="forward",
    of=Differentiated,
    seen="a workspace by shape, from layer to layer",
)
def saved_in_one_buffer(self: Any, saved: Saved) -> Array:
    output = Differentiated.forward(self, saved)
    query = saved.arrays["query"]
    buffer = self.__dict__.setdefault("buffers", {}).setdefault((query.shape, query.dtype), np.empty_like(query))
    buffer[...] = query
    saved.arrays["query"] = buffer
    return output
