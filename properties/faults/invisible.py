"""Faults that no check of a dtype can see, because a correct kernel of that dtype may err by more."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Invisible:
    """Where a fault cannot be seen.

    Attributes:
        fault: its name in `FAULTS`.
        dtypes: in which it is invisible; in the others it is caught.
        argument: why.
    """

    fault: str
    dtypes: tuple[str, ...]
    argument: str


_NARROW = ("float32", "float16")
INVISIBLE = (
    Invisible("softmax_in_single", _NARROW, "single precision is what the contract asks of these dtypes: no fault"),
    Invisible("products_in_single", _NARROW, "single precision is what the contract asks of these dtypes: no fault"),
    Invisible(
        "log2_e_cut_to_7_digits",
        _NARROW,
        "the factor is off by 3e-8, half of single precision's roundoff: the exponent's own rounding may be 3 of them",
    ),
    Invisible(
        "rounded_probabilities", ("float16",), "a kernel may hand probabilities to the product in the inputs' format"
    ),
    Invisible("output_through_half", ("float16",), "half precision is the format of the output"),
    Invisible("tf32_scores", ("float16",), "inputs of half precision have no more than 11 bits"),
)
