"""A correct kernel that refuses bad input with the contract's errors, one rule for each argument."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from trueband.properties.faults.specimens.plain import Array, Call, Specimen


class Validating(Specimen):
    """The specimen behind checks of its arguments."""

    def read(self, query: Array, key: Array, value: Array, **options: Any) -> Call:
        arrays = {"query": query, "key": key, "value": value}
        arrays |= {
            name: options[name]
            for name in ("query_global", "key_global", "value_global")
            if options.get(name) is not None
        }
        self.check_rank(arrays)
        self.check_shapes(arrays)
        self.check_dtypes(arrays)
        batch, heads, tokens, _ = query.shape
        for name in ("attention_mask", "global_attention_mask"):
            if options.get(name) is not None:
                self.check_mask_dtype(name, options[name])
                self.check_mask_shape(name, options[name], (batch, tokens))
        if options.get("head_mask") is not None:
            expect("head_mask", options["head_mask"].shape == (heads,), f"({heads},)", options["head_mask"].shape)
        self.check_window(options["window"])
        self.check_dilation(options.get("dilation", 1), heads)
        self.check_scale(options.get("scale"))
        self.check_causal(bool(options.get("causal")), options.get("global_attention_mask"))
        self.check_dropout(options.pop("dropout_p", 0.0))
        return Specimen.read(self, query, key, value, **options)

    def check_rank(self, arrays: dict[str, Array]) -> None:
        for name, array in arrays.items():
            expect(name, array.ndim == 4, "4 dimensions", array.shape)

    def check_shapes(self, arrays: dict[str, Array]) -> None:
        for name, array in arrays.items():
            expect(name, array.shape == arrays["query"].shape, arrays["query"].shape, array.shape)

    def check_dtypes(self, arrays: dict[str, Array]) -> None:
        for name, array in arrays.items():
            expect(name, array.dtype.kind == "f", "a floating dtype", array.dtype)
            expect(name, array.dtype == arrays["query"].dtype, arrays["query"].dtype, array.dtype)

    def check_mask_dtype(self, name: str, mask: Array) -> None:
        expect(name, mask.dtype == np.bool_, "bool", mask.dtype)

    def check_mask_shape(self, name: str, mask: Array, shape: tuple[int, int]) -> None:
        expect(name, mask.shape == shape, shape, mask.shape)

    def check_window(self, window: Any) -> None:
        expect("window", isinstance(window, int) and window >= 0, "an int >= 0", window)

    def check_dilation(self, dilation: Any, heads: int) -> None:
        dilations = [dilation] * heads if isinstance(dilation, int) else list(dilation)
        expect("dilation", len(dilations) == heads and min(dilations) >= 1, f"an int >= 1 or {heads} of them", dilation)

    def check_scale(self, scale: float | None) -> None:
        expect("scale", scale is None or math.isfinite(scale), "a finite number", scale)

    def check_causal(self, causal: bool, flagged: Array | None) -> None:
        expect("causal", not causal or flagged is None or not flagged.any(), "no global token", causal)

    def check_dropout(self, dropout_p: float) -> None:
        expect("dropout_p", dropout_p == 0, "0 without training", dropout_p)


def expect(name: str, right: bool, wanted: object, got: object) -> None:
    """Raise the contract's ValueError unless the condition holds."""
    if not right:
        raise ValueError(f"{name}: expected {wanted}, got {got!r}")
