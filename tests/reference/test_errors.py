"""What the operator refuses: the argument is named, what was expected and got is said, and no work has been done."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import trueband.reference.attention
import trueband.reference.attention_vjp
from trueband.reference import band_attention, band_attention_vjp
from trueband.reference.arguments import check_arguments

SHAPE = (2, 3, 5, 4)  # b, h, n, d


def array(shape: tuple[int, ...] = SHAPE, dtype: Any = np.float64) -> NDArray[Any]:
    return np.ones(shape, dtype=dtype)


def flags(shape: tuple[int, ...] = (2, 5)) -> NDArray[np.bool_]:
    return np.ones(shape, dtype=bool)


# argument: {what is wrong with it: (value, the exception)}. Other arguments stay right.
TENSOR: dict[str, tuple[Any, type[Exception]]] = {
    "rank": (array(SHAPE[1:]), ValueError),
    "rank, as far as it goes": (array(SHAPE[:3]), ValueError),
    "an axis more": (array((*SHAPE, 1)), ValueError),
    "batch of another size": (array((1, 3, 5, 4)), ValueError),
    "larger batch": (array((3, 3, 5, 4)), ValueError),
    "heads of another number": (array((2, 2, 5, 4)), ValueError),
    "no heads": (array((2, 0, 5, 4)), ValueError),
    "no tokens": (array((2, 3, 0, 4)), ValueError),
    "no head_dim": (array((2, 3, 5, 0)), ValueError),
    "narrower dtype": (array(dtype=np.float32), TypeError),
    "wider dtype": (array(dtype=np.longdouble), TypeError),
    "integers": (array(dtype=np.int64), TypeError),
    "bool": (array(dtype=np.bool_), TypeError),
    "complex": (array(dtype=np.complex128), TypeError),
    "list": (array().tolist(), TypeError),
}
OTHER_SIZES = {
    "one head": (array((2, 1, 5, 4)), ValueError),
    "tokens of another number": (array((2, 3, 1, 4)), ValueError),
}
HEAD_DIM = {"head_dim of another size": (array((2, 3, 5, 1)), ValueError)}
PER_HEAD: dict[str, tuple[Any, type[Exception]]] = {
    "rank": (np.ones((1, 3)), ValueError),
    "too few": (np.ones(1), ValueError),
    "too many": (np.ones(4), ValueError),
    "integers": (np.ones(3, dtype=np.int64), TypeError),
    "bool": (np.ones(3, dtype=bool), TypeError),
    "list": ([1.0, 1.0, 1.0], TypeError),
}
MASK: dict[str, tuple[Any, type[Exception]]] = {
    "integers": (flags().astype(np.int64), TypeError),
    "floats": (flags().astype(np.float64), TypeError),
    "dates": (flags().astype(np.int64).astype("datetime64[D]"), TypeError),
    "list": (flags().tolist(), TypeError),
    "(b, 1)": (flags((2, 1)), ValueError),
    "(1, n)": (flags((1, 5)), ValueError),
    "(n,)": (flags((5,)), ValueError),
    "(b, 1, 1, n)": (flags((2, 1, 1, 5)), ValueError),
    "transposed": (flags((5, 2)), ValueError),
}
REFUSED: dict[str, dict[str, tuple[Any, type[Exception]]]] = {
    "query": {
        "rank": (array(SHAPE[1:]), ValueError),
        "rank 5": (array((1, *SHAPE)), ValueError),
        "no batch": (array((0, 3, 5, 4)), ValueError),
        "no tokens": (array((2, 3, 0, 4)), ValueError),
        "integers": (array(dtype=np.int64), TypeError),
        "bool": (array(dtype=np.bool_), TypeError),
        "complex": (array(dtype=np.complex128), TypeError),
        "list": (array().tolist(), TypeError),
        "None": (None, TypeError),
    },
    "key": {**TENSOR, **HEAD_DIM, "None": (None, TypeError)},
    "value": {**TENSOR, **OTHER_SIZES, "None": (None, TypeError)},
    "query_global": {**TENSOR, **OTHER_SIZES, **HEAD_DIM},
    "key_global": {**TENSOR, **OTHER_SIZES, **HEAD_DIM},
    "value_global": {**TENSOR, **OTHER_SIZES, **HEAD_DIM},
    "attention_mask": MASK,
    "global_attention_mask": MASK,
    "window": {
        "negative": (-1, ValueError),
        "float": (2.0, TypeError),
        "bool": (True, TypeError),
        "None": (None, TypeError),
        "string": ("2", TypeError),
        "one limit": ((1,), ValueError),
        "three limits": ([1, 2, 3], ValueError),
        "no limits": ((), ValueError),
        "negative to the left": ((-1, 0), ValueError),
        "negative to the right": ((0, -1), ValueError),
        "bool in a pair": ((1, True), TypeError),
        "float in a pair": ((1.0, 1), TypeError),
        "array": (np.array([1, 1]), TypeError),
    },
    "dilation": {
        "zero": (0, ValueError),
        "negative": (-1, ValueError),
        "zero for one head": ((1, 0, 1), ValueError),
        "too few": ((1, 2), ValueError),
        "too many": ([1, 2, 3, 4], ValueError),
        "float": (1.0, TypeError),
        "float for one head": ((1, 2.0, 1), TypeError),
        "bool": (True, TypeError),
        "None": (None, TypeError),
    },
    "causal": {"integer": (1, TypeError), "None": (None, TypeError), "array": (flags(), TypeError)},
    "head_mask": PER_HEAD,
    "sinks": PER_HEAD,
    "slopes": PER_HEAD,
    "softcap": {
        "zero": (0.0, ValueError),
        "negative": (-1.0, ValueError),
        "nan": (np.nan, ValueError),
        "inf": (np.inf, ValueError),
        "beyond float64": (10**400, ValueError),
        "string": ("1", TypeError),
        "bool": (True, TypeError),
        "array": (np.ones(1), TypeError),
    },
    "offset": {
        "float": (1.0, TypeError),
        "bool": (True, TypeError),
        "None": (None, TypeError),
        "list": ([0, 0], TypeError),
        "floats": (np.zeros(2), TypeError),
        "int32": (np.zeros(2, dtype=np.int32), TypeError),
        "unsigned": (np.zeros(2, dtype=np.uint64), TypeError),
        "bools": (np.zeros(2, dtype=bool), TypeError),
        "too few": (np.zeros(1, dtype=np.int64), ValueError),
        "too many": (np.zeros(3, dtype=np.int64), ValueError),
        "of each query": (np.zeros((2, 5), dtype=np.int64), ValueError),
        "no axis": (np.zeros((), dtype=np.int64), ValueError),
        "beyond int64": (2**62 + 1, ValueError),
        "before int64": (-(2**62) - 1, ValueError),
        "of one sequence beyond int64": (np.array([0, 2**62 + 1]), ValueError),
        "of one sequence before int64": (np.array([-(2**62) - 1, 0]), ValueError),
    },
    "segments": {
        "floats": (np.zeros((2, 5)), TypeError),
        "bool": (flags(), TypeError),
        "list": ([[0] * 5] * 2, TypeError),
        "(b, 1)": (np.zeros((2, 1), dtype=np.int64), ValueError),
        "(n,)": (np.zeros(5, dtype=np.int64), ValueError),
        "transposed": (np.zeros((5, 2), dtype=np.int64), ValueError),
    },
    "return_lse": {"integer": (1, TypeError), "None": (None, TypeError)},
    "scale": {
        "nan": (np.nan, ValueError),
        "inf": (np.inf, ValueError),
        "-inf": (-np.inf, ValueError),
        "beyond float64": (10**400, ValueError),
        "string": ("1", TypeError),
        "bool": (True, TypeError),
        "array": (np.ones(1), TypeError),
    },
    "dropout_p": {"above 0": (0.1, ValueError), "nan": (np.nan, ValueError), "string": ("0", TypeError)},
}
ROWS = [(argument, what) for argument, rows in REFUSED.items() for what in rows]


def call(operator: Callable[..., Any], **arguments: Any) -> Any:
    given = {"query": array(), "key": array(), "value": array(), "window": 1, **arguments}
    return operator(given.pop("query"), given.pop("key"), given.pop("value"), **given)


def vjp(query: Any, key: Any, value: Any, **options: Any) -> Any:
    return band_attention_vjp(query, key, value, array(), **options)


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any work at all fails the test."""

    def worked(*_: Any) -> None:
        raise AssertionError("work was done before the arguments were checked")

    for module in (trueband.reference.attention, trueband.reference.attention_vjp):
        for name in ("local_rows", "global_rows"):
            monkeypatch.setattr(module, name, worked)


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize("operator", [band_attention, vjp])
@pytest.mark.parametrize(("argument", "what"), ROWS)
def test_refused(argument: str, what: str, operator: Callable[..., Any]) -> None:
    value, exception = REFUSED[argument][what]
    with pytest.raises(exception, match=rf"^{argument}: expected .+, got .+"):
        call(operator, **{argument: value})


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize("what", REFUSED["query_global"])
def test_grad_output_refused(what: str) -> None:
    value, exception = REFUSED["query_global"][what]
    with pytest.raises(exception, match=r"^grad_output: expected .+, got .+"):
        band_attention_vjp(array(), array(), array(), value, window=1)


