"""Cases of what the second edition of the operator added, drawn once in NumPy, given to both witnesses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from trueband.properties.bounds import round_to
from trueband.reference.arguments import Arguments, check_arguments

Array = NDArray[Any]
PROJECTIONS = ("query", "key", "value", "query_global", "key_global", "value_global")
PER_HEAD = ("head_mask", "sinks", "slopes")
PLAIN = ("attention_mask", "global_attention_mask", "segments")
LENGTHS = (1, 2, 5, 17, 64, 70, 129, 200)
LIMITS = (0, 1, 2, 7, 40, 130, None)


@dataclass
class SpanCase:
    """One call of the operator, in float64 arrays that hold values of the grid of `dtype`."""

    dtype: str
    inputs: dict[str, Array]  # floating, those of `PER_HEAD` among them
    options: dict[str, Any]
    grad_output: Array
    grad_lse: Array | None
    leaves: dict[str, Tensor] = field(default_factory=dict)

    def call(self, function: Callable[..., Any]) -> Any:
        """The result for torch tensors; `leaves` holds what has a gradient."""
        dtype = getattr(torch, self.dtype)
        self.leaves = {name: torch.tensor(array, dtype=dtype).requires_grad_() for name, array in self.inputs.items()}
        options = {
            name: torch.tensor(value) if isinstance(value, np.ndarray) else value
            for name, value in self.options.items()
        }
        rest = {name: leaf for name, leaf in self.leaves.items() if name not in PROJECTIONS[:3]}
        return function(*(self.leaves[name] for name in PROJECTIONS[:3]), **options, **rest)

    def run(self, function: Callable[..., Any]) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Output, lse, and gradients by the names of the arguments."""
        output, lse = self.call(lambda *args, **options: function(*args, **options, return_lse=True))
        outputs, grads = [output], [torch.tensor(self.grad_output).to(output.dtype)]
        if self.grad_lse is not None:
            outputs, grads = [output, lse], [*grads, torch.tensor(self.grad_lse).to(lse.dtype)]
        found = torch.autograd.grad(outputs, list(self.leaves.values()), grads)
        return output.detach(), lse.detach(), dict(zip(self.leaves, found, strict=True))

    @property
    def positional(self) -> tuple[Array, Array, Array]:
        return self.inputs["query"], self.inputs["key"], self.inputs["value"]

    @property
    def keywords(self) -> dict[str, Any]:
        """Keyword arguments for the reference."""
        return {**{name: array for name, array in self.inputs.items() if name not in PROJECTIONS[:3]}, **self.options}

    def checked(self) -> Arguments:
        return check_arguments(*self.positional, **self.keywords)

    def part(self, b: int) -> SpanCase:
        """One row of the batch."""
        some = slice(b, b + 1)
        inputs = {name: array if name in PER_HEAD else array[some] for name, array in self.inputs.items()}
        options = {
            name: value[some] if isinstance(value, np.ndarray) else value for name, value in self.options.items()
        }
        grad_lse = None if self.grad_lse is None else self.grad_lse[some]
        return SpanCase(self.dtype, inputs, options, self.grad_output[some], grad_lse)


def draw(seed: int, dtype: str) -> SpanCase:
    """A case of the whole space of arguments."""
    rng = np.random.default_rng([seed, 2, *dtype.encode()])
    batch, group, key_heads = (int(rng.integers(1, most)) for most in (4, 4, 3))
    queries, heads = int(rng.choice(LENGTHS)), group * key_heads
    head_dim, channels = (int(rng.choice([1, 3, 8, 16])) for _ in range(2))
    has_globals = rng.random() < 0.3
    tokens = queries if has_globals or rng.random() < 0.3 else int(rng.choice(LENGTHS))

    def normal(*size: int) -> Array:
        return round_to(rng.normal(size=size), dtype)

    shapes = [
        (batch, heads, queries, head_dim),
        (batch, key_heads, tokens, head_dim),
        (batch, key_heads, tokens, channels),
    ]
    inputs = {name: normal(*shape) for name, shape in zip(PROJECTIONS[:3], shapes, strict=True)}
    window: Any = [LIMITS[rng.integers(len(LIMITS))] for _ in range(2)]
    options: dict[str, Any] = {"window": tuple(window) if rng.random() < 0.8 else int(window[0] or 3)}
    per_head = [int(each) for each in rng.integers(1, 4, heads)]
    options["dilation"] = [1, 1, int(rng.integers(1, 6)), per_head][rng.integers(4)]
    if rng.random() < 0.5:
        options["attention_mask"] = rng.random((batch, tokens)) < rng.choice([0.1, 0.5, 0.9])
    if has_globals:
        options["global_attention_mask"] = rng.random((batch, tokens)) < rng.choice([0.02, 0.3, 1.0])
        for name, shape in zip(PROJECTIONS[3:], shapes, strict=True):
            if rng.random() < 0.6:
                inputs[name] = normal(*shape)
    else:
        options["causal"] = bool(rng.random() < 0.3)
        inside = tokens >= queries and rng.random() < 0.5
        low, high = (0, tokens - queries) if inside else (-queries - 3, tokens + 3)
        offset = rng.integers(low, high + 1, batch)
        options["offset"] = offset if rng.random() < 0.5 else int(offset[0])
        if inside and rng.random() < 0.6:
            numbers = rng.integers(0, 3, (batch, tokens))
            options["segments"] = numbers if rng.random() < 0.5 else np.sort(numbers).astype(np.int32)
        if rng.random() < 0.4:
            inputs["sinks"] = normal(heads)
        if rng.random() < 0.4 and options["dilation"] == 1:
            inputs["slopes"] = normal(heads)
    if rng.random() < 0.3:
        inputs["head_mask"] = normal(heads)
    if rng.random() < 0.3:
        options["softcap"] = float(rng.choice([0.5, 3.0, 50.0]))
    if rng.random() < 0.3:
        options["scale"] = 0.75
    grad_lse = normal(batch, heads, queries) if rng.random() < 0.5 else None
    return SpanCase(dtype, inputs, options, normal(batch, heads, queries, channels), grad_lse)


def plain_case(of_query: tuple[int, ...], of_key: tuple[int, ...], options: dict[str, Any], dtype: str) -> SpanCase:
    """A case of these shapes and options, without more."""
    rng = np.random.default_rng(sum(of_query))
    shapes = (of_query, of_key, of_key, of_query)
    query, key, value, grad_output = (round_to(rng.normal(size=shape), dtype) for shape in shapes)
    return SpanCase(dtype, {"query": query, "key": key, "value": value}, options, grad_output, None)


@pytest.fixture(scope="session")
def draw_span() -> Callable[[int, str], SpanCase]:
    return draw
