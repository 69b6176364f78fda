"""Decoding a mask: with queries 0 every attended key weighs 1/n_i, and one-hot values count the keys by their digit."""

from __future__ import annotations

import numpy as np

from trueband.properties.inputs import Inputs

DIGITS = 32


def decoding_inputs(inputs: Inputs, digit: int = 0) -> Inputs:
    """The same structure with queries 0 and values that are one-hot in a digit (base 32) of the position.

    With projections of their own, rows of global tokens find their count in a second half of the channels: which
    table a row has read can be seen.
    """
    batch, heads, tokens, _ = inputs.shape
    separate = "value_global" in inputs.arrays
    channels = DIGITS * (2 if separate else 1)
    number = (np.arange(tokens) // DIGITS**digit) % DIGITS
    one_hot = np.zeros((batch, heads, tokens, channels))
    one_hot[:, :, np.arange(tokens), number] = 1.0
    arrays = {"query": np.zeros_like(one_hot), "key": np.ones_like(one_hot), "value": one_hot}
    if separate:
        arrays |= {
            "query_global": np.zeros_like(one_hot),
            "key_global": np.ones_like(one_hot),
            "value_global": np.roll(one_hot, DIGITS, axis=-1),
        }
    return inputs.with_arrays(**arrays)


def countable(output: np.ndarray, inputs: Inputs, counts: np.ndarray) -> np.ndarray:
    """Counts of keys, rounded off the output, where its bound tells one count from the next; elsewhere the expected.

    With the contract's sums it always does. A target that declares narrower ones is judged by the bound alone there.
    """
    keys = inputs.visible.sum(axis=-1, keepdims=True)
    apart = inputs.bound.total * keys < 0.5
    return np.where(apart, np.rint(output * keys), counts)


def expected_counts(inputs: Inputs) -> np.ndarray:
    """(b, h, n, channels): how many attended keys have each digit, exactly."""
    value = inputs.arrays["value"]
    value_global = inputs.arrays.get("value_global", value)
    visible = inputs.visible.astype(float)
    rows_global = inputs.is_global[:, None, :, None]
    return np.where(rows_global, visible @ value_global, visible @ value)
