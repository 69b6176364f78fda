"""Seeded faults of models: the reference with the weights, configuration or inputs of a faulty implementation, or a
candidate of its own. No check knows them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from trueband.properties.models.model import Arrays, Model
from trueband.properties.models.witness import ReferenceModels
from trueband.reference.decoding import Generated

Change = Callable[["Call"], "Call"]
Spoil = Callable[["Call", Generated], Generated]


@dataclass(frozen=True)
class Call:
    """One call of a model, on its way in.

    Attributes:
        options: the options of the generation; None for a forward pass.
    """

    model: Model
    inputs: Arrays
    options: dict[str, Any] | None = None

    @property
    def config(self) -> dict[str, Any]:
        return self.model.config

    @property
    def head(self) -> str:
        return self.model.head

    def with_config(self, **changes: Any) -> Call:
        return replace(self, model=self.model.with_config(**changes))

    def with_inputs(self, **changes: np.ndarray) -> Call:
        return replace(self, inputs={**self.inputs, **changes})

    def without_inputs(self, *names: str) -> Call:
        return replace(self, inputs={name: array for name, array in self.inputs.items() if name not in names})

    def map_inputs(self, function: Callable[[np.ndarray], np.ndarray], *names: str) -> Call:
        """Return the same call with some inputs changed, where it has them."""
        return self.with_inputs(**{name: function(self.inputs[name]) for name in names if name in self.inputs})

    def with_options(self, **changes: Any) -> Call:
        return self if self.options is None else replace(self, options={**self.options, **changes})

    def map_state(self, part: str, function: Callable[[np.ndarray], np.ndarray]) -> Call:
        """Return the same call with every weight changed whose key contains `part`."""
        state = {name: function(array) if part in name else array for name, array in self.model.state.items()}
        return replace(self, model=self.model.with_state(state))

    def copy_state(self, source: str, target: str) -> Call:
        """Return the same call with the weights of `target` taken from `source` (parts of the keys)."""
        old = self.model.state
        state = {name: old[name.replace(target, source)] if target in name else old[name] for name in old}
        return replace(self, model=self.model.with_state(state))


@dataclass(frozen=True)
class FaultyModels(ReferenceModels):
    """The reference with a change of its calls, or of what it has written."""

    change: Change = lambda call: call
    spoil: Spoil = lambda call, written: written

    def forward(self, model: Model, inputs: Arrays) -> Any:
        call = self.change(Call(model, inputs))
        return super().forward(call.model, call.inputs)

    def base(self, model: Model, inputs: Arrays) -> Any:
        call = self.change(Call(model, inputs))
        return super().base(call.model, call.inputs)

    def generate(self, model: Model, inputs: Arrays, options: dict[str, Any], seed: int) -> Generated:
        call = self.change(Call(model, inputs, options))
        return self.spoil(call, super().generate(call.model, call.inputs, call.options or {}, seed))


@dataclass(frozen=True)
class ModelFault:
    """A seeded fault.

    Attributes:
        story: what is wrong, in one line; seen: where it happened in the wild, "" if nowhere.
        architectures: the architectures that it is seeded in.
        killed_by: the checks that must find it.
        made: a function that returns a candidate with the fault.
    """

    name: str
    story: str
    architectures: tuple[str, ...]
    killed_by: tuple[str, ...]
    made: Callable[[], Any]
    seen: str = ""

    @property
    def candidate(self) -> Any:
        return self.made()


MODEL_FAULTS: dict[str, ModelFault] = {}


def fault(story: str, architectures: str, killed_by: str, seen: str = "") -> Callable[[Change], Change]:
    """Register a change of calls under its name; architectures and checks separated by spaces."""

    def register(change: Change) -> Change:
        _add(change.__name__, story, architectures, killed_by, partial(FaultyModels, change=change), seen)
        return change

    return register


def faulty_output(story: str, architectures: str, killed_by: str, seen: str = "") -> Callable[[Spoil], Spoil]:
    """Register a change of the written tokens under its name."""

    def register(spoil: Spoil) -> Spoil:
        _add(spoil.__name__, story, architectures, killed_by, partial(FaultyModels, spoil=spoil), seen)
        return spoil

    return register


def faulty_candidate(story: str, architectures: str, killed_by: str, seen: str = "") -> Callable[[Any], Any]:
    """Register a class of candidates under its name in snake case."""

    def register(made: Any) -> Any:
        name = re.sub("(?<=.)(?=[A-Z])", "_", made.__name__).lower()
        _add(name, story, architectures, killed_by, made, seen)
        return made

    return register


def _add(name: str, story: str, architectures: str, killed_by: str, made: Callable[[], Any], seen: str) -> None:
    MODEL_FAULTS[name] = ModelFault(name, story, tuple(architectures.split()), tuple(killed_by.split()), made, seen)
