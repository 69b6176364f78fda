"""The arguments of one call of the operator, as plain arrays, and what the reference makes of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trueband.properties.bounds import (
    Bound,
    Precision,
    attention_bound,
    attention_gradient_bounds,
    lse_bound,
    score_option_gradient_bounds,
)
from trueband.properties.bounds.head_mask_gradient import head_mask_gradient_bound
from trueband.reference.arguments import Arguments, check_arguments
from trueband.reference.attention import band_attention, global_rows, local_rows
from trueband.reference.attention_vjp import BandAttentionGradients, band_attention_vjp

Float = NDArray[np.float64]
MASKS = ("attention_mask", "global_attention_mask")
PER_HEAD = ("head_mask", "sinks", "slopes")
PLACES = ("segments", "offset")  # integers


@dataclass(frozen=True)
class Inputs:
    """Arguments of one call.

    Attributes:
        arrays: by argument name; float64 values on the grid of `dtype`, bool masks, and segments and offset of int64.
            Absent means not passed.
        options: window, and dilation, causal, scale, offset, softcap, return_lse where they are passed.
        dtype: what the floating arrays are handed over as.
        accumulator: that the kernel declares for this dtype; None: the contract's.
        stored_scores: the format in which the kernel declares to store its scores; None: it does not.
    """

    arrays: dict[str, NDArray[Any]]
    options: dict[str, Any] = field(default_factory=dict)
    dtype: str = "float32"
    accumulator: str | None = None
    stored_scores: str | None = None

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """That of query, (b, h, m, d)."""
        batch, heads, tokens, head_dim = self.arrays["query"].shape
        return batch, heads, tokens, head_dim

    @property
    def floating(self) -> list[str]:
        """Names of the projections that are passed: the floating arguments with four axes."""
        return [name for name in self.arrays if name not in (*MASKS, *PER_HEAD, *PLACES)]

    @property
    def output_shape(self) -> tuple[int, int, int, int]:
        """(b, h, m, e)."""
        return (*self.shape[:3], self.arrays["value"].shape[-1])

    def of_query_heads(self, name: str) -> NDArray[Any]:
        """An array of keys or values with a head for each head of the queries."""
        array = self.arrays[name]
        return np.repeat(array, self.shape[1] // array.shape[1], axis=1)

    def rows(self, rows: Any) -> Inputs:
        """Some rows of the batch, in the given order."""
        return self.map_arrays(lambda array: array[rows], [name for name in self.arrays if name not in PER_HEAD])

    def with_arrays(self, **changes: NDArray[Any] | None) -> Inputs:
        """The same call with other arrays; None leaves the argument out."""
        arrays = {**self.arrays, **changes}
        return replace(self, arrays={k: v for k, v in arrays.items() if v is not None})

    def with_options(self, **changes: Any) -> Inputs:
        """The same call with other options; None leaves the option out."""
        options = {**self.options, **changes}
        return replace(self, options={k: v for k, v in options.items() if v is not None})

    def map_arrays(self, function: Any, names: list[str] | None = None) -> Inputs:
        """The same call with a function applied to the named arrays (all that are there)."""
        chosen = list(self.arrays) if names is None else names
        changed = {name: function(self.arrays[name]) for name in chosen if name in self.arrays}
        return replace(self, arrays={**self.arrays, **changed})

    @property
    def _call(self) -> dict[str, Any]:
        return {**self.arrays, **self.options}

    @cached_property
    def arguments(self) -> Arguments:
        return check_arguments(**self._call)

    @cached_property
    def structure(self) -> Arguments:
        """The checked arguments with one channel of every floating array only: all that costs no copy of them."""
        narrow = self.map_arrays(lambda array: array[..., :1], self.floating)
        scale = self.options.get("scale")
        return check_arguments(**{**narrow._call, "scale": 1 / math.sqrt(self.shape[3]) if scale is None else scale})

    @cached_property
    def precision(self) -> Precision:
        return Precision.of(self.dtype, self.accumulator, self.stored_scores)

    @cached_property
    def real(self) -> NDArray[np.bool_]:
        """(b, n): real tokens."""
        return self.structure.real

    @cached_property
    def is_global(self) -> NDArray[np.bool_]:
        """(b, n): global tokens."""
        return self.structure.is_global

    @cached_property
    def real_rows(self) -> NDArray[np.bool_]:
        """(b, m): queries that are not masked."""
        return self.structure.real_queries

    @cached_property
    def global_rows(self) -> NDArray[np.bool_]:
        """(b, m): queries of global tokens."""
        return self.structure.global_queries

    def real_of(self, name: str) -> NDArray[np.bool_]:
        """(b, m) or (b, n): which tokens of a projection are real."""
        return self.real_rows if name.startswith("query") else self.real

    @cached_property
    def visible(self) -> NDArray[np.bool_]:
        """(b, h, m, n): keys that each row attends."""
        return local_rows(self.arguments).visible | global_rows(self.arguments).visible

    @cached_property
    def output(self) -> Float:
        """The reference's output."""
        return band_attention(**self._call).output

    @cached_property
    def bound(self) -> Bound:
        """Bound on the error of the output."""
        return attention_bound(self.arguments, self.precision)

    @cached_property
    def lse(self) -> Float:
        """The reference's lse."""
        return band_attention(**{**self._call, "return_lse": True}).lse

    @cached_property
    def lse_bound(self) -> Bound:
        """Bound on the error of the lse."""
        return lse_bound(self.arguments, self.precision)

    def gradients(self, grad_output: Float, grad_lse: Float | None = None) -> BandAttentionGradients:
        """The reference's gradients."""
        call = {name: value for name, value in self._call.items() if name != "return_lse"}
        return band_attention_vjp(grad_output=grad_output, grad_lse=grad_lse, **call)

    def gradient_bounds(self, grad_output: Float, grad_lse: Float | None = None) -> dict[str, Bound]:
        """Bounds on the errors of the gradients of the projections that are passed, and of sinks and slopes."""
        separate = tuple(f"{name}_global" in self.arrays for name in ("query", "key", "value"))
        bounds = attention_gradient_bounds(
            self.arguments,
            grad_output,
            self.precision,
            separate,  # type: ignore[arg-type]
            grad_lse,
        )
        if "sinks" in self.arrays or "slopes" in self.arrays:
            bounds |= score_option_gradient_bounds(self.arguments, grad_output, self.precision, grad_lse)
        return bounds

    def head_mask_gradient_bound(self, grad_output: Float) -> Bound:
        """Bound on the error of the gradient of the head mask."""
        return head_mask_gradient_bound(self.arguments, grad_output, self.precision)


def different(array: Float) -> Float:
    """Another number for every number, on the same grid."""
    return np.where(array == 0, 1.0, -2.0 * array)
