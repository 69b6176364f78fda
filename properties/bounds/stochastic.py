"""Arrays that carry their rounding errors as random samples: the reference's own lines, run on them, bound a result.

Gradients of a whole model are too deep for worst cases, which multiply from step to step, and share too many errors for
variances that are written out as `variance` does it for a layer. Here every operation of the reference's code is
followed by a random error as large as its roundings may be (Monte Carlo arithmetic: Parker, UCLA CSD-970002, 1997), in
some runs side by side, so that what two results share they share in every run. The standard deviations of what an
operation adds are the bounds of `layers` and `variance`, with u the roundoff of `Precision`, the reference's own
included:

  x + y, x y, x / y, sqrt x    u |result|
  X Y, sums of k terms         (k + 1) u |X| |Y|, as added in any order
  exp x                        (3 |x| + 4) u result
  tanh, erf, log, log1p        8 u |result|

A result that is 0 whatever its inputs are stays 0: an implementation must give exactly that.

Errors are drawn as multiples of sqrt(u64), u64 the roundoff of float64, and scaled afterwards: that is as far above the
roundings of the runs themselves as it is below 1, so that the same bound is found on every machine. With v the mean
square of 2 m samples of a result whose variance is s^2, 2 m v / s^2 is chi-squared with 2 m degrees of freedom, and
P(2 m v / s^2 < 2 y) <= y^m / m!. With that probability set to 2^-60, s <= sqrt(m v / y), and the bound is SIGMAS of it.

Under autocast nothing can be scaled: roundings of 2^-8 are no small ones. `AUTOCAST` draws errors of that very size,
in as many runs as make the widening small. A rounding to nearest is off by u at most and, evenly spread, by u / sqrt 3
in the mean square, which is the standard deviation here; u is that of bfloat16 for what autocast stores in it:

  X Y                    each element of X and of Y as it is stored; each result twice, as something is added to it or
                         it is scaled; sums are in float32
  sums of k terms        each term, which may come from a product, and the result
  exp x, tanh, erf       the result; of exp, (3 |x| + 4) roundoffs of float32 too
  all others             roundoffs of float32: a residual stream and its LayerNorms stay in it
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from trueband.properties.bounds.bound import Bound, Float
from trueband.properties.bounds.precision import Precision
from trueband.properties.bounds.variance import SIGMAS
from trueband.reference.layers import ERF

MISSED = 2.0**-60  # the probability that the spread of an element is underestimated


@dataclass(frozen=True)
class Arithmetic:
    """How errors are drawn.

    Attributes:
        samples: runs with errors.
        step: size of the errors, in place of the roundoff.
        stored: factors of products are rounded too, and sums are in few digits; the errors are as large as they are
            drawn. Otherwise they are scaled to the roundoff of a `Precision`.
    """

    samples: int
    step: float
    stored: bool = False

    @property
    def wider(self) -> float:
        """What a spread that was found is multiplied by, so that the true one is less but for `MISSED`."""
        half = self.samples // 2
        return math.sqrt(half * math.exp(-(math.log(MISSED) + math.lgamma(half + 1)) / half))


U64 = 2.0**-53
SCALED = Arithmetic(16, math.sqrt(U64))
AUTOCAST = Arithmetic(128, 2.0**-8 / math.sqrt(3), stored=True)
SINGLE = 2.0**-24 / AUTOCAST.step


class Stochastic(NDArrayOperatorsMixin):
    """An array, and what rounding may make of it.

    Attributes:
        runs: (1 + samples, ...): the float64 result, and one for each sample; (1, ...) where all are the same.
        random: of the errors.
        how: they are drawn.
    """

    def __init__(self, runs: Float, random: np.random.Generator, how: Arithmetic = SCALED) -> None:
        self.runs, self.random, self.how = runs, random, how

    @property
    def value(self) -> Float:
        """The float64 result."""
        return self.runs[0]

    def bound(self, precision: Precision) -> Bound:
        """Of the difference between an implementation's result in that precision and `value`."""
        scale = 1.0 if self.how.stored else precision.accumulator / self.how.step
        errors = (self.runs[1:] - self.runs[0]) * scale
        spread = np.sqrt((errors**2).sum(axis=0) / self.how.samples)
        return Bound({f"{SIGMAS} sigma": SIGMAS * self.how.wider * spread})

    def along(self, direction: Float) -> Stochastic:
        """The sum of its products with an array, without errors of its own: a scalar."""
        return self._same((self.runs * direction).reshape(len(self.runs), -1).sum(axis=1))

    @property
    def shape(self) -> tuple[int, ...]:
        return self.runs.shape[1:]

    @property
    def ndim(self) -> int:
        return self.runs.ndim - 1

    @property
    def size(self) -> int:
        return self.runs[0].size

    @property
    def T(self) -> Stochastic:
        return self.transpose(*reversed(range(self.ndim)))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> Stochastic:
        inner = index if isinstance(index, tuple) else (index,)
        return self._same(self.runs[(slice(None), *inner)])

    def astype(self, *_: Any, **__: Any) -> Stochastic:
        """Itself: it is float64."""
        return self

    def reshape(self, *shape: Any) -> Stochastic:
        wanted = shape[0] if isinstance(shape[0], tuple) else shape
        return self._same(self.runs.reshape(len(self.runs), *wanted))

    def transpose(self, *axes: int) -> Stochastic:
        return self._same(self.runs.transpose(0, *(axis + 1 for axis in axes)))

    def swapaxes(self, first: int, second: int) -> Stochastic:
        return self._same(self.runs.swapaxes(*self._axes((first, second))))

    def max(self, axis: int | None = None, keepdims: bool = False) -> Stochastic:
        return self._same(self.runs.max(axis=self._axes(axis), keepdims=keepdims))

    def sum(self, axis: Any = None, keepdims: bool = False) -> Stochastic:
        how: dict[str, Any] = {"axis": self._axes(axis), "keepdims": keepdims}
        total = self.runs.sum(**how)
        terms = self.runs.size // max(total.size, 1)
        if self.how.stored:
            return self._rounded(total, np.sqrt((self.runs[:1] ** 2).sum(**how) + total[:1] ** 2))
        return self._rounded(total, (terms + 1) * np.abs(self.runs[:1]).sum(**how))

    def mean(self, axis: Any = None, keepdims: bool = False) -> Stochastic:
        total = self.sum(axis, keepdims)
        mean: Stochastic = total / (self.size // max(total.size, 1))
        return mean

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        if method != "__call__" or options or ufunc not in (*ROUNDED, *COMPARED, *EXACT):
            return NotImplemented
        if ufunc in COMPARED:  # what is chosen is chosen by the first run
            return ufunc(*(each.value if isinstance(each, Stochastic) else each for each in inputs))
        operands = self._aligned(inputs)
        if self.how.stored and ufunc is np.matmul:
            operands = [self._rounded(runs.copy(), np.abs(runs[:1])).runs for runs in operands]
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            runs = np.asarray(ufunc(*operands), dtype=np.float64)
            if ufunc in EXACT:
                return self._same(runs)
            size = ROUNDED[ufunc](runs[:1], *(each[:1] for each in operands))
            if self.how.stored:
                size = math.sqrt(2) * np.abs(runs[:1]) if ufunc is np.matmul else SINGLE * size
                size = size + np.abs(runs[:1]) * (ufunc in STORED)
            return self._rounded(runs, size)

    def __array_function__(self, function: Any, _: Any, arguments: Any, options: Any) -> Any:
        if function is np.where:
            condition, *choices = arguments
            first, second = self._aligned([*choices, condition])[:2]
            return self._same(np.where(condition, first, second))
        if function is np.stack:
            parts = np.broadcast_arrays(*self._aligned(arguments[0]))
            return self._same(np.stack(parts, **options))
        return NotImplemented

    def _same(self, runs: Float) -> Stochastic:
        return Stochastic(runs, self.random, self.how)

    def _rounded(self, runs: Float, size: Float) -> Stochastic:
        """The runs with an error each, but for the first; size: of it, in units of the roundoff."""
        noise = self.random.standard_normal((self.how.samples, *runs.shape[1:]), dtype=np.float32)
        result = np.repeat(runs, 1 + self.how.samples, axis=0) if len(runs) == 1 else runs
        result[1:] += noise * (self.how.step * np.where(np.isfinite(size), size, 0.0))
        return self._same(result)

    def _axes(self, axes: Any) -> Any:
        """Of the runs: those of the arrays, without that of the samples."""
        if axes is None:
            return tuple(range(1, self.runs.ndim))
        if isinstance(axes, tuple):
            return tuple(self._axes(axis) for axis in axes)
        return axes + 1 if axes >= 0 else axes

    @staticmethod
    def _aligned(operands: Any) -> list[Float]:
        """The runs of all, with as many axes: plain arrays are the same in every run."""
        every = [each.runs if isinstance(each, Stochastic) else np.asarray(each)[None] for each in operands]
        most = max(runs.ndim for runs in every)
        return [runs.reshape(len(runs), *[1] * (most - runs.ndim), *runs.shape[1:]) for runs in every]


def stochastic(arrays: dict[str, Any], seed: int, how: Arithmetic = SCALED) -> dict[str, Any]:
    """Arrays without errors, such as a model's weights, as arrays that carry what becomes of them."""
    random = np.random.default_rng([seed, 17])
    return {name: Stochastic(np.asarray(array, dtype=np.float64)[None], random, how) for name, array in arrays.items()}


def _matmul(_: Float, a: Float, b: Float) -> Float:
    return (a.shape[-1] + 1) * (np.abs(a) @ np.abs(b))


def _exp(y: Float, a: Float) -> Float:
    return np.where(np.isfinite(a), (3 * np.abs(a) + 4) * y, 0.0)


def _once(y: Float, *_: Float) -> Float:
    return np.abs(y)


def _eight(y: Float, *_: Float) -> Float:
    return 8 * np.abs(y)


ROUNDED: dict[Any, Callable[..., Float]] = {
    np.add: _once,
    np.subtract: _once,
    np.multiply: _once,
    np.true_divide: _once,
    np.power: _once,
    np.square: _once,
    np.sqrt: _once,
    np.matmul: _matmul,
    np.exp: _exp,
    np.log: _eight,
    np.log1p: _eight,
    np.tanh: _eight,
    ERF: _eight,
}
STORED = (np.exp, np.tanh, ERF)  # of what comes from products
EXACT = (np.negative, np.absolute, np.maximum)
COMPARED = (np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal, np.isfinite)
