"""The arguments of one call of the operator, as plain arrays, and what the reference makes of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trueband.properties.bounds import Bound, Precision, attention_bound, attention_gradient_bounds
from trueband.properties.bounds.head_mask_gradient import head_mask_gradient_bound
from trueband.reference.arguments import Arguments, check_arguments
from trueband.reference.attention import band_attention, global_rows, local_rows
from trueband.reference.attention_vjp import BandAttentionGradients, band_attention_vjp

Float = NDArray[np.float64]
MASKS = ("attention_mask", "global_attention_mask")


@dataclass(frozen=True)
class Inputs:
    """Arguments of one call.

    Attributes:
        arrays: by argument name; float64 values on the grid of `dtype`, and bool masks. Absent means not passed.
        options: window, and dilation, causal, scale where they are passed.
        dtype: what the floating arrays are handed over as.
        accumulator: that the kernel declares for this dtype; None: the contract's.
    """

    arrays: dict[str, NDArray[Any]]
    options: dict[str, Any] = field(default_factory=dict)
    dtype: str = "float32"
    accumulator: str | None = None

    @property
    def shape(self) -> tuple[int, int, int, int]:
        batch, heads, tokens, head_dim = self.arrays["query"].shape
        return batch, heads, tokens, head_dim

    @property
    def floating(self) -> list[str]:
        """Names of the floating arguments but the head mask."""
        return [name for name in self.arrays if name not in (*MASKS, "head_mask")]

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
        return Precision.of(self.dtype, self.accumulator)

    @cached_property
    def real(self) -> NDArray[np.bool_]:
        """(b, n): real tokens."""
        return self.structure.real

    @cached_property
    def is_global(self) -> NDArray[np.bool_]:
        """(b, n): global tokens."""
        return self.structure.is_global

    @cached_property
    def visible(self) -> NDArray[np.bool_]:
        """(b, h, n, n): keys that each row attends."""
        return local_rows(self.arguments).visible | global_rows(self.arguments).visible

    @cached_property
    def output(self) -> Float:
        """The reference's output."""
        return band_attention(**self._call).output

    @cached_property
    def bound(self) -> Bound:
        """Bound on the error of the output."""
        return attention_bound(self.arguments, self.precision)

    def gradients(self, grad_output: Float) -> BandAttentionGradients:
        """The reference's gradients."""
        return band_attention_vjp(grad_output=grad_output, **self._call)

    def gradient_bounds(self, grad_output: Float) -> dict[str, Bound]:
        """Bounds on the errors of the gradients of the floating arguments that are passed."""
        separate = tuple(f"{name}_global" in self.arrays for name in ("query", "key", "value"))
        return attention_gradient_bounds(self.arguments, grad_output, self.precision, separate)  # type: ignore[arg-type]

    def head_mask_gradient_bound(self, grad_output: Float) -> Bound:
        """Bound on the error of the gradient of the head mask."""
        return head_mask_gradient_bound(self.arguments, grad_output, self.precision)


def different(array: Float) -> Float:
    """Another number for every number, on the same grid."""
    return np.where(array == 0, 1.0, -2.0 * array)
