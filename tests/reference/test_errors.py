"""What the operator refuses: the argument is named, what was expected and got is said, and no work has been done."""

from __future__ import annotations

import dataclasses
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
    "batch of another size": (array((1, 3, 5, 4)), ValueError),
    "heads of another number": (array((2, 1, 5, 4)), ValueError),
    "tokens of another number": (array((2, 3, 1, 4)), ValueError),
    "head_dim of another size": (array((2, 3, 5, 1)), ValueError),
    "narrower dtype": (array(dtype=np.float32), TypeError),
    "wider dtype": (array(dtype=np.longdouble), TypeError),
    "integers": (array(dtype=np.int64), TypeError),
    "bool": (array(dtype=np.bool_), TypeError),
    "complex": (array(dtype=np.complex128), TypeError),
    "list": (array().tolist(), TypeError),
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
    "key": {**TENSOR, "None": (None, TypeError)},
    "value": {**TENSOR, "None": (None, TypeError)},
    "query_global": TENSOR,
    "key_global": TENSOR,
    "value_global": TENSOR,
    "attention_mask": MASK,
    "global_attention_mask": MASK,
    "window": {
        "negative": (-1, ValueError),
        "float": (2.0, TypeError),
        "bool": (True, TypeError),
        "None": (None, TypeError),
        "string": ("2", TypeError),
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
    "head_mask": {
        "rank": (np.ones((1, 3)), ValueError),
        "too few": (np.ones(1), ValueError),
        "too many": (np.ones(4), ValueError),
        "integers": (np.ones(3, dtype=np.int64), TypeError),
        "bool": (np.ones(3, dtype=bool), TypeError),
        "list": ([1.0, 1.0, 1.0], TypeError),
    },
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
@pytest.mark.parametrize("what", REFUSED["key"])
def test_grad_output_refused(what: str) -> None:
    value, exception = REFUSED["key"][what]
    with pytest.raises(exception, match=r"^grad_output: expected .+, got .+"):
        band_attention_vjp(array(), array(), array(), value, window=1)


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize("operator", [band_attention, vjp])
def test_causal_with_global_tokens_refused(operator: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match=r"^causal: expected .+, got True"):
        call(operator, causal=True, global_attention_mask=flags())


@pytest.mark.usefixtures("no_work")
def test_the_guard_against_work_sees_it() -> None:
    with pytest.raises(AssertionError, match="work was done"):
        call(band_attention)


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
    "a dtype that says more of itself": {"key": array(dtype=np.dtype(np.float64, metadata={"unit": "mV"}))},
}


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


def test_checked_arguments_stay_as_they_are() -> None:
    arguments = check_arguments(array(), array(), array(), window=1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        arguments.window = 2  # type: ignore[misc]
