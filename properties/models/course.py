"""A course is a sequence of calls of one model, with its weights changed in between.

course(model, steps) -> [Trained]: the result of each step, with the gradients that the weights have then, outputs and
    dtypes, without `words`
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from trueband.properties.models.model import Arrays, Model
from trueband.properties.models.training import BUFFERS, Regime, Trained

ONCE = Regime()
CLEARED = ("zero", "none")
# The ways in which `torch` and optimizers overwrite weights in place.
WAYS = ("copy_", "data", "data.copy_", "sub_", "optimizer", "load_state_dict")


@dataclass(frozen=True)
class Step:
    """One call of the model.

    Attributes:
        inputs: its inputs, with labels.
        regime: how it is run; its seed is not used.
        clear: what happens to the gradients before it: "zero", they are set to 0; "none", they are removed; "", they
            stay.
        state: weights that are written in place before it, by `way`, one of `WAYS`; None: they stay.
    """

    inputs: Arrays
    regime: Regime = ONCE
    clear: str = ""
    state: Arrays | None = None
    way: str = "copy_"


class ReferenceCourse:
    """A mixin that gives the reference, as a candidate, its courses."""

    def course(self, model: Model, steps: Sequence[Step]) -> list[Trained]:
        results: list[Trained] = []
        sums: dict[str, np.ndarray | None] = dict.fromkeys(name for name in model.state if name not in BUFFERS)
        for step in steps:
            model = model if step.state is None else model.with_state(self.written(model, step))
            if step.clear:
                sums = {
                    name: None if array is None or step.clear == "none" else np.zeros_like(array)
                    for name, array in sums.items()
                }
            trained: Any = self.train(model, [(step.inputs, 1.0)], step.regime)  # type: ignore[attr-defined]
            sums = {name: self.added(array, trained.gradients[name]) for name, array in sums.items()}
            results.append(replace(trained, gradients=dict(sums)))
        return results

    def written(self, model: Model, step: Step) -> Arrays:
        """Return the weights after a step has overwritten them."""
        return model.state if step.state is None else step.state

    def added(self, before: np.ndarray | None, gradient: np.ndarray | None) -> np.ndarray | None:
        """Return the gradient of a weight after another backward pass."""
        if gradient is None or before is None:
            return before if gradient is None else gradient
        return before + gradient
