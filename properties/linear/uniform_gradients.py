"""With queries or keys 0 the gradients are counts, too: the expected numbers of every head and token, and their bounds.

With n_i keys of row i, dO_i = g_i in the channel of the code of i and 0 elsewhere, values a_j in all channels (0 or a
number of the head's), and A_i the sum of a_j over the keys of i (each sum over who sees whom, the head mask apart):

    dV_jc = sum_i (g_i / n_i) [code of i is c]                                        g_i = n_i: a count of rows
    dQ_ic = scale (g_i / n_i) sum_j (a_j - A_i / n_i) k_jc                             queries 0; dK is exactly 0
    dK_jc = scale sum_i (g_i / n_i) (a_j - A_i / n_i) q_ic                             keys 0; dQ is exactly 0

and what is not 0 of queries or keys is a code, 1 in one channel. A narrow dtype may not hold n_i: g_i is what it holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trueband.properties.bounds.attention import not_damped
from trueband.properties.bounds.attention_gradients import INPUTS, Part, bounds_of_parts
from trueband.properties.bounds.precision import round_to
from trueband.properties.bounds.uniform import uniform_row_errors
from trueband.properties.cases.inputs import Inputs
from trueband.properties.linear.codes import code_of_channel, coded, codes, one_hot
from trueband.properties.linear.gradients import SomeGradients
from trueband.properties.linear.sums import Sight
from trueband.reference.arguments import Float

SIZES = 3  # values are 0, or 1, 2 or 3 in the heads of a group of three; float16 holds 3 n
ROUNDOFF = 2.0**-53
CODED = {"query": "key", "key": "query"}  # by what is 0


class _Base(NamedTuple):
    """One gradient from one kind of rows, in the channels of the codes, for all heads that have all else in common.

    Attributes:
        exact: (n, d).
        terms: (n, d) how many terms its sum has in each channel.
        error, size, lost: of one term, at most; as of `Part`, (n, 1) or scalars.
        rounding: of `exact` itself.
        number: of its terms, (n, 1).
    """

    exact: Float
    terms: Float
    error: Float | float
    size: Float | float
    lost: float
    rounding: float
    number: Float

    def part(self, code: NDArray[np.int64]) -> Part:
        """In the channels of one head: `code` of each."""
        terms = self.terms[:, code]
        error = self.error * terms + self.rounding * (self.number > 0)
        return Part(self.exact[:, code], error, self.size * terms, self.lost * terms, self.number)


@dataclass(frozen=True)
class UniformCall:
    """A backward pass of which all weights of a row are equal.

    Attributes:
        inputs: of the call.
        grad_output: (b, h, n, d).
        zero: "query" or "key", what is 0.
        which: code of the positions.
        values: (2, b, n) of 0 and 1: value and value_global, but for the size of the head.
    """

    inputs: Inputs
    grad_output: Float
    zero: str
    which: int
    values: NDArray[np.int64]

    @classmethod
    def of(cls, structure: Inputs, head_dim: int, zero: str, which: int, random: np.random.Generator) -> UniformCall:
        """With the structure of any inputs, whose numbers and head_dim do not matter."""
        batch, heads, tokens, _ = structure.shape
        shape, code = (batch, heads, tokens, head_dim), codes(tokens, head_dim, which)
        values, sizes = random.integers(0, 2, (2, batch, tokens)), 1.0 + np.arange(heads)[:, None, None] % SIZES
        ends = ("", "_global")[: 1 + ("value_global" in structure.arrays)]
        arrays = {}
        for kind, end in enumerate(ends):
            arrays[f"{zero}{end}"] = np.zeros(shape)
            arrays[f"{CODED[zero]}{end}"] = coded(code, batch, heads, head_dim, batch * heads * (1 + kind))
            arrays[f"value{end}"] = np.broadcast_to(values[kind, :, None, :, None] * sizes, shape).copy()
        inputs, grad_output = structure.with_arrays(**arrays), coded(code, batch, heads, head_dim)
        if len(ends) == 1:
            values[1] = values[0]
        for b in range(batch):
            of_dilation = {dilation: _sights(inputs, b, dilation) for dilation in set(inputs.structure.dilations)}
            for h, dilation in enumerate(inputs.structure.dilations):
                grad_output[b, h] *= _gradient_sizes(of_dilation[dilation], inputs.dtype)
        return cls(inputs, grad_output, zero, which, values)

    def expected(self) -> Iterator[SomeGradients]:
        """The gradients of all floating arguments at all tokens, head by head."""
        batch, heads, tokens, head_dim = self.inputs.shape
        structure, separate = self.inputs.structure, "value_global" in self.inputs.arrays
        for b in range(batch):
            kept: dict[tuple[int, float, int], list[dict[str, _Base]]] = {}
            for h, dilation in enumerate(structure.dilations):
                like = dilation, float(structure.head_mask[h]), 1 + h % SIZES
                if like not in kept:
                    kept[like] = self._bases(b, *like)
                for name in INPUTS:
                    parts = []
                    for kind, bases in enumerate(kept[like]):
                        table = 0 if name == "value" else 1 + (kind if separate else 0)
                        number = b * heads + h + batch * heads * table
                        parts.append(bases[name].part(code_of_channel(head_dim, number)))
                    local, global_ = parts
                    exact = (local.exact, global_.exact) if separate else (local.exact + global_.exact,)
                    bounds = bounds_of_parts(name, local, global_, separate, self.inputs.precision)
                    for (each, bound), gradient in zip(bounds.items(), exact, strict=True):
                        places = np.arange(tokens)
                        yield SomeGradients(each, b, slice(h, h + 1), places, gradient[None], bound.at(None))

    def _bases(self, batch: int, dilation: int, weight: float, largest: int) -> list[dict[str, _Base]]:
        """For each kind of rows the gradients by argument, of heads whose values are 0 or `largest`."""
        _, _, tokens, head_dim = self.inputs.shape
        sights, precision = _sights(self.inputs, batch, dilation), self.inputs.precision
        grad = _gradient_sizes(sights, self.inputs.dtype)
        code = one_hot(codes(tokens, head_dim, self.which), head_dim)
        found = []
        for sight, values in zip(sights, largest * self.values[:, batch, :, None].astype(np.float64), strict=True):
            keys = np.maximum(sight.keys, 1.0)
            share = np.where(sight.rows[:, None], grad / keys, 0.0)
            sum_of_values = sight.over_keys(values)
            errors = uniform_row_errors(
                sight.keys, grad, sum_of_values / keys, float(largest), weight, head_dim, precision
            )
            gradients = {name: _nothing(tokens, head_dim) for name in INPUTS}
            rows_of_code, size, shares = sight.over_rows(code), abs(weight), share * code
            gradients["value"] = _Base(
                exact=weight * sight.over_rows(shares),
                terms=rows_of_code,
                error=float((errors.probability * grad).max()) * size,
                size=float(share.max()) * size,
                lost=precision.tiny_stored * float(grad.max()) * float(not_damped(weight)),
                rounding=size * _rounding(shares),
                number=sight.seen_by,
            )
            scale = self.inputs.structure.scale
            lost = abs(scale) * precision.tiny_stored
            if self.zero == "query":
                keys_of_code = sight.over_keys(code)
                around = sight.over_keys(values * code) * keys - sum_of_values * keys_of_code  # n_i sum (a_j - A_i/n_i)
                gradients["query"] = _Base(
                    exact=scale * weight * share * around / keys,
                    terms=keys_of_code,
                    error=abs(scale) * errors.score_gradient,
                    size=abs(scale) * errors.score_gradient_size,
                    lost=lost,
                    rounding=0.0,
                    number=sight.keys,
                )
            else:
                means = shares * sum_of_values / keys
                exact = values * sight.over_rows(shares) - sight.over_rows(means)
                gradients["key"] = _Base(
                    exact=scale * weight * exact,
                    terms=rows_of_code,
                    error=abs(scale) * float(errors.score_gradient.max()),
                    size=abs(scale) * float(errors.score_gradient_size.max()),
                    lost=lost,
                    rounding=abs(scale) * size * (largest * _rounding(shares) + _rounding(means)),
                    number=sight.seen_by,
                )
            found.append(gradients)
        return found


def _sights(inputs: Inputs, batch: int, dilation: int) -> tuple[Sight, Sight]:
    return Sight(inputs.structure, batch, dilation, False), Sight(inputs.structure, batch, dilation, True)


def _gradient_sizes(sights: tuple[Sight, Sight], dtype: str) -> Float:
    """(n, 1): g_i; 1 for masked tokens, where it must not matter."""
    keys: Float = sights[0].keys + sights[1].keys
    return round_to(np.maximum(keys, 1.0), dtype)


def _rounding(terms: Float) -> float:
    """What differences of prefix sums of these (n, d) round at most; they are exact for integers."""
    if (terms == np.rint(terms)).all():
        return 0.0
    return 2 * (len(terms) + 2) * ROUNDOFF * float(np.abs(terms).sum(axis=0).max())


def _nothing(tokens: int, head_dim: int) -> _Base:
    zeros = np.zeros((tokens, head_dim))
    return _Base(zeros, zeros, 0.0, 0.0, 0.0, 0.0, np.zeros((tokens, 1)))
