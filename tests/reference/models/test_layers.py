"""The reference's layers against hand-computed values and mpmath."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest

from trueband.properties.bounds import Bound, Precision
from trueband.properties.bounds.layers import gelu_bound, layer_norm_bound
from trueband.properties.results.verdict import judge
from trueband.reference.layers import erf, gelu, layer_norm, linear, lm_head, merge_heads, pooler, split_heads, weight

FLOAT64 = Precision.of("float64")
POINTS = np.array([-8.0, -3.5, -1.0, -1e-3, -1e-20, 0.0, 1e-9, 0.3, 1.0, 2.7, 9.0])


def exact_gelu(x: float) -> float:
    with mpmath.workdps(50):
        return float(mpmath.mpf(x) * mpmath.ncdf(x))


def test_erf_is_float64_accurate() -> None:
    with mpmath.workdps(50):
        expected = np.array([float(mpmath.erf(x)) for x in POINTS])
    one_unit = Bound({"unit in the last place": np.spacing(np.abs(expected))})
    assert judge(erf(POINTS), expected, one_unit).passed


def test_gelu_is_the_exact_form() -> None:
    expected = np.array([exact_gelu(x) for x in POINTS])
    verdict = judge(gelu(POINTS), expected, gelu_bound(POINTS, FLOAT64))
    assert verdict.passed, verdict


def test_the_tanh_form_of_gelu_is_rejected() -> None:
    tanh_form = POINTS * 0.5 * (1 + np.tanh(math.sqrt(2 / math.pi) * (POINTS + 0.044715 * POINTS**3)))
    expected = np.array([exact_gelu(x) for x in POINTS])
    assert not judge(tanh_form, expected, gelu_bound(POINTS, Precision.of("float32"))).passed


def test_layer_norm_by_hand() -> None:
    # mean 3, biased variance 4: (x - 3) / sqrt(4 + 5) = (-2/3, ..., 2/3); all exact but the thirds
    x = np.array([[1.0, 1.0, 5.0, 5.0]])
    state = {"n.weight": np.array([3.0, 6.0, 3.0, 6.0]), "n.bias": np.array([1.0, 0.0, 0.0, 0.0])}
    bound = layer_norm_bound(x, state["n.weight"], state["n.bias"], 5.0, FLOAT64)
    assert judge(layer_norm(state, "n", x, eps=5.0), [[-1.0, -4.0, 2.0, 4.0]], bound).passed


def test_linear_by_hand() -> None:
    state = {"d.weight": np.array([[1.0, 2.0], [0.0, -1.0], [3.0, 0.5]]), "d.bias": np.array([10.0, 0.0, 1.0])}
    assert linear(state, "d", np.array([[[1.0, 4.0]]])).tolist() == [[[19.0, -4.0, 6.0]]]


def test_heads_are_consecutive_columns() -> None:
    x = np.arange(12.0).reshape(1, 2, 6)
    heads = split_heads(x, 3)
    assert heads[0, 1].tolist() == [[2.0, 3.0], [8.0, 9.0]]
    assert np.array_equal(merge_heads(heads), x)


def test_pooler_reads_the_first_token_only() -> None:
    state = {"p.pooler.dense.weight": np.eye(2), "p.pooler.dense.bias": np.zeros(2)}
    x = np.array([[[0.5, -1.0], [7.0, 7.0]]])
    assert pooler(state, x, "p.").tolist() == [[math.tanh(0.5), math.tanh(-1.0)]]


def test_lm_head_uses_its_own_decoder_or_the_word_embeddings() -> None:
    rng = np.random.default_rng(0)
    state = {
        "lm_head.dense.weight": rng.standard_normal((4, 4)),
        "lm_head.dense.bias": rng.standard_normal(4),
        "lm_head.layer_norm.weight": np.ones(4),
        "lm_head.layer_norm.bias": np.zeros(4),
        "lm_head.bias": np.zeros(7),
        "embeddings.word_embeddings.weight": rng.standard_normal((7, 4)),
    }
    x = rng.standard_normal((1, 3, 4))
    tied = lm_head(state, x, 1e-5)
    assert tied.shape == (1, 3, 7)
    untied = state | {"lm_head.decoder.weight": 2 * state["embeddings.word_embeddings.weight"]}
    assert np.array_equal(lm_head(untied, x, 1e-5), 2 * tied)  # a factor of 2 is exact
    moved = lm_head(state | {"lm_head.bias": np.arange(7.0)}, x, 1e-5)
    assert np.array_equal(moved, tied + np.arange(7.0))


def test_a_missing_weight_is_named() -> None:
    with pytest.raises(ValueError, match=r"state: expected the key 'a\.weight', got 0 keys without it"):
        weight({}, "a.weight")
