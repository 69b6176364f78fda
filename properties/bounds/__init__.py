"""Bounds: how far a correct implementation can be from the reference, computed for each element of each case."""

from trueband.properties.bounds.attention import attention_bound
from trueband.properties.bounds.attention_gradients import attention_gradient_bounds
from trueband.properties.bounds.bound import Bound, exact
from trueband.properties.bounds.precision import DTYPES, Precision, round_to

__all__ = [
    "DTYPES",
    "Bound",
    "Precision",
    "attention_bound",
    "attention_gradient_bounds",
    "exact",
    "round_to",
]