MESSAGES: list[tuple[dict[str, Any], str]] = [
    ({"key": array((2, 2, 5, 4))}, "key: expected a number of heads that divides the 3 of query, got 2"),
    ({"key": array((2, 3, 5))}, "key: expected shape (2, key heads, keys, 4), got (2, 3, 5)"),
    (
        {"query_global": array((2, 3, 1, 4))},
        "query_global: expected the shape of query (2, 3, 5, 4), got (2, 3, 1, 4)",
    ),
    (
        {"segments": flags().astype(int), "offset": 1},
        "offset: expected queries at tokens 0..4 with segments (not defined beyond them), got 1..5",
    ),
    (
        {"offset": np.array([0, -1]), "global_attention_mask": flags()},
        "offset: expected 0 with global tokens in global_attention_mask (not defined), got [0, -1]",
    ),
]


@pytest.mark.parametrize(("arguments", "message"), MESSAGES)
def test_messages_say_what_was_expected_and_got(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=rf"^{re.escape(message)}$"):
        call(band_attention, **arguments)


GRAD_LSE: dict[str, tuple[Any, type[Exception]]] = {
    "of the output": (array(), ValueError),
    "of one sequence": (np.ones((1, 3, 5)), ValueError),
    "integers": (np.ones((2, 3, 5), dtype=np.int64), TypeError),
    "list": (np.ones((2, 3, 5)).tolist(), TypeError),
}


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize("what", GRAD_LSE)
def test_grad_lse_refused(what: str) -> None:
    value, exception = GRAD_LSE[what]
    with pytest.raises(exception, match=r"^grad_lse: expected .+, got .+"):
        call(vjp, grad_lse=value)


