"""The carried variance against samples: an input that really scatters makes the result scatter as predicted.

Each step is sampled with an error far above its own roundings and far below its curvature. The variance of N samples
of a normal error has a relative standard deviation of sqrt(2 / (N - 1)); 6 of them, for the hundreds of elements.
What is not carried is that the errors of different coordinates belong together after a projection: how much that is
on real weights, `docs/sigma.md` tells.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from trueband.properties.bounds import Precision
from trueband.properties.bounds.variance import (
    Moments,
    Relative,
    attention_moments,
    gelu_moments,
    known,
    layer_norm_moments,
    linear_moments,
    sum_moments,
    tanh_moments,
)

SAMPLES = 3000
LIMIT = 6 * math.sqrt(2 / (SAMPLES - 1))
FLOAT64 = Precision.of("float64")
RNG = np.random.default_rng(0)
X = RNG.standard_normal((1, 2, 6, 8))  # (b, h, n, d), or rows of 8
VARIANCE = 1e-8 * RNG.uniform(0.5, 2.0, size=X.shape)
WEIGHT, BIAS, GAIN = RNG.standard_normal((5, 8)), RNG.standard_normal(5), RNG.standard_normal(8)
KEY, VALUE = RNG.standard_normal(X.shape), RNG.standard_normal(X.shape)
VISIBLE = np.tril(np.ones((1, 2, 6, 6), dtype=bool), k=1)  # every row sees two keys at least
DISTANCES = RNG.standard_normal((6, 6, 8))
HEADS = np.array([0.5, -2.0])


def attended(query: Moments, key: Moments, value: Moments, **options: Any) -> Moments:
    return attention_moments(query, key, value, VISIBLE, 0.3, FLOAT64, **options)


Step = Callable[[Moments], Moments]
STEPS: dict[str, Step] = {
    "linear": lambda x: linear_moments(x, WEIGHT, BIAS, FLOAT64),
    "layer norm": lambda x: layer_norm_moments(x, GAIN, GAIN, 1e-5, FLOAT64),
    "gelu": lambda x: gelu_moments(x, FLOAT64),
    "sum": lambda x: sum_moments(x, known(VALUE), FLOAT64),
    "tanh": lambda x: tanh_moments(x, FLOAT64),
    "query of attention": lambda x: attended(x, known(KEY), known(VALUE)),
    "keys of attention": lambda x: attended(known(VALUE), x, known(VALUE)),
    "values of attention": lambda x: attended(known(VALUE), known(KEY), x),
    "values of weighted heads": lambda x: attended(known(VALUE), known(KEY), x, head_mask=HEADS),
    "keys of weighted heads": lambda x: attended(known(VALUE), x, known(VALUE), head_mask=HEADS),
    "query with distances": lambda x: attended(x, known(KEY), known(VALUE), relative=Relative(DISTANCES, False)),
    "keys with distances": lambda x: attended(known(VALUE), x, known(VALUE), relative=Relative(DISTANCES, False)),
    "keys of distances too": lambda x: attended(known(VALUE), x, known(VALUE), relative=Relative(DISTANCES, True)),
}


def sampled(step: Step) -> np.ndarray:
    rng = np.random.default_rng(1)
    scatter = [
        step(known(X + np.sqrt(VARIANCE) * rng.standard_normal(X.shape))).value - step(known(X)).value
        for _ in range(SAMPLES)
    ]
    return np.var(np.stack(scatter), axis=0, ddof=1)


@pytest.mark.evidence
@pytest.mark.parametrize("name", STEPS)
def test_results_scatter_as_predicted(name: str) -> None:
    ratio = sampled(STEPS[name]) / STEPS[name](Moments(X, VARIANCE)).variance
    assert (np.abs(ratio - 1) < LIMIT).all()


@pytest.mark.evidence
@pytest.mark.parametrize("name", STEPS)
def test_a_variance_that_is_not_carried_would_show(name: str) -> None:
    ratio = sampled(STEPS[name]) / STEPS[name](known(X)).variance
    assert (np.abs(ratio - 1) > LIMIT).all()


def test_a_row_without_keys_is_exact() -> None:
    nothing = np.zeros_like(VISIBLE)
    moments = attention_moments(Moments(X, VARIANCE), known(KEY), Moments(VALUE, VARIANCE), nothing, 0.3, FLOAT64)
    assert (moments.value == 0).all()
    assert (moments.variance == 0).all()
