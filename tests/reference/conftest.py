"""The operator once more, for checking the reference: plain loops over the contract's sentences, 50 digits (mpmath).

Nothing is shared with the reference: no masks, no arrays of scores, no shift by the row maximum.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import mpmath
import numpy as np
import pytest
from numpy.typing import NDArray

Array = NDArray[Any]
DIGITS = 50
INPUTS = ("query", "key", "value", "query_global", "key_global", "value_global")


@dataclass(frozen=True)
class Example:
    """One call of the operator: the six inputs (b, h or k, m or n, d or e), and the other arguments."""

    inputs: dict[str, Array]
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def positional(self) -> tuple[Array, Array, Array]:
        return self.inputs["query"], self.inputs["key"], self.inputs["value"]

    @property
    def keywords(self) -> dict[str, Any]:
        own = {name: array for name, array in self.inputs.items() if name.endswith("_global")}
        return {**own, **self.options}


def draw(
    name: str,
    seed: int,
    shape: tuple[int, int, int, int],
    separate: bool = True,
    key_heads: int | None = None,
    keys: int | None = None,
    value_dim: int | None = None,
    **options: Any,
) -> Example:
    """Normal random inputs, of queries (b, h, m, d). `separate`: the rows of global tokens have inputs of their own."""
    rng = np.random.default_rng([seed, *name.encode()])
    batch, heads, queries, head_dim = shape
    of_keys = (batch, key_heads or heads, keys or queries, head_dim)
    shapes = {"query": shape, "key": of_keys, "value": (*of_keys[:3], value_dim or head_dim)}
    names = INPUTS if separate else INPUTS[:3]
    return Example({each: rng.normal(size=shapes[each.removesuffix("_global")]) for each in names}, options)


def flags(*rows: str) -> NDArray[np.bool_]:
    """A (b, n) mask: one string for each row of the batch, "x" for True."""
    return np.array([[letter == "x" for letter in row] for row in rows])


EXAMPLES = {
    "one token": draw("one token", 1, (1, 1, 1, 1), window=0),
    "window": draw("window", 2, (1, 2, 8, 3), window=2),
    "window 0": draw("window 0", 3, (1, 1, 5, 2), window=0),
    "window wider than the sequence": draw("wide", 4, (1, 1, 4, 2), window=9),
    "causal": draw("causal", 5, (1, 2, 7, 2), window=3, causal=True),
    "dilation": draw("dilation", 6, (1, 1, 8, 2), window=2, dilation=2),
    "dilation of each head": draw("dilations", 7, (1, 3, 8, 2), window=2, dilation=(1, 2, 3)),
    "padding": draw("padding", 8, (3, 1, 6, 2), window=2, attention_mask=flags("xxxxxx", "xxxx..", "..xx.x")),
    "globals": draw("globals", 9, (2, 1, 7, 2), window=1, global_attention_mask=flags("x..x...", ".......")),
    "globals inside the window": draw("near", 10, (1, 1, 6, 2), window=3, global_attention_mask=flags(".xx...")),
    "globals without inputs of their own": draw(
        "shared", 11, (1, 1, 6, 2), separate=False, window=1, global_attention_mask=flags("..x...")
    ),
    "all tokens global": draw("all global", 12, (1, 1, 4, 2), window=1, global_attention_mask=flags("xxxx")),
    "a global flag on a masked token": draw(
        "dropped", 13, (1, 1, 6, 2), window=1, attention_mask=flags("xxxx.."), global_attention_mask=flags("x...x.")
    ),
    "head mask": draw(
        "head mask", 14, (1, 3, 5, 2), window=1, global_attention_mask=flags("..x.."), head_mask=np.array([0.0, 1, 0.3])
    ),
    "scale": draw("scale", 15, (1, 1, 6, 2), window=2, scale=-1.7),
    "a fully masked sequence": draw("masked", 16, (2, 1, 4, 2), window=1, attention_mask=flags("....", "xxx.")),
    "everything at once": draw(
        "everything",
        17,
        (2, 2, 8, 3),
        window=1,
        dilation=[2, 1],
        head_mask=np.array([0.5, -2.0]),
        scale=0.4,
        attention_mask=flags("xxxxxx..", ".xxxxxxx"),
        global_attention_mask=flags("x......x", "x..xx..."),
    ),
    "grouped heads": draw("grouped", 18, (1, 4, 3, 2), separate=False, key_heads=2, window=1, causal=True),
    "one head of keys and globals": draw(
        "one head", 19, (1, 2, 4, 2), key_heads=1, window=1, global_attention_mask=flags("x...")
    ),
    "left and right": draw("pair", 20, (1, 2, 5, 2), separate=False, window=(2, 1), dilation=(1, 2)),
    "no limit to the left": draw("left", 21, (1, 1, 5, 2), separate=False, window=(None, 0)),
    "no limit to the right": draw("right", 22, (1, 1, 5, 2), separate=False, window=[1, None]),
    "causal, whatever is right of it": draw("both", 23, (1, 1, 5, 2), separate=False, window=(1, None), causal=True),
    "fewer queries than keys": draw(
        "fewer", 24, (2, 1, 2, 2), separate=False, keys=5, window=1, offset=3, attention_mask=flags("xxxxx", "..xx.")
    ),
    "more queries than keys": draw("more", 25, (1, 1, 6, 2), separate=False, keys=3, window=(1, 1), offset=-2),
    "an offset for each sequence": draw(
        "offsets",
        26,
        (3, 1, 2, 2),
        separate=False,
        keys=4,
        window=1,
        causal=True,
        dilation=2,
        offset=np.array([2, -1, 4]),
    ),
    "segments": draw(
        "segments",
        27,
        (2, 1, 5, 2),
        separate=False,
        window=(2, 1),
        segments=np.array([[0, 0, 7, 7, 7], [3, 1, 1, 3, 3]]),
        attention_mask=flags("xxxx.", "xxxxx"),
    ),
    "segments, later queries": draw(
        "later",
        28,
        (1, 1, 2, 2),
        separate=False,
        keys=5,
        window=(None, 0),
        offset=2,
        segments=np.array([[0, 1, 1, 1, 2]]),
    ),
    "softcap": draw("softcap", 29, (1, 2, 4, 3), separate=False, window=2, softcap=0.7, scale=1.3, return_lse=True),
    "softcap with globals": draw(
        "capped globals",
        30,
        (1, 1, 4, 2),
        window=(1, 0),
        softcap=1.5,
        value_dim=3,
        return_lse=True,
        global_attention_mask=flags(".x.."),
    ),
    "sinks": draw(
        "sinks",
        31,
        (2, 2, 3, 2),
        separate=False,
        window=1,
        causal=True,
        sinks=np.array([0.3, -2.0]),
        return_lse=True,
        attention_mask=flags("xxx", ".xx"),
        head_mask=np.array([0.5, -2.0]),
    ),
    "slopes": draw(
        "slopes", 32, (1, 2, 4, 2), separate=False, window=(3, 1), slopes=np.array([0.5, 0.0625]), return_lse=True
    ),
    "lse": draw(
        "lse", 33, (2, 1, 4, 2), separate=False, window=1, attention_mask=flags("xxxx", "x.x."), return_lse=True
    ),
    "all that is new": draw(
        "new",
        34,
        (2, 4, 3, 3),
        separate=False,
        keys=4,
        key_heads=2,
        value_dim=2,
        window=(2, None),
        scale=0.9,
        offset=np.array([1, 3]),
        softcap=1.1,
        sinks=np.array([0.2, -1.0, 2.0, 0.0]),
        return_lse=True,
        slopes=np.array([0.5, 0.25, 0.0, -0.125]),
        attention_mask=flags("x.xx", "xxxx"),
        head_mask=np.array([1.0, 0.5, -1.0, 2.0]),
    ),
}


def token_of(example: Example, b: int, i: int) -> int:
    """The token that a query stands at."""
    offset = example.options.get("offset", 0)
    return i + (offset if isinstance(offset, int) else int(offset[b]))


def attended(example: Example, b: int, h: int, i: int) -> list[int]:
    """The keys of a row, by the contract; none for a masked token."""
    options, n, at = example.options, example.inputs["key"].shape[2], token_of(example, b, i)
    dilation = options.get("dilation", 1)
    dilation = dilation if isinstance(dilation, int) else dilation[h]
    window, segments = options["window"], options.get("segments")
    left, right = (window, window) if isinstance(window, int) else window

    def real(j: int) -> bool:
        return options.get("attention_mask") is None or bool(options["attention_mask"][b, j])

    def in_window(j: int) -> bool:
        steps, between = divmod(j - at, dilation)
        near = (left is None or steps >= -left) and (right is None or steps <= right)
        return between == 0 and near and not (options.get("causal", False) and j > at)

    def same_document(j: int) -> bool:
        return segments is None or bool(segments[b, j] == segments[b, at])

    if 0 <= at < n and not real(at):
        return []
    if is_global(example, b, i):
        return [j for j in range(n) if real(j)]
    return [j for j in range(n) if real(j) and same_document(j) and (in_window(j) or is_global(example, b, j))]


def is_global(example: Example, b: int, i: int) -> bool:
    """A token with a global flag that is not masked."""
    flagged, real = (example.options.get(name) for name in ("global_attention_mask", "attention_mask"))
    return flagged is not None and bool(flagged[b, i]) and (real is None or bool(real[b, i]))


@mpmath.workdps(DIGITS)
def exactly(example: Example) -> tuple[Array, Array]:
    """(b, h, m, e) and (b, h, m) arrays of mpf: output and lse in 50 digits. Works on inputs of float64 or of mpf."""
    shape, (_, key_heads, n, value_dim) = example.inputs["query"].shape, example.inputs["value"].shape
    names = ("head_mask", "scale", "softcap", "sinks", "slopes", "attention_mask")
    head_mask, scale, softcap, sinks, slopes, real = (example.options.get(name) for name in names)
    output = np.full((*shape[:3], value_dim), mpmath.mpf(0), dtype=object)
    lse = np.full(shape[:3], -mpmath.inf, dtype=object)
    factor = 1 / mpmath.sqrt(shape[3]) if scale is None else mpmath.mpf(scale)
    for b, h, i in np.ndindex(*shape[:3]):
        kind, x, at = "_global" if is_global(example, b, i) else "", h * key_heads // shape[1], token_of(example, b, i)
        query, key, value = (example.inputs.get(n + kind, example.inputs[n])[b] for n in ("query", "key", "value"))
        weights = {}
        for j in attended(example, b, h, i):
            score = factor * mpmath.fsum(
                mpmath.mpf(p) * mpmath.mpf(q) for p, q in zip(query[h, i], key[x, j], strict=True)
            )
            score = score if softcap is None else softcap * mpmath.tanh(score / softcap)
            weights[j] = mpmath.exp(score if slopes is None else score - mpmath.mpf(slopes[h]) * abs(at - j))
        masked = 0 <= at < n and real is not None and not real[b, at]
        total = mpmath.fsum(weights.values()) + (0 if sinks is None or masked else mpmath.exp(mpmath.mpf(sinks[h])))
        lse[b, h, i] = mpmath.log(total) if total else -mpmath.inf
        for c in range(value_dim):
            mean = mpmath.fsum(w * mpmath.mpf(value[x, j, c]) for j, w in weights.items()) / (total or 1)
            output[b, h, i, c] = mean if head_mask is None else mean * mpmath.mpf(head_mask[h])
    return output, lse


def exact_output(example: Example) -> Array:
    return exactly(example)[0]


def exact_lse(example: Example) -> Array:
    return exactly(example)[1]


@mpmath.workdps(DIGITS)
def exact_gradient(example: Example, grad_output: Array, name: str, grad_lse: Array | None = None) -> Array:
    """Gradient of sum(output * grad_output) + sum(lse * grad_lse) with respect to an input or option, an array of mpf.

    Central differences with a step of 1e-20: their truncation error is of the order of 1e-40, and the rounding error
    of 50 digits divided by the step 1e-30. Both are far below the last digit of a float64.
    """
    step = mpmath.mpf(10) ** -20
    where = example.inputs if name in example.inputs else example.options

    def loss(index: tuple[int, ...], sign: int) -> Any:
        moved = where[name].astype(object)
        moved[index] = mpmath.mpf(float(moved[index])) + sign * step
        changed = {**where, name: moved}
        of_inputs = name in example.inputs
        other = Example(changed, example.options) if of_inputs else Example(example.inputs, changed)
        output, lse = exactly(other)
        terms = list((output * grad_output).ravel())
        if grad_lse is not None:
            terms += [
                log * grad for log, grad in zip(lse.ravel(), grad_lse.ravel(), strict=True) if mpmath.isfinite(log)
            ]
        return mpmath.fsum(terms)

    gradient = np.empty(where[name].shape, dtype=object)
    for index in np.ndindex(*gradient.shape):
        gradient[index] = (loss(index, +1) - loss(index, -1)) / (2 * step)
    return gradient


@pytest.fixture(params=EXAMPLES)
def example(request: pytest.FixtureRequest) -> Example:
    return EXAMPLES[request.param]


ONE_SIDED = [
    name for name, one in EXAMPLES.items() if isinstance(one.options["window"], int) and "offset" not in one.options
]


@pytest.fixture(params=ONE_SIDED)
def one_sided(request: pytest.FixtureRequest) -> Example:
    """Examples of one window for both sides, and of as many queries as keys."""
    return EXAMPLES[request.param]


@pytest.fixture(scope="session")
def examples() -> dict[str, Example]:
    return EXAMPLES


@pytest.fixture(scope="session")
def new_example() -> Callable[..., Example]:
    return draw


@pytest.fixture(scope="session")
def exact_output_of() -> Callable[[Example], Array]:
    return exact_output


@pytest.fixture(scope="session")
def exact_lse_of() -> Callable[[Example], Array]:
    return exact_lse


@pytest.fixture(scope="session")
def exact_gradient_of() -> Callable[..., Array]:
    return exact_gradient


@mpmath.workdps(DIGITS)
def float_difference(actual: Array, exact: Array) -> NDArray[np.float64]:
    """actual - exact, subtracted in 50 digits and only then rounded to float64."""
    return np.vectorize(lambda x, y: float(mpmath.mpf(float(x)) - y), otypes=[np.float64])(actual, exact)


@pytest.fixture(scope="session")
def difference() -> Callable[[Array, Array], NDArray[np.float64]]:
    return float_difference


@pytest.fixture(scope="session")
def contract_keys() -> Callable[[Example, int, int, int], list[int]]:
    return attended
