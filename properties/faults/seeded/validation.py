"""Faults of validation: bad input that is accepted, or refused with another error."""

from __future__ import annotations

from typing import Any

import numpy as np

from trueband.properties.faults.seeded.registry import fault
from trueband.properties.faults.specimens.plain import Array, Call
from trueband.properties.faults.specimens.validating import Validating, expect


def _hole(step: str, story: str, name: str, seen: str = "") -> None:
    """Register a fault in which a rule is missing."""

    def missing(self: Validating, *_: Any) -> None:
        return None

    register = fault(
        "validation", story, "rejects_bad_input", step=step, name=name, seen=seen, claims="validation", of=Validating
    )
    register(missing)


_hole("check_rank", "arrays of any rank are taken", "rank_unchecked")
_hole("check_mask_dtype", "masks of numbers are taken", "mask_dtype_unchecked", "transformers #15948, #25866")
_hole("check_mask_shape", "masks are broadcast", "mask_broadcast", "transformers 5.23: (b, 1) and (1, n)")
_hole("check_window", "any window is taken", "window_unchecked")
_hole("check_dilation", "any dilation is taken", "dilation_unchecked")
_hole("check_scale", "a scale that is not finite is taken", "scale_unchecked")
_hole("check_dropout", "dropout is taken and ignored", "dropout_ignored", "transformers: head_mask swallowed likewise")


@fault(
    "validation",
    "keys of another length are taken",
    "rejects_bad_input",
    step="check_shapes",
    claims="validation",
    of=Validating,
)
def key_length_unchecked(self: Validating, arrays: dict[str, Array]) -> None:
    for name, array in arrays.items():
        expect(name, name == "key" or array.shape == arrays["query"].shape, arrays["query"].shape, array.shape)


@fault(
    "validation",
    "mixed dtypes are promoted",
    "rejects_bad_input",
    step="check_dtypes",
    claims="validation",
    of=Validating,
)
def dtypes_promoted(self: Validating, arrays: dict[str, Array]) -> None:
    for name, array in arrays.items():
        expect(name, array.dtype.kind == "f", "a floating dtype", array.dtype)


@fault("validation", "integers are taken", "rejects_bad_input", step="check_dtypes", claims="validation", of=Validating)
def integers_taken(self: Validating, arrays: dict[str, Array]) -> None:
    for name, array in arrays.items():
        same = array.dtype.kind in "iu" or array.dtype == arrays["query"].dtype
        expect(name, same, arrays["query"].dtype, array.dtype)


@fault(
    "validation",
    "errors do not name the argument",
    "rejects_bad_input",
    step="check_mask_shape",
    claims="validation",
    of=Validating,
)
def argument_not_named(self: Validating, name: str, mask: Array, shape: tuple[int, int]) -> None:
    expect("mask", mask.shape == shape, shape, mask.shape)


@fault(
    "validation",
    "a wrong mask is an IndexError from deep inside",
    "rejects_bad_input",
    step="check_mask_shape",
    claims="validation",
    of=Validating,
    seen="513 tokens: an index error from inside a gather",
)
def error_of_wrong_kind(self: Validating, name: str, mask: Array, shape: tuple[int, int]) -> None:
    if mask.shape != shape:
        raise IndexError(f"{name}: expected {shape}, got {mask.shape}")


@fault(
    "validation",
    "causal with global tokens is computed",
    "rejects_bad_input",
    step="check_causal",
    claims="validation",
    of=Validating,
    seen="allenai/longformer #135, #158",
)
def causal_globals_computed(self: Validating, causal: bool, flagged: Array | None) -> None:
    return None


@fault(
    "validation",
    "a head mask of another length is cut",
    "rejects_bad_input",
    step="read",
    claims="validation",
    of=Validating,
)
def head_mask_cut(self: Validating, query: Array, key: Array, value: Array, **options: Any) -> Call:
    mask = options.get("head_mask")
    if mask is not None:
        options["head_mask"] = np.resize(mask, query.shape[1:2])
    return Validating.read(self, query, key, value, **options)