# What is not defined: (the arguments, the one that is named first, the other one).
TOGETHER: dict[str, tuple[dict[str, Any], str, str]] = {
    "causal with globals": ({"causal": True, "global_attention_mask": flags()}, "causal", "global_attention_mask"),
    "fewer queries with globals": (
        {"query": array((2, 3, 4, 4)), "global_attention_mask": flags()},
        "query",
        "global_attention_mask",
    ),
    "more queries with globals": (
        {"query": array((2, 3, 6, 4)), "global_attention_mask": flags()},
        "query",
        "global_attention_mask",
    ),
    "offset with globals": ({"offset": 1, "global_attention_mask": flags()}, "offset", "global_attention_mask"),
    "offset of one sequence with globals": (
        {"offset": np.array([0, -1]), "global_attention_mask": flags()},
        "offset",
        "global_attention_mask",
    ),
    "segments with globals": (
        {"segments": flags().astype(int), "global_attention_mask": flags()},
        "segments",
        "global_attention_mask",
    ),
    "sinks with globals": ({"sinks": np.ones(3), "global_attention_mask": flags()}, "sinks", "global_attention_mask"),
    "slopes with globals": (
        {"slopes": np.ones(3), "global_attention_mask": flags()},
        "slopes",
        "global_attention_mask",
    ),
    "slopes with dilation": ({"slopes": np.ones(3), "dilation": 2}, "slopes", "dilation"),
    "slopes with dilation of one head": ({"slopes": np.ones(3), "dilation": (1, 1, 2)}, "slopes", "dilation"),
    "segments with queries after the last": ({"segments": flags().astype(int), "offset": 1}, "offset", "segments"),
    "segments with all queries far behind": ({"segments": flags().astype(int), "offset": 9}, "offset", "segments"),
    "segments with queries before the first": (
        {"segments": flags().astype(int), "offset": np.array([0, -1])},
        "offset",
        "segments",
    ),
}


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize("operator", [band_attention, vjp])
@pytest.mark.parametrize("what", TOGETHER)
def test_what_is_not_defined_names_both(what: str, operator: Callable[..., Any]) -> None:
    arguments, first, second = TOGETHER[what]
    with pytest.raises(ValueError, match=rf"^{first}: expected .*{second} .*not defined.*, got .+"):
        call(operator, **arguments)


