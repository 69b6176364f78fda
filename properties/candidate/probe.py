"""A probe is what a check is given: a case, its inputs, and the candidate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from trueband.properties.candidate.called import Call, Calls
from trueband.properties.candidate.covered import Covered
from trueband.properties.cases.backward import ONCE, Backward, Gradients
from trueband.properties.cases.case import Case
from trueband.properties.cases.inputs import Inputs
from trueband.properties.cases.limits import Limits, NotTaken
from trueband.properties.cases.shapes import Shape

Array = NDArray[Any]


class Candidate(Protocol):
    """A target that can be called, in this process (`Runner`) or in another (`RemoteRunner`)."""

    @property
    def features(self) -> frozenset[str]: ...

    @property
    def accumulators(self) -> Mapping[str, str]: ...

    @property
    def limits(self) -> Limits: ...

    @property
    def undeclared(self) -> Limits: ...

    @property
    def refusal(self) -> str: ...

    @property
    def shapes(self) -> tuple[Shape, ...]: ...

    @property
    def ranks(self) -> tuple[int, ...]: ...

    @property
    def covered(self) -> Covered: ...

    slowest: float

    def memory(self, begin: bool = False) -> float: ...

    @property
    def stored_scores(self) -> str | None: ...

    def call(
        self,
        arrays: dict[str, Array],
        options: dict[str, Any],
        dtype: str,
        layout: str = "contiguous",
        of: tuple[str, ...] = (),
    ) -> Array: ...

    def results(
        self,
        arrays: dict[str, Array],
        options: dict[str, Any],
        dtype: str,
        layout: str = "contiguous",
        of: tuple[str, ...] = (),
    ) -> dict[str, Array]: ...

    def gradients(
        self,
        arrays: dict[str, Array],
        options: dict[str, Any],
        dtype: str,
        grad_output: Array,
        names: list[str],
        how: Backward = ONCE,
        grad_lse: Array | None = None,
    ) -> Gradients: ...

    def raises(self, arrays: dict[str, Any], options: dict[str, Any]) -> tuple[str, str]: ...


class Probe:
    """A candidate and one case.

    Attributes:
        random: a generator of numbers that depend on the case alone.
        calls: what the candidate has been called with since the last verdict.
    """

    def __init__(self, candidate: Candidate, case: Case) -> None:
        self.candidate, self.case = candidate, case
        self.random = np.random.default_rng([case.seed, 1])
        self.calls = Calls(case, lambda: self.inputs)

    @cached_property
    def inputs(self) -> Inputs:
        return self.inputs_of(self.case)

    def inputs_of(self, case: Case) -> Inputs:
        """Return the inputs of any case, with the formats that the candidate declares."""
        candidate = self.candidate
        accumulator = candidate.accumulators.get(case.dtype)
        return replace(case.inputs(), accumulator=accumulator, stored_scores=candidate.stored_scores)

    def has(self, feature: str) -> bool:
        return feature in self.candidate.features

    def run(
        self,
        inputs: Inputs | None = None,
        layout: str = "contiguous",
        of: tuple[str, ...] = (),
        ranks: int | None = None,
        late: tuple[float, ...] = (),
    ) -> Array:
        """Return the candidate's output, (b, h, m, e) float64; see `Runner.call` for the layouts of the inputs.

        Args:
            ranks: how many the call is dealt to, by default as many as the case says; for a target that has ranks.
            late: seconds that each rank waits.
        """
        inputs = self._taken(inputs)
        dealt = self._dealt(ranks, late)
        self.calls.add(Call(inputs, layout, of, ranks=dealt.get("ranks")))
        return self.candidate.call(inputs.arrays, {**inputs.options, **dealt}, inputs.dtype, layout, of)

    def with_lse(self, inputs: Inputs | None = None, ranks: int | None = None) -> tuple[Array, Array]:
        """Return the candidate's output (b, h, m, e) and lse (b, h, m), float64; `ranks` as of `run`."""
        inputs = self._taken(inputs).with_options(return_lse=True)
        dealt = self._dealt(ranks)
        self.calls.add(Call(inputs, ranks=dealt.get("ranks")))
        found = self.candidate.results(inputs.arrays, {**inputs.options, **dealt}, inputs.dtype)
        return found["output"], found["lse"]

    def gradients(
        self,
        grad_output: Array,
        inputs: Inputs | None = None,
        names: list[str] | None = None,
        how: Backward = ONCE,
        grad_lse: Array | None = None,
        ranks: int | None = None,
        late: tuple[float, ...] = (),
    ) -> Gradients:
        """Return the candidate's gradients of the named arguments; None: of all projections that are passed.

        Args:
            grad_lse: the gradient of lse, which is asked for then.
            ranks, late: as of `run`.
        """
        inputs = self._taken(inputs)
        dealt = self._dealt(ranks, late)
        self.calls.add(Call(inputs, how.layout, how.of, grad_output, dealt.get("ranks")))
        names = inputs.floating if names is None else names
        options = {**inputs.options, **dealt}
        if grad_lse is None:
            return self.candidate.gradients(inputs.arrays, options, inputs.dtype, grad_output, names, how)
        options["return_lse"] = True
        return self.candidate.gradients(inputs.arrays, options, inputs.dtype, grad_output, names, how, grad_lse)

    def _dealt(self, ranks: int | None = None, late: tuple[float, ...] = ()) -> dict[str, Any]:
        """Return how a call is dealt to ranks, for a target that has some: by the seed of the case."""
        if not self.has("ranks"):
            return {}
        declared = self.candidate.ranks
        dealt = {"ranks": declared[self.case.seed % len(declared)] if ranks is None else ranks}
        return {**dealt, "late": late} if late else dealt

    def _taken(self, inputs: Inputs | None) -> Inputs:
        """Return the inputs of a call, by default the case's. Raises NotTaken if the candidate does not take them."""
        inputs = inputs or self.inputs
        refused = self.candidate.limits.refuses(inputs)
        if refused:
            raise NotTaken(refused)
        if self.has("causal_only") and not inputs.options.get("causal"):
            raise NotTaken("attention that is not causal")
        if self.has("packed") and not (inputs.real.any() and inputs.real_rows.any()):
            raise NotTaken("packed sequences without a token")
        return inputs
