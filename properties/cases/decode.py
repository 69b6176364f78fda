"""Decoding a mask: with queries 0 every attended key weighs 1/n_i, and one-hot values count the keys by their digit."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from trueband.properties.cases.inputs import Inputs
from trueband.properties.cases.limits import Limits, NotTaken

DIGITS = 32


def base_of(inputs: Inputs, limits: Limits) -> int:
    """How many digits there are: 32, or as many as the largest head_dim that is taken has room for."""
    tables = 2 if "value_global" in inputs.arrays else 1
    base = min(DIGITS, limits.fit("head_dim", DIGITS * tables) // tables)
    if base < 2:
        raise NotTaken("head_dim for two digits")
    return base


def digits_of(inputs: Inputs, limits: Limits) -> Iterator[int]:
    """The digits that tell all positions apart."""
    base = base_of(inputs, limits)
    for digit in itertools.count():
        yield digit
        if base ** (digit + 1) >= inputs.real.shape[1]:
            return


def decoding_inputs(inputs: Inputs, limits: Limits, digit: int = 0) -> Inputs:
    """The same structure with queries 0 and values that are one-hot in a digit of the position.

    With projections of their own, rows of global tokens find their count in a second table of the channels: which
    table a row has read can be seen. Channels that a declared head_dim has beyond are 0.
    """
    batch, key_heads, tokens, _ = inputs.arrays["key"].shape
    base, separate = base_of(inputs, limits), "value_global" in inputs.arrays
    channels = limits.fit("head_dim", base * (2 if separate else 1))
    number = (np.arange(tokens) // base**digit) % base
    one_hot = np.zeros((batch, key_heads, tokens, channels))
    one_hot[:, :, np.arange(tokens), number] = 1.0
    queries = np.zeros((*inputs.shape[:3], channels))
    arrays = {"query": queries, "key": np.ones_like(one_hot), "value": one_hot}
    if separate:
        arrays |= {
            "query_global": queries,
            "key_global": np.ones_like(one_hot),
            "value_global": np.roll(one_hot, base, axis=-1),
        }
    return inputs.with_arrays(**arrays)


def shares_by_digit(output: np.ndarray, base: int) -> np.ndarray:
    """(..., base): what a row has of each digit, of both tables together."""
    tables = output.shape[-1] // base
    both = output[..., : tables * base].reshape(*output.shape[:-1], tables, base)
    return np.asarray(both.sum(axis=-2))


def countable(output: np.ndarray, inputs: Inputs, counts: np.ndarray) -> np.ndarray:
    """Counts of keys, rounded off the output, where its bound tells one count from the next; elsewhere the expected.

    With the contract's sums it always does. A target that declares narrower ones is judged by the bound alone there.
    """
    keys = inputs.visible.sum(axis=-1, keepdims=True)
    apart = inputs.bound.total * keys < 0.5
    return np.where(apart, np.rint(output * keys), counts)


def expected_counts(inputs: Inputs) -> np.ndarray:
    """(b, h, m, channels): how many attended keys have each digit, exactly."""
    value = inputs.of_query_heads("value")
    value_global = inputs.of_query_heads("value_global") if "value_global" in inputs.arrays else value
    visible = inputs.visible.astype(float)
    rows_global = inputs.global_rows[:, None, :, None]
    return np.where(rows_global, visible @ value_global, visible @ value)
