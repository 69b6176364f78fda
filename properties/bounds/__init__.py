"""Bounds: how far a correct implementation can be from the reference, computed for each element of each case.

The names below are imported when they are first asked for: what a candidate's process needs of this package, the
dtypes, must not bring the reference with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trueband.properties.bounds.attention import attention_bound, lse_bound
    from trueband.properties.bounds.attention_gradients import attention_gradient_bounds
    from trueband.properties.bounds.bound import Bound, exact
    from trueband.properties.bounds.precision import DTYPES, Precision, round_to
    from trueband.properties.bounds.score_option_gradients import score_option_gradient_bounds

__all__ = [
    "DTYPES",
    "Bound",
    "Precision",
    "attention_bound",
    "attention_gradient_bounds",
    "exact",
    "lse_bound",
    "round_to",
    "score_option_gradient_bounds",
]

_PLACES = {
    "DTYPES": "precision",
    "Bound": "bound",
    "Precision": "precision",
    "attention_bound": "attention",
    "attention_gradient_bounds": "attention_gradients",
    "exact": "bound",
    "lse_bound": "attention",
    "round_to": "precision",
    "score_option_gradient_bounds": "score_option_gradients",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
