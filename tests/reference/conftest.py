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
    """One call of the operator: the six inputs (b, h, n, d), and the other arguments."""

    inputs: dict[str, Array]
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def positional(self) -> tuple[Array, Array, Array]:
        return self.inputs["query"], self.inputs["key"], self.inputs["value"]

    @property
    def keywords(self) -> dict[str, Any]:
        own = {name: array for name, array in self.inputs.items() if name.endswith("_global")}
        return {**own, **self.options}


def draw(name: str, seed: int, shape: tuple[int, int, int, int], separate: bool = True, **options: Any) -> Example:
    """Normal random inputs. `separate`: the rows of global tokens have inputs of their own."""
    rng = np.random.default_rng([seed, *name.encode()])
    inputs = {each: rng.normal(size=shape) for each in (INPUTS if separate else INPUTS[:3])}
    return Example(inputs, options)


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
    "padding": draw(
        "padding", 8, (3, 1, 6, 2), window=2, attention_mask=flags("xxxxxx", "xxxx..", "..xx.x")
    ),
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
        "everything", 17, (2, 2, 8, 3), window=1, dilation=[2, 1], head_mask=np.array([0.5, -2.0]), scale=0.4,
        attention_mask=flags("xxxxxx..", ".xxxxxxx"), global_attention_mask=flags("x......x", "x..xx..."),
    ),
}  # fmt: skip


def attended(example: Example, b: int, h: int, i: int) -> list[int]:
    """The keys of a row, by the contract; none for a masked token."""
    options, n = example.options, example.inputs["query"].shape[2]
    dilation = options.get("dilation", 1)
    dilation = dilation if isinstance(dilation, int) else dilation[h]

    def real(j: int) -> bool:
        return options.get("attention_mask") is None or bool(options["attention_mask"][b, j])

    def in_window(j: int) -> bool:
        near = abs(i - j) <= options["window"] * dilation and (i - j) % dilation == 0
        return near and not (options.get("causal", False) and j > i)

    if not real(i):
        return []
    if is_global(example, b, i):
        return [j for j in range(n) if real(j)]
    return [j for j in range(n) if real(j) and (in_window(j) or is_global(example, b, j))]


def is_global(example: Example, b: int, i: int) -> bool:
    """A token with a global flag that is not masked."""
    flagged, real = (example.options.get(name) for name in ("global_attention_mask", "attention_mask"))
    return flagged is not None and bool(flagged[b, i]) and (real is None or bool(real[b, i]))


@mpmath.workdps(DIGITS)
def exact_output(example: Example) -> Array:
    """(b, h, n, d) array of mpf: the output in 50 digits. Works on inputs of float64 or of mpf."""
    shape = example.inputs["query"].shape
    head_mask, scale = (example.options.get(name) for name in ("head_mask", "scale"))
    output = np.full(shape, mpmath.mpf(0), dtype=object)
    for b, h, i in np.ndindex(*shape[:3]):
        kind = "_global" if is_global(example, b, i) else ""
        query, key, value = (example.inputs.get(n + kind, example.inputs[n])[b, h] for n in ("query", "key", "value"))
        factor = 1 / mpmath.sqrt(shape[3]) if scale is None else mpmath.mpf(scale)
        weights = {}
        for j in attended(example, b, h, i):
            dot = mpmath.fsum(mpmath.mpf(x) * mpmath.mpf(y) for x, y in zip(query[i], key[j], strict=True))
            weights[j] = mpmath.exp(factor * dot)
        total = mpmath.fsum(weights.values())
        for c in range(shape[3]):
            mean = mpmath.fsum(w * mpmath.mpf(value[j, c]) for j, w in weights.items()) / (total or 1)
            output[b, h, i, c] = mean if head_mask is None else mean * mpmath.mpf(head_mask[h])
    return output


@mpmath.workdps(DIGITS)
def exact_gradient(example: Example, grad_output: Array, name: str) -> Array:
    """Gradient of sum(output * grad_output) with respect to one input (or "head_mask"), as an array of mpf.

    Central differences with a step of 1e-20: their truncation error is of the order of 1e-40, and the rounding error
    of 50 digits divided by the step 1e-30. Both are far below the last digit of a float64.
    """
    step = mpmath.mpf(10) ** -20
    where = example.options if name == "head_mask" else example.inputs

    def loss(index: tuple[int, ...], sign: int) -> Any:
        moved = where[name].astype(object)
        moved[index] = mpmath.mpf(float(moved[index])) + sign * step
        changed = {**where, name: moved}
        other = Example(example.inputs, changed) if name == "head_mask" else Example(changed, example.options)
        return mpmath.fsum((exact_output(other) * grad_output).ravel())

    gradient = np.empty(where[name].shape, dtype=object)
    for index in np.ndindex(*gradient.shape):
        gradient[index] = (loss(index, +1) - loss(index, -1)) / (2 * step)
    return gradient


@pytest.fixture(params=EXAMPLES)
def example(request: pytest.FixtureRequest) -> Example:
    return EXAMPLES[request.param]


@pytest.fixture(scope="session")
def examples() -> dict[str, Example]:
    return EXAMPLES


@pytest.fixture(scope="session")
def new_example() -> Callable[..., Example]:
    return draw


@pytest.fixture(scope="session")
def exactly() -> Callable[[Example], Array]:
    return exact_output


@pytest.fixture(scope="session")
def exact_gradient_of() -> Callable[[Example, Array, str], Array]:
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