@pytest.mark.usefixtures("no_work")
def test_the_guard_against_work_sees_it() -> None:
    with pytest.raises(AssertionError, match="work was done"):
        call(band_attention)


# fmt: off
ACCEPTED: dict[str, dict[str, Any]] = {
    "nothing else": {},
    "numpy integers": {"window": np.int64(1), "dilation": (np.int32(1), 2, np.int64(3))},
    "numpy bool": {"causal": np.bool_(True)},
    "numpy scale": {"scale": np.float32(0.5)},
    "integer scale": {"scale": 1},
    "negative scale": {"scale": -1.0},
    "scale 0": {"scale": 0.0},
    "single precision head mask": {"head_mask": np.ones(3, dtype=np.float32)},
    "causal without a flag": {"causal": True, "global_attention_mask": ~flags()},
    "causal with flags on masked tokens": {
        "causal": True,
        "global_attention_mask": flags(),
        "attention_mask": ~flags(),
    },
    "window wider than the sequence": {"window": 1000},
    "the farthest offsets": {"offset": np.array([2**62, -(2**62)])},
    "numpy offset": {"offset": np.int32(1)},
    "slopes with a dilation of 1": {"slopes": np.ones(3), "dilation": (1, 1, 1)},
    "offsets of 0 with globals": {"offset": np.zeros(2, dtype=np.int64), "global_attention_mask": flags()},
    "all with flags on masked tokens": {
        "offset": 3, "sinks": np.ones(3), "slopes": np.ones(3), "global_attention_mask": flags(),
        "attention_mask": ~flags(),
    },
    "segments of unsigned integers": {"segments": np.zeros((2, 5), dtype=np.uint8)},
    "single precision sinks and slopes": {"sinks": np.ones(3, np.float32), "slopes": np.ones(3, np.float16)},
    "integer softcap": {"softcap": 30},
    "numpy softcap": {"softcap": np.float32(0.5)},
    "numpy flag of lse": {"return_lse": np.bool_(True)},
    "a dtype that says more of itself": {"key": array(dtype=np.dtype(np.float64, metadata={"unit": "mV"}))},
}
# fmt: on


@pytest.mark.parametrize("operator", [band_attention, vjp])
@pytest.mark.parametrize("what", ACCEPTED)
def test_accepted(what: str, operator: Callable[..., Any]) -> None:
    assert np.isfinite(call(operator, **ACCEPTED[what])[0]).all()


def test_a_broadcast_mask_shape_is_accepted_where_it_is_the_true_shape() -> None:
    one = array((1, 3, 1, 4))
    assert band_attention(one, one, one, window=1, attention_mask=flags((1, 1))).output.shape == (1, 3, 1, 4)


@pytest.mark.parametrize("function", [band_attention, check_arguments])
def test_tensors_may_be_named_and_options_must_be(function: Callable[..., Any]) -> None:
    """Named wrong implementation: `/` in place of `*` in the signature."""
    assert function(query=array(), key=array(), value=array(), window=1) is not None
    with pytest.raises(TypeError, match="positional"):
        function(array(), array(), array(), 1)


def test_a_dilation_for_each_of_many_heads() -> None:
    x = array((1, 300, 2, 1))
    assert np.array_equal(band_attention(x, x, x, window=1, dilation=(1,) * 300).output, x)


def test_many_tokens_with_a_global_one() -> None:
    x = array((1, 1, 300, 1))
    mask = np.arange(300)[None] == 7
    assert (band_attention(x, x, x, window=1, global_attention_mask=mask).probabilities[0, 0, 7] > 0).all()


def test_how_far_a_row_sees() -> None:
    """In tokens, by the head that sees farthest."""
    x = array((1, 2, 5, 1))
    both = check_arguments(x, x, x, window=2, dilation=(1, 3))
    right = check_arguments(x, x, x, window=(None, 4), dilation=2)
    causal = check_arguments(x, x, x, window=2, causal=True)
    assert (both.limits, both.reach) == ((2, 2), (6, 6))
    assert (right.limits, right.reach) == ((None, 4), (math.inf, 8))
    assert (causal.limits, causal.reach) == ((2, 0), (2, 0))


def test_checked_arguments_stay_as_they_are() -> None:
    arguments = check_arguments(array(), array(), array(), window=1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        arguments.window = 2  # type: ignore[misc]
