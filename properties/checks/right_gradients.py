"""The reference's gradients of one call, by which a candidate's are judged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from trueband.properties.bounds import Bound
from trueband.properties.candidate.probe import Array
from trueband.properties.cases.backward import Gradients, already_there
from trueband.properties.cases.inputs import Inputs
from trueband.properties.results.verdict import Verdict, judge

LARGEST_FLOAT16 = 65504.0


class RightGradients:
    """The reference's gradients of the floating arguments of one call.

    Attributes:
        bounds: the bounds by name.
        held: False where a gradient comes near what float16 cannot hold: then nothing is judged.
    """

    def __init__(self, inputs: Inputs, grad_output: Array) -> None:
        expected = inputs.gradients(grad_output)
        self._expected: dict[str, Array] = {name: getattr(expected, name) for name in inputs.floating}
        self.held = representable(inputs, self._expected.values())
        self.bounds = inputs.gradient_bounds(grad_output)

    def judge(
        self, computed: Gradients, manner: str = "", rounding: dict[str, Bound] | None = None
    ) -> Iterator[Verdict]:
        """Judge the computed gradients.

        Args:
            manner: how they were computed, such as "with transposed inputs".
            rounding: further errors that they may have, by name.
        """
        for name, gradient in computed.items() if self.held else ():
            bound = self.bounds[name] if rounding is None else self.bounds[name] + rounding[name]
            yield judge(gradient, self._expected[name], bound, f"gradient of {name} {manner}".rstrip())

    def added_to_there(self, inputs: Inputs) -> dict[str, Bound]:
        """Return the rounding, by name, of adding a gradient to what is there and subtracting that again."""
        unit = inputs.precision.output + 2 * inputs.precision.accumulator
        before = {name: already_there(expected.shape) for name, expected in self._expected.items()}
        return {
            name: Bound({"accumulation": unit * (before[name] + np.abs(expected) + self.bounds[name].total)})
            for name, expected in self._expected.items()
        }


def representable(inputs: Inputs, results: Iterable[Array]) -> bool:
    """Return False where a gradient comes near what float16 cannot hold."""
    return inputs.dtype != "float16" or all(np.abs(result).max() < LARGEST_FLOAT16 / 4 for result in results)
