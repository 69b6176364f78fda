"""A token changes the rows that read it and no others: bit for bit for finite numbers; NaN and Inf stay local, too."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from trueband.properties.bounds import Precision, attention_bound
from trueband.properties.results.verdict import judge
from trueband.reference import band_attention
from trueband.reference.arguments import check_arguments

Array = NDArray[Any]
KINDS = ("query", "key", "value", "query_global", "key_global", "value_global")
NAMES = ("globals", "everything at once", "dilation of each head", "causal", "window 0")
SHARED = ("left and right", "grouped heads", "segments", "softcap", "sinks")
TRIED = [(name, kind) for names, kinds in ((NAMES, KINDS), (SHARED, KINDS[:3])) for name in names for kind in kinds]


def output(example: Any) -> Array:
    return band_attention(*example.positional, **example.keywords).output


def storing(example: Any, kind: str, token: int, number: float) -> Any:
    """The example with a number in one input of one token of the first row of the batch."""
    changed = example.inputs[kind].copy()
    changed[0, :, token] = number
    return dataclasses.replace(example, inputs={**example.inputs, kind: changed})


@pytest.fixture
def readers(contract_keys: Callable[[Any, int, int, int], list[int]]) -> Callable[[Any, str, int], Array]:
    """(b, h, n) table: the rows that read one input of a token of the first row of the batch, by the contract."""

    def of(example: Any, kind: str, token: int) -> Array:
        shape = example.inputs["query"].shape[:3]
        is_global = check_arguments(*example.positional, **example.keywords).is_global
        table = np.zeros(shape, dtype=bool)
        for h, i in np.ndindex(*shape[1:]):
            of_this_kind = kind.endswith("_global") == bool(is_global[0, i])
            keys = contract_keys(example, 0, h, i)
            table[0, h, i] = of_this_kind and (token in keys) and (i == token or "query" not in kind)
        return table

    return of


@pytest.mark.parametrize(("name", "kind"), TRIED)
def test_a_finite_number(
    name: str, kind: str, examples: dict[str, Any], readers: Callable[[Any, str, int], Array]
) -> None:
    example = examples[name]
    before = output(example)
    for token in range(example.inputs["query"].shape[2]):
        changed = (output(storing(example, kind, token, 1e3)) != before).any(axis=-1)
        assert not (changed & ~readers(example, kind, token)).any()
        if "value" in kind:  # a weight is never 0 here: whoever reads it, changes
            assert np.array_equal(changed, readers(example, kind, token))


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("name", "kind"), TRIED)
def test_a_number_that_is_not_finite(
    name: str, kind: str, number: float, examples: dict[str, Any], readers: Callable[[Any, str, int], Array]
) -> None:
    example = examples[name]
    before = output(example)
    bound = attention_bound(check_arguments(*example.positional, **example.keywords), Precision.of("float64"))
    for token in range(example.inputs["query"].shape[2]):
        after = output(storing(example, kind, token, number))
        reading = readers(example, kind, token)
        # An infinite query or key can make the score -inf, and exp(-inf) = 0 is a weight like any other.
        if np.isnan(number) or "value" in kind:
            assert not np.isfinite(after[reading]).any()
        verdict = judge(after[~reading], before[~reading], (bound + bound).at(~reading))
        assert verdict.passed, str(verdict)


def zero_times_everything(example: Any) -> Array:
    """Wrong: the probabilities of unattended keys are 0, but 0 * NaN is NaN."""
    probabilities = band_attention(*example.positional, **example.keywords).probabilities
    with np.errstate(invalid="ignore"):
        return np.asarray(probabilities @ example.inputs["value"])


def test_zero_times_nan_is_rejected(examples: dict[str, Any], readers: Callable[[Any, str, int], Array]) -> None:
    example = examples["causal"]
    apart = ~readers(example, "value", 0)
    after = zero_times_everything(storing(example, "value", 0, np.nan))
    bound = attention_bound(check_arguments(*example.positional, **example.keywords), Precision.of("float64"))
    assert not judge(after[apart], output(example)[apart], (bound + bound).at(apart)).passed
