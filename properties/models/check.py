"""A check of whole models is a named claim, tried on a case."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from trueband.properties.bounds.precision import Precision
from trueband.properties.candidate.errors import CandidateEnded, traceback_of
from trueband.properties.models.case import ARCHITECTURES, ModelCase
from trueband.properties.models.course import Step
from trueband.properties.models.covered import ModelsCovered
from trueband.properties.models.decoding import decoder
from trueband.properties.models.model import Arrays, Model
from trueband.properties.models.training import Batches, Regime, Trained
from trueband.properties.models.witness import ModelCandidate
from trueband.properties.results.verdict import Verdict


class ModelProbe:
    """A candidate and one case."""

    def __init__(self, candidate: ModelCandidate, case: ModelCase) -> None:
        self.candidate, self.case = candidate, case
        self.random = np.random.default_rng([case.seed, 3])

    def has(self, feature: str) -> bool:
        return feature in self.candidate.features

    def forward(self, **changes: np.ndarray) -> dict[str, Any]:
        """Return the candidate's hidden states and logits, with some inputs changed."""
        return self.forward_of({**self.case.inputs, **changes})

    def forward_of(self, inputs: Arrays, state: Arrays | None = None) -> dict[str, Any]:
        """Run the candidate on these inputs, with other weights if `state` is set."""
        output = self._float64(self.attempt(lambda: self.raw_forward(inputs, state)))
        self._covers(self.case.model, inputs)
        return output

    def raw_forward(self, inputs: Arrays, state: Arrays | None = None) -> Any:
        """Return what the candidate returns, or raise what it raises."""
        return self.candidate.forward(self._model(state), inputs)

    def steps(self, inputs: Arrays, rows: np.ndarray, following: list[np.ndarray]) -> dict[str, Any]:
        """Return `forward` of the inputs of `read_in_steps`, read step by step with a cache."""
        return self._float64(self.attempt(lambda: self.candidate.steps(self.case.model, inputs, rows, following)))

    def other(self, call: Callable[[], Any]) -> dict[str, Any]:
        """Return the result of another call of the candidate, in the form of `forward`."""
        return self._float64(self.attempt(call))

    def base(self, pooled: bool) -> dict[str, Any]:
        """Run the model without a head, with a pooler or without: hidden_states, and pooler_output or None."""
        model = self._model(self.case.headless_state(pooled))
        return self._float64(self.attempt(lambda: self.candidate.base(model, self.case.inputs)))

    def encode(self, state: Arrays, inputs: Arrays, dtype: str) -> list[np.ndarray]:
        """Return the hidden states of LED's encoder alone, in a dtype."""
        model = replace(self._model(state), dtype=dtype)
        return [np.asarray(tap, dtype=np.float64) for tap in self.attempt(lambda: self.candidate.encode(model, inputs))]

    def head(self, case: ModelCase, inputs: Arrays, state: Arrays | None = None) -> dict[str, Any]:
        """Run the model with the head of a case: hidden_states, loss, and logits or start_ and end_logits."""
        return ModelProbe(self.candidate, case).forward_of(inputs, state)

    def generate(self, candidate: ModelCandidate, inputs: Arrays, seed: int = 0, **options: Any) -> Any:
        """Return what a candidate generates in float64. XLM-R is a decoder then."""
        return self.attempt(lambda: candidate.generate(decoder(self.case), inputs, options, seed))

    def train(self, model: Model, batches: Batches, regime: Regime) -> Trained:
        """Run a training step of the candidate."""
        trained: Trained = self.attempt(lambda: self.candidate.train(model, batches, regime))
        for inputs, _ in batches:
            self._covers(model, inputs, trained=regime.backward)
        return replace(trained, outputs=[self._float64(output) for output in trained.outputs])

    def course(self, model: Model, steps: Sequence[Step]) -> list[Trained]:
        """Run calls of the candidate one after another."""
        results: list[Trained] = self.attempt(lambda: self.candidate.course(model, steps))
        return [replace(trained, outputs=[self._float64(output) for output in trained.outputs]) for trained in results]

    def _covers(self, model: Model, inputs: Arrays, trained: bool = False) -> None:
        """Add the sizes of a call that gave a result to the candidate's account, if it keeps one."""
        covered: ModelsCovered | None = getattr(self.candidate, "covered", None)
        if covered is not None:
            covered.add(model, inputs, trained)

    def _model(self, state: Arrays | None) -> Model:
        """Return the case's model, or the same with other weights."""
        return self.case.model if state is None else self.case.model.with_state(state)

    @staticmethod
    def attempt(call: Callable[[], Any]) -> Any:
        """Return the result of a call of the candidate; an error, or an exit, is a failure of the check."""
        try:
            return call()
        except (Exception, SystemExit) as error:
            message = f"expected a result, got {type(error).__name__}: {error}"
            raise CandidateEnded(message, traceback=traceback_of(error)) from error

    @staticmethod
    def _float64(output: dict[str, Any]) -> dict[str, Any]:
        return {
            name: [np.asarray(array, dtype=np.float64) for array in value]
            if isinstance(value, list)
            else np.asarray(value, dtype=np.float64)
            for name, value in output.items()
            if value is not None
        }

    @property
    def precision(self) -> Precision:
        return Precision.of(self.case.dtype)


@dataclass(frozen=True)
class ModelCheck:
    """A claim about models of some architectures, in some dtypes.

    Attributes:
        needs: features that a candidate must have for the check to apply.
        argument: why the claim is true of every correct model on every machine.
        about: the class of the faults that are seeded for it.
        at_size: the most tokens of its large cases, which it has besides small ones; 0: it has none.
    """

    name: str
    claim: str
    function: Callable[[ModelProbe], Iterator[Verdict]]
    architectures: tuple[str, ...]
    dtypes: tuple[str, ...]
    needs: frozenset[str] = frozenset()
    argument: str = ""
    about: str = "model"
    at_size: int = 0

    def applies_to(self, features: Collection[str]) -> bool:
        return self.needs <= set(features)


MODEL_CHECKS: dict[str, ModelCheck] = {}


def model_check(
    claim: str,
    architectures: tuple[str, ...] = ARCHITECTURES,
    dtypes: tuple[str, ...] = ("float64", "float32"),
    needs: Collection[str] = (),
    about: str = "model",
    at_size: int = 0,
) -> Callable[[Any], Any]:
    """Register `check_<name>` under its name. The docstring of the function is the argument for its claim."""

    def register(function: Any) -> Any:
        name = function.__name__.removeprefix("check_")
        argument = inspect.getdoc(function) or ""
        MODEL_CHECKS[name] = ModelCheck(
            name, claim, function, architectures, dtypes, frozenset(needs), argument, about, at_size
        )
        return function

    return register
