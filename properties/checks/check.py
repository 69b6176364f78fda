"""A check is a named claim about a kernel, tried on a case."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from trueband.properties.candidate.probe import Probe
from trueband.properties.cases.extensions import possible
from trueband.properties.cases.strategies import ANY, EXTENDED, Structure
from trueband.properties.results.verdict import CLAIM, Verdict

Function = Callable[[Probe], Iterator[Verdict]]


@dataclass(frozen=True)
class Check:
    """A claim and the code that tries it.

    Attributes:
        name: the name of the check.
        claim: what it claims, in one line.
        function: a generator of the verdicts on one case.
        structure: the cases that it needs.
        needs: features that a target must have for the check to apply.
        weight: its share of the cases.
        exact_with: the feature that a target must have to be held to the bits, where two results are compared that are
            equal in exact arithmetic only; without it they are judged by the bounds of both. "": there are none.
        argument: why the claim is true of every correct kernel on every machine.
    """

    name: str
    claim: str
    function: Function
    structure: Structure = ANY
    needs: frozenset[str] = frozenset()
    weight: int = 1
    exact_with: str = ""
    argument: str = ""

    def applies_to(self, features: Collection[str]) -> bool:
        always_causal = "causal_only" in features and "causal" in self.structure.without
        declared = self.needs - self.structure.require <= set(features)
        drawn = self.structure.require <= {*features, *possible(features)}
        extends = self.structure.production != EXTENDED or bool(possible(features))
        return declared and drawn and extends and not always_causal


_REGISTERED: dict[str, Check] = {}


def check(
    claim: str, structure: Structure = ANY, needs: Collection[str] = (), weight: int = 1, exact_with: str = ""
) -> Callable[[Function], Function]:
    """Register `check_<name>` under its name. Features that the structure requires are needed.

    The docstring of the function is the argument for its claim; see `Check`.
    """

    def register(function: Function) -> Function:
        name = function.__name__.removeprefix("check_")
        needed = frozenset(needs) | structure.require
        argument = inspect.getdoc(function) or ""
        _REGISTERED[name] = Check(name, claim, function, structure, needed, weight, exact_with, argument)
        return function

    return register


def registered(module: str) -> dict[str, Check]:
    """Return the checks of a module, in the order in which they are written."""
    return {name: entry for name, entry in _REGISTERED.items() if entry.function.__module__ == module}


def claim(passed: bool, what: str, value: float = 0.0, expected: float = 0.0, index: tuple[int, ...] = ()) -> Verdict:
    """Return a verdict on something that is true or false. `what` is its message: what was expected, and what came."""
    passed = bool(passed)
    error = 0.0 if passed else abs(value - expected)
    ratio = 0.0 if passed else float("inf")
    return Verdict(passed, what, index, float(value), float(expected), error, 0.0, ratio, CLAIM)
